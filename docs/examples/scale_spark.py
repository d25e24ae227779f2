"""Features of a table of images with Spark: `mapInPandas` takes the mapper's `over`.

    spark-submit docs/examples/scale_spark.py images output --J 3

Spark writes the parts of its output whole or not at all, and gives parts that failed to another
worker. In Parquet, ``output`` has a column of the paths, of the features and of what went wrong.
"""

from __future__ import annotations

import argparse
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql.types import ArrayType, FloatType, StringType, StructType

from scatcuda.scale import ScatteringMapper


def with_features(frame: Any, mapper: ScatteringMapper) -> Any:
    """The table with a column of features, in place of the images."""
    schema = StructType([field for field in frame.schema if field.name != mapper.column])
    schema = schema.add(mapper.output, ArrayType(FloatType()))
    if mapper.on_error == "record":
        schema = schema.add(mapper.error, StringType())
    return frame.mapInPandas(mapper.over, schema)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", help="directory of images")
    parser.add_argument("output", help="directory of Parquet files")
    parser.add_argument("--J", type=int, default=3)
    parser.add_argument("--size", type=int, default=224)
    given = parser.parse_args()
    spark = SparkSession.builder.appName("scattering").getOrCreate()
    files = spark.read.format("binaryFile").load(given.images).select("path", "content")
    mapper = ScatteringMapper(
        "Scattering2D", {"J": given.J, "shape": (given.size, given.size)}, channels=3,
        column="content", pool="mean", crop=0.875, on_error="record", threads=1,
    )  # fmt: skip
    with_features(files, mapper).write.mode("overwrite").parquet(given.output)
    spark.stop()


if __name__ == "__main__":
    main()
