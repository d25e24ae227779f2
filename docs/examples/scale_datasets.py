"""Features of a data set of Hugging Face's `datasets`: `map` takes the mapper as it is.

    python docs/examples/scale_datasets.py images output --J 3 --workers 2

`datasets` keeps what it has computed under a fingerprint of the function, which is that of the
mapper's arguments: the same call after an interruption reads what is there.
"""

from __future__ import annotations

import argparse
from typing import Any

import datasets

from scatcuda.scale import ScatteringMapper


def with_features(dataset: Any, mapper: ScatteringMapper, workers: int | None = None) -> Any:
    """The data set with a column of features, in place of the images. Of several GPUs a process
    takes that of its rank."""
    kind = datasets.Value(mapper.dtype)
    features = dataset.features.copy()
    if not mapper.keep:
        features.pop(mapper.column)
    features[mapper.output] = datasets.Sequence(kind, length=mapper.n_features_out)
    if mapper.on_error == "record":
        features[mapper.error] = datasets.Value("string")
    return dataset.map(
        mapper, batched=True, batch_size=mapper.batch_size, with_rank=True, num_proc=workers,
        remove_columns=dataset.column_names, features=features,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", help="directory of images, as datasets' imagefolder takes it")
    parser.add_argument("output", help="directory of the data set with features")
    parser.add_argument("--J", type=int, default=3)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--workers", type=int)
    given = parser.parse_args()
    dataset = datasets.load_dataset("imagefolder", data_dir=given.images, split="train")
    dataset = dataset.cast_column("image", datasets.Image(decode=False))  # the mapper decodes
    mapper = ScatteringMapper(
        "Scattering2D", {"J": given.J, "shape": (given.size, given.size)}, channels=3,
        pool="mean", crop=0.875, on_error="record", threads=1,
    )  # fmt: skip
    found = with_features(dataset, mapper, given.workers)
    found.save_to_disk(given.output)
    print(found)


if __name__ == "__main__":
    main()
