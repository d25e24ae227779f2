"""One function of batches for every engine: arrays in, scattering features out.

    {"image": n images, "label": …}  ->  {"features": [n, d], "error": [n], "label": …}

Ray Data's ``map_batches``, ``datasets``' ``map(batched=True)``, Dask's ``map_partitions`` and
``map_blocks`` take a `ScatteringMapper` as it is, Spark's ``mapInPandas`` its `over`. What travels
are the arguments; filters are made where the work is, at the first batch.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..arguments import boolean, integer
from ..arguments import device as known_device
from ..files.error import DataError
from ..learn.extraction.description import of_transformer, stable_repr
from ..learn.extraction.transformer import ScatteringTransformer
from ..terminal import printable
from ..typing import FeatureType, Pooling
from .inputs import Input, as_array

_NAME = "ScatteringMapper"
_BUILDING = threading.Lock()  # one for all: building is rare
_RANKS = ("LOCAL_RANK", "SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK")
_FAILURES = (DataError, OSError, TypeError, ValueError)  # of a row

OnFailure = Literal["stop", "record", "skip"]


class ScatteringMapper:
    """Scattering features of batches, in whatever process they are.

    A batch is a mapping of columns, a ``pandas.DataFrame``, a ``pyarrow.Table`` or ``RecordBatch``,
    and what comes back is of the same kind; or an array ``[n, …]`` of images, which gives an array
    ``[n, d]``. Rows are arrays ``[M, N]``, ``[C, M, N]`` or ``[M, N, C]``, uint8 (divided by 255)
    or floating, lists of such, pictures of Pillow, bytes of an image file or a ``.npy`` file,
    ``{"bytes": …, "path": …}`` as ``datasets`` has them, or paths. Lists in an Arrow column have
    its type; Python's integers in lists of pixels are uint8. All columns but the images are passed
    through.

    The device is a GPU where there is one and an engine for it, otherwise the CPU. Of several GPUs
    it is that of the rank: the second argument of a call (``with_rank=True`` of ``datasets``),
    or ``LOCAL_RANK`` of ``torchrun``. Ray and others that show a worker its own GPU alone, by
    ``CUDA_VISIBLE_DEVICES``, need nothing.

    Args:
        transform: the name of a transform of `scatcuda` with ``output_shape``, as
            ``"Scattering2D"``; or a function without arguments that makes one, which can be
            pickled, such as a ``functools.partial``; or a
            :class:`~scatcuda.learn.ScatteringTransformer`, fitted, whose options hold then.
        arguments: of the transform that is named.
        column: of the images.
        output: column of the features, in `dtype`.
        channels: of the images ``[C, M, N]``; None: they have none.
        pool, log, normalise, dtype, batch_size: as for ``ScatteringTransformer``; ``log`` adds
            1e-6 before it.
        crop: of pictures of any size: of each the central square of `crop` times its
            shorter side, resampled; None: one of another size is a failure.
        on_error: what a row does that cannot be read, has another shape, or features beyond
            `dtype`: ``"stop"``, an error; ``"record"``, its features are NaN and the column `error`
            says why; ``"skip"``, the row is left out.
        error: column of what went wrong, empty where nothing did; with ``on_error="record"``.
        keep: whether the column of the images is passed through as well.
        device: ``"auto"``, as above, ``"cpu"`` or ``"cuda"``, where the work is.
        threads: of the CPU, set for the whole process at the first batch; None: as they are.
    Raises:
        TypeError, ValueError: an argument is not as above. In a call: a column is missing, or, with
            ``on_error="stop"``, something is wrong with a row.
    Example:
        >>> mapper = ScatteringMapper("Scattering2D", {"J": 2, "shape": (32, 32)}, pool="mean")
        >>> batch = {"image": np.zeros((4, 32, 32), np.uint8), "label": [3, 1, 2, 0]}
        >>> found = mapper(batch)
        >>> found["features"].shape, found["label"]
        ((4, 81), [3, 1, 2, 0])
    """

    def __init__(
        self,
        transform: Any = "Scattering2D",  # scikit-learn, from which it derives, has no types
        arguments: Mapping[str, Any] | None = None,
        *,
        column: str = "image",
        output: str = "features",
        channels: int | None = None,
        pool: Pooling | None = None,
        log: bool = False,
        normalise: bool = False,
        dtype: FeatureType = "float32",
        batch_size: int = 128,
        crop: float | None = None,
        on_error: OnFailure = "stop",
        error: str = "error",
        keep: bool = False,
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        own = {"pool": pool, "log": log, "normalise": normalise, "dtype": dtype}
        if isinstance(transform, ScatteringTransformer):
            if arguments is not None or channels is not None or own != _USUAL:
                raise ValueError(
                    f"{_NAME}: arguments, channels, pool, log, normalise and dtype are those of "
                    "the transformer, which is given; leave them out"
                )
            if not hasattr(transform, "shape_"):
                raise ValueError(f"{_NAME}: the transformer must be fitted")
        elif isinstance(transform, nn.Module) or not (
            isinstance(transform, str) or callable(transform)
        ):
            raise TypeError(
                f"{_NAME}: transform must be a name, a function that makes a transform, or a "
                f"ScatteringTransformer; got {type(transform).__name__}"
            )
        elif arguments is not None and not isinstance(transform, str):
            raise ValueError(f"{_NAME}: arguments are of a transform that is named")
        if isinstance(transform, str):
            _factory(transform, arguments or {})
        if on_error not in get_args(OnFailure):
            raise ValueError(f"{_NAME}: on_error must be one of {get_args(OnFailure)}; got {on_error!r}")  # fmt: skip # noqa: E501
        if crop is not None and not 0 < crop <= 1:
            raise ValueError(f"{_NAME}: crop must be above 0 and at most 1; got {crop}")
        if len({column, output, error}) < 3:
            raise ValueError(f"{_NAME}: column, output and error must be three names")
        self.transform: Any = transform
        self.arguments: dict[str, Any] | None = None if arguments is None else dict(arguments)
        self.column: str = column
        self.output: str = output
        self.error: str = error
        self.channels: int | None = None
        if channels is not None:
            self.channels = integer(_NAME, "channels", channels, 1)
        self.pool: Pooling | None = pool
        self.log: bool = log
        self.normalise: bool = normalise
        self.dtype: FeatureType = dtype
        self.batch_size: int = integer(_NAME, "batch_size", batch_size, 1)
        self.crop: float | None = crop
        self.on_error: OnFailure = on_error
        self.keep: bool = boolean(_NAME, "keep", keep)
        if device != "auto":
            known_device(f"{_NAME}: ", device, "auto, cpu or cuda", here=False)
        self.device: str = device
        self.threads: int | None = None
        if threads is not None:
            self.threads = integer(_NAME, "threads", threads, 1)
        self._ready: tuple[int, ScatteringTransformer] | None = None

    # --- batches, as engines have them ---

    def __call__(self, batch: Any, rank: int | None = None) -> Any:
        """The batch with features. ``rank``: which of the processes of this machine it is."""
        if isinstance(batch, Mapping):
            return self._mapped(batch, rank)
        if isinstance(batch, np.ndarray | torch.Tensor):
            if self.on_error != "stop":
                raise ValueError(
                    f"{_NAME}: of arrays on_error must be 'stop', they have no columns; got "
                    f"{self.on_error!r}"
                )
            return self._features(list(as_array(batch)), rank)[0]
        package = type(batch).__module__.partition(".")[0]
        if package == "pandas":
            return self._frame(batch, rank)
        if package == "pyarrow":
            return self._table(batch, rank)
        raise TypeError(
            f"{_NAME}: a batch must be a mapping of columns, a DataFrame, a Table or an array; got "
            f"{type(batch).__name__}"
        )

    def over(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Batches one after the other, as Spark's ``mapInPandas`` has them. Its ``mapInArrow`` does
        as well where lists of one size are known, which Spark 4 does not."""
        for batch in batches:
            yield self(batch)

    def rows(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """Rows as mappings, one after the other, as the partitions of Dask's bags have them. Each
        keeps what it has besides the image, whatever others have.

        Example:
            >>> mapper = ScatteringMapper("Scattering2D", {"J": 2, "shape": (8, 8)}, pool="mean")
            >>> [row["key"] for row in mapper.rows([{"image": np.ones((8, 8)), "key": "a"}])]
            ['a']
        """
        remaining = iter(rows)
        while some := list(islice(remaining, self.batch_size)):
            images = [row[self.column] if self.column in row else self._absent(row) for row in some]
            found = self._mapped({self.column: images, _PLACE: np.arange(len(some))}, None)
            made = [name for name in (self.output, self.error) if name in found]
            for i, place in enumerate(found[_PLACE]):
                row = self._passed(some[place])
                yield {**row, **{name: found[name][i] for name in made}}

    # --- what it is ---

    @property
    def shape(self) -> tuple[int, ...]:
        """Sides of an image, with its channels."""
        return self.transformer().shape_

    @property
    def n_features_out(self) -> int:
        """``d``"""
        return self.transformer().n_features_out

    def describe(self) -> dict[str, str]:
        """What the features are, as texts: ``transform``, ``arguments``, ``meta`` and ``version``,
        as `read_features` understands them."""
        how = None
        if not isinstance(self.transform, ScatteringTransformer):
            name = (
                self.transform if isinstance(self.transform, str) else stable_repr(self.transform)
            )
            how = {"transform": name, **(self.arguments or {})}
        return of_transformer(self.transformer(), how)

    def transformer(self, rank: int | None = None) -> Any:
        """What transforms images in this process, made at the first call."""
        ready = self._ready
        if ready is None or ready[0] != os.getpid():
            with _BUILDING:
                ready = self._ready
                if ready is None or ready[0] != os.getpid():
                    if self.threads is not None:
                        torch.set_num_threads(self.threads)
                    ready = self._ready = os.getpid(), self._built(rank)
        return ready[1]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_ready": None}

    # --- how ---

    def _built(self, rank: int | None) -> ScatteringTransformer:
        device = _device(self.device, rank)
        given = self.transform
        if isinstance(given, ScatteringTransformer):
            found: ScatteringTransformer = ScatteringTransformer(**given.get_params(deep=False))
            found.set_params(device=device, batch_size=self.batch_size)
            return found.shaped(given.shape_, given.eps_)
        module = _factory(given, self.arguments or {})() if isinstance(given, str) else given()
        sides = getattr(module, "input_shape", None)
        if not isinstance(module, nn.Module) or not isinstance(sides, tuple):
            raise TypeError(
                f"{_NAME}: transform must make a transform, a module with input_shape; got "
                f"{type(module).__name__}"
            )
        shape = sides if self.channels is None else (self.channels, *sides)
        return ScatteringTransformer(
            scattering=module, pool=self.pool, log=self.log, normalise=self.normalise,
            dtype=self.dtype, device=device, batch_size=self.batch_size, shape=shape,
        ).shaped(shape)  # fmt: skip

    def _mapped(self, batch: Mapping[str, Any], rank: int | None) -> dict[str, Any]:
        if self.column not in batch:
            raise ValueError(f"{_NAME}: {self._absent(batch)}")
        out = self._passed(batch)
        features, errors = self._features(batch[self.column], rank)
        if self.on_error == "skip":
            kept = [i for i, error in enumerate(errors) if not error]
            if len(kept) < len(errors):
                features = features[kept]
                out = {name: _chosen(values, kept) for name, values in out.items()}
        out[self.output] = features
        if self.on_error == "record":
            out[self.error] = np.array(errors, dtype=np.str_) if errors else np.empty(0, "U1")
        return out

    def _absent(self, columns: Iterable[str]) -> DataError:
        """What is wrong with columns that have no images."""
        found = ", ".join(map(str, columns)) or "none"
        return DataError(f"there is no column {self.column!r}; there are {found}")

    def _passed(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Those that are passed through; what is made has other names."""
        out = {name: v for name, v in columns.items() if self.keep or name != self.column}
        for name in (self.output, self.error)[: 1 + (self.on_error == "record")]:
            if name in out:
                raise ValueError(f"{_NAME}: there is a column {name!r} already")
        return out

    def _frame(self, frame: Any, rank: int | None) -> Any:
        columns, made, places = self._beside(frame, list(frame.columns), list, rank)
        found = frame[columns]
        found = (found if places is None else found.iloc[places]).copy()
        for name, values in made.items():
            found[name] = list(values)
        return found

    def _table(self, table: Any, rank: int | None) -> Any:
        from ..files.tables import arrow, record_batch

        columns, made, places = self._beside(table, table.schema.names, _values, rank)
        found = table
        if places is not None:
            pa = arrow()
            found = found.take(pa.array(places, pa.int64()))  # of none it would not know the type
        for name, column in zip(made, record_batch(made).columns, strict=True):
            found = found.append_column(name, column)
        return found.select([*columns, *made])  # in the end: without columns there are no rows

    def _beside(
        self, table: Any, names: list[str], values: Callable[[Any], list[Any]], rank: int | None
    ) -> tuple[list[str], dict[str, Any], list[int] | None]:
        """Of a table the columns that are passed through, what comes beside them, and the rows that
        are left, where some are not."""
        batch: dict[str, Any] = {name: np.arange(len(table)) for name in names}
        if self.column in batch:
            batch[self.column] = values(table[self.column])
        batch[_PLACE] = np.arange(len(table))
        found = self._mapped(batch, rank)
        made = {name: found[name] for name in (self.output, self.error) if name in found}
        if self.error in made and self.on_error == "record":
            made[self.error] = made[self.error].tolist()
        elif self.error in made:
            del made[self.error]
        places = found[_PLACE].tolist()
        passed = [name for name in names if name in found and name not in made]
        return passed, made, places if len(places) < len(table) else None

    def _features(
        self, values: Sequence[Any] | NDArray[Any], rank: int | None
    ) -> tuple[NDArray[Any], list[str]]:
        """Features ``[n, d]`` in `dtype` and what went wrong, a text each, mostly empty."""
        transformer = self.transformer(rank)
        convert = Input(transformer.shape_, transformer.rank, self.crop)
        errors = [""] * len(values)
        images: list[NDArray[Any] | None] = [None] * len(values)

        def read(i: int) -> None:
            try:
                images[i] = convert(values[i])
            except _FAILURES as error:
                if self.on_error == "stop":
                    raise _failed(i, error) from error
                errors[i] = _said(error)

        workers = min(torch.get_num_threads(), len(values))
        encoded = len(values) and not isinstance(values[0], np.ndarray)
        if encoded and workers > 1:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(read, range(len(values))))
        else:
            for i in range(len(values)):
                read(i)
        dtype = getattr(np, transformer.dtype)
        features: NDArray[Any] = np.full((len(values), transformer.n_features_out), np.nan, dtype)
        good = [i for i, image in enumerate(images) if image is not None]
        for start in range(0, len(good), self.batch_size):
            some = good[start : start + self.batch_size]
            self._write(transformer, [images[i] for i in some], some, features, errors)
        return features, errors

    def _write(
        self, transformer: ScatteringTransformer, images: list[Any], rows: list[int],
        features: NDArray[Any], errors: list[str],
    ) -> None:  # fmt: skip
        """Transform some images; where one of them fails, each alone."""
        try:
            features[rows] = transformer.transform(_stacked(images, transformer.rank == 2))
        except ValueError as error:
            if len(rows) == 1:
                if self.on_error == "stop":
                    raise _failed(rows[0], error) from error
                errors[rows[0]] = _said(error)
                return
            for image, row in zip(images, rows, strict=True):
                self._write(transformer, [image], [row], features, errors)


_PLACE = "\0place"  # of a row in its batch
_NUMBERS = {  # Arrow's, as NumPy has them too
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *("halffloat", "float", "double"),
}
_USUAL = {"pool": None, "log": False, "normalise": False, "dtype": "float32"}


def _factory(name: str, arguments: Mapping[str, Any]) -> Callable[[], nn.Module]:
    """The function that makes a transform of this package.

    Raises: ValueError: there is no such one.
    """
    kind = getattr(importlib.import_module("scatcuda"), name, None)
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ValueError(f"{_NAME}: transform must be the name of a transform, such as 'Scattering2D'; got {name!r}")  # fmt: skip # noqa: E501
    return lambda: kind(**arguments)


def _device(device: str, rank: int | None) -> str:
    """That of the transformer; of several GPUs the one of the rank."""
    if device != "auto":
        return device
    if rank is None:
        told = (os.environ.get(name, "") for name in _RANKS)
        rank = next((int(text) for text in told if text.isascii() and text.isdigit()), 0)
    if torch.cuda.is_available() and torch.cuda.device_count() > 1:
        torch.cuda.set_device(rank % torch.cuda.device_count())
    return "auto"  # the current GPU, where there is an engine for it


def _stacked(images: list[NDArray[Any]], pixels: bool) -> NDArray[Any]:
    """Images of one type as they are; of several as floats, which of pixels are from 0 to 1."""
    if len({image.dtype for image in images}) == 1 or not pixels:
        return np.stack(images)
    return np.stack([i / np.float32(255) if i.dtype == np.uint8 else i for i in images])


def _values(column: Any) -> list[Any]:
    """Rows of an Arrow column, arrays of its type where they are lists of numbers."""
    kind = column.type
    if getattr(kind, "extension_name", "") == "arrow.fixed_shape_tensor":
        return [row.to_numpy() if row.is_valid else None for row in column]
    if "tensor" in str(kind).lower():  # Ray's, whose rows are arrays
        return list(column.to_numpy(zero_copy_only=False))
    kind = getattr(kind, "storage_type", kind)  # as datasets' Array2D
    listed = hasattr(kind, "value_type")
    while hasattr(kind, "value_type"):
        kind = kind.value_type
    rows = list(column.to_pylist())
    if not listed or str(kind) not in _NUMBERS:
        return rows
    return [_of_type(row, kind.to_pandas_dtype()) for row in rows]


def _of_type(row: Any, dtype: Any) -> Any:
    """A list as an array; what is wrong with it, if none can be made of it."""
    try:
        return None if row is None else np.array(row, dtype)
    except (TypeError, ValueError):
        return DataError("its lists are of several lengths, or have places without a value")


def _chosen(values: Any, kept: list[int]) -> Any:
    """Some rows of a column."""
    return values[kept] if isinstance(values, np.ndarray) else [values[i] for i in kept]


def _failed(row: int, error: Exception) -> ValueError:
    return ValueError(f"{_NAME}: row {row} of the batch: {_said(error)}")


def _said(error: Exception) -> str:
    return printable(" ".join(str(error).split())) or type(error).__name__
