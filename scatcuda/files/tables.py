"""Parquet files, written whole or not at all and read within the budget.

    write_columns(path, {"x": [rows, d], "y": [rows], "name": texts}, metadata)
    open_columns(path) -> the same interface as an open safetensors file

A matrix is a column of fixed-size lists, of float16, float32 or float64. Nothing is packed or
replaced by dictionaries: on the disk a file is as large as what it holds, and no small one claims
much. Pages have checksums. The metadata are texts in the schema.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import replaced
from .budget import ask
from .error import DataError
from .reading import opened

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

__all__ = ["Columns", "open_columns", "open_parquet", "record_batch", "spelt", "write_batches"]

_THRIFT = 1 << 24  # bytes of a text, elements of a list in a footer
_STEP = 1 << 24  # bytes of a matrix that are read at a time
_DTYPES = {"halffloat": "F16", "float": "F32", "double": "F64", "int64": "I64"}  # safetensors'
_TORCH = {"F16": torch.float16, "F32": torch.float32, "F64": torch.float64, "I64": torch.int64}


def arrow() -> Any:
    """PyArrow with its Parquet.

    Raises: ImportError: it is not installed.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            "Parquet files need PyArrow, which is not installed: pip install pyarrow "
            "(or the extra parquet)"
        ) from error
    return pyarrow


@contextmanager
def open_parquet(file: str, checksums: bool = False) -> Iterator[pyarrow.parquet.ParquetFile]:
    """An open file; what PyArrow finds wrong with it becomes a DataError."""
    pyarrow = arrow()
    with opened(file, unpack=False) as stream:
        try:
            with pyarrow.parquet.ParquetFile(
                stream, thrift_string_size_limit=_THRIFT, thrift_container_size_limit=_THRIFT,
                page_checksum_verification=checksums,
            ) as parquet:  # fmt: skip
                yield parquet
        except DataError:
            raise
        except Exception as error:  # whatever a damaged file makes of its reader
            said = " ".join(str(error).split())[:99] or type(error).__name__
            raise DataError(f"{file}: not a Parquet file that can be read ({said})") from None


# --- writing ----------------------------------------------------------------------------------


def record_batch(
    columns: Mapping[str, Any], metadata: Mapping[str, str] | None = None
) -> pyarrow.RecordBatch:
    """Columns side by side: matrices ``[rows, d]`` become fixed-size lists; arrays ``[rows]`` and
    sequences of texts (`spelt`), of which None is nothing, are as they are.

    Example:
        >>> batch = record_batch({"x": np.zeros((3, 2), np.float16), "name": ["a", None, "c"]})
        >>> batch.schema.types
        [FixedSizeListType(fixed_size_list<element: halffloat not null>[2]), DataType(string)]
    """
    pa = arrow()
    arrays = {name: _column(pa, values) for name, values in columns.items()}
    schema = pa.schema(
        [pa.field(name, array.type) for name, array in arrays.items()],
        metadata={spelt(name): spelt(text) for name, text in (metadata or {}).items()},
    )
    return pa.RecordBatch.from_arrays(list(arrays.values()), schema=schema)


def _column(pa: Any, values: Any) -> Any:
    if isinstance(values, Tensor):
        values = values.detach().cpu().contiguous().numpy()
    if not isinstance(values, np.ndarray):
        if not _are_texts(values):
            return pa.array(values)
        return pa.array([v if v is None else spelt(v) for v in values], pa.string())
    if values.ndim < 2:
        return pa.array(values)
    inner = pa.field("element", pa.from_numpy_dtype(values.dtype), nullable=False)
    return pa.FixedSizeListArray.from_arrays(
        pa.array(np.ascontiguousarray(values).reshape(-1)),
        type=pa.list_(inner, math.prod(values.shape[1:])),
    )


def spelt(text: str) -> str:
    r"""A text as a file has it: in UTF-8, and what that cannot spell, as in names of files that
    are none, as an escape.

    Example:
        >>> spelt("caf\udce9")
        'caf\\udce9'
    """
    return text.encode("utf-8", "backslashreplace").decode()


def _are_texts(values: Sequence[Any]) -> bool:
    return all(value is None or isinstance(value, str) for value in values)


def write_batches(
    path: str | os.PathLike[str], schema: pyarrow.Schema, batches: Iterable[pyarrow.RecordBatch]
) -> int:
    """Replace a Parquet file by some batches of rows, each a group of rows of it.

    Returns: how many rows there are.
    """
    pa = arrow()
    rows = 0
    # An open file: PyArrow takes names in UTF-8 alone.
    with replaced(path) as temporary, open(temporary, "wb") as file:
        with pa.parquet.ParquetWriter(
            file, schema, compression="none", use_dictionary=False, write_statistics=False,
            write_page_checksum=True,
        ) as writer:  # fmt: skip
            for batch in batches:
                writer.write_batch(batch)
                rows += len(batch)
    return rows


# --- reading ----------------------------------------------------------------------------------


class _Slice:
    """What a column is, as safetensors tells it."""

    def __init__(self, dtype: str, shape: list[int]) -> None:
        self._dtype, self._shape = dtype, shape

    def get_dtype(self) -> str:
        return self._dtype

    def get_shape(self) -> list[int]:
        return self._shape


class Columns:
    """An open Parquet file, asked as one of safetensors is: ``keys``, ``get_slice``, ``get_tensor``
    and ``metadata``, of its numbers; and ``texts``."""

    def __init__(self, file: str, parquet: Any) -> None:
        self._file, self._parquet = file, parquet
        self._schema: Any = parquet.schema_arrow
        self._size = os.stat(file).st_blocks * 512

    @property
    def rows(self) -> int:
        """How many there are."""
        return int(self._parquet.metadata.num_rows)

    @property
    def groups(self) -> int:
        """How many groups of rows there are."""
        return int(self._parquet.num_row_groups)

    def _kind(self, name: str) -> tuple[str | None, list[int]]:
        """The type of a column of numbers, none of others, and the sides of a row."""
        kind = self._schema.field(name).type
        sides: list[int] = []
        if hasattr(kind, "list_size"):
            kind, sides = kind.value_type, [kind.list_size]
        return _DTYPES.get(str(kind)), sides

    def keys(self) -> list[str]:
        """Names of the columns of numbers."""
        return [name for name in self._schema.names if self._kind(name)[0]]

    def others(self) -> list[str]:
        """Names of the columns of texts."""
        texts = ("string", "large_string")
        return [field.name for field in self._schema if str(field.type) in texts]

    def get_slice(self, name: str) -> _Slice:
        dtype, sides = self._kind(name)
        if dtype is None:
            raise DataError(f"{self._file}: column {name} is not of numbers")
        return _Slice(dtype, [self.rows, *sides])

    def metadata(self) -> dict[str, str]:
        """The texts in the schema."""
        found: dict[bytes, bytes] = self._schema.metadata or {}
        try:
            return {key.decode(): text.decode() for key, text in found.items()}
        except UnicodeDecodeError:
            raise DataError(f"{self._file}: its metadata are no texts") from None

    def get_tensor(self, name: str) -> Tensor:
        """A column of numbers, whole.

        Raises: DataError: it is damaged, has nothing in some row, or takes too much.
        """
        what = self.get_slice(name)
        dtype, shape = _TORCH[what.get_dtype()], what.get_shape()
        found = torch.empty(self._asked(shape, dtype), dtype=dtype)
        values, at = found.numpy(), 0
        for rows in self._batches(name, dtype.itemsize * int(np.prod(shape[1:]))):
            values[at : at + len(rows)] = rows.reshape(-1, *shape[1:])
            at += len(rows)
        if at != shape[0]:
            raise DataError(f"{self._file}: {at} rows of column {name}, not {shape[0]}")
        return found

    def _asked(self, shape: list[int], dtype: torch.dtype) -> list[int]:
        needed = dtype.itemsize
        for side in shape:  # of a hostile file no array of NumPy's could count them
            needed *= side
        if min(shape) < 0 or needed > self._size:  # what takes as much on the disk is no mere claim
            ask(f"{self._file}: a column", needed if min(shape) >= 0 else 1 << 62)
        return shape

    def _batches(self, name: str, row: int) -> Iterator[NDArray[Any]]:
        step = max(1, _STEP // max(row, 1))
        for batch in self._parquet.iter_batches(step, columns=[name], use_threads=False):
            column = batch.column(0)
            count = len(column)
            nothing = column.null_count
            if hasattr(column.type, "list_size"):
                column = column.flatten()
                nothing += column.null_count
            values = column.to_numpy(zero_copy_only=False)
            if nothing or len(values) % max(count, 1):
                raise DataError(f"{self._file}: column {name} has rows without a value")
            yield values.reshape(count, -1) if row else values

    def texts(self, name: str) -> list[str | None]:
        """A column of texts."""
        if name not in self.others():
            raise DataError(f"{self._file}: column {name} is not of texts")
        found: list[str | None] = []
        for batch in self._parquet.iter_batches(1 << 12, columns=[name], use_threads=False):
            found += batch.column(0).to_pylist()
            ask(f"{self._file}: column {name}", 100 * len(found) + batch.nbytes)
        return found


@contextmanager
def open_columns(path: str | os.PathLike[str]) -> Iterator[Columns]:
    """An open Parquet file, asked as one of safetensors is.

    Raises: DataError: it is missing, damaged, or takes more than the budget.
    """
    name = os.fspath(path)
    with open_parquet(name, checksums=True) as parquet:
        yield Columns(name, parquet)
