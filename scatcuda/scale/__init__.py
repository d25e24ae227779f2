"""Scattering on many machines, by engines that exist: Ray, Dask, Spark, Hugging Face ``datasets``.

``ScatteringMapper`` is one picklable function of batches that all of them take; ``write_shard`` and
``missing`` make features of archives of images, a file each, and go on after an interruption;
``halo`` and ``scatter_blocks`` transform images that are larger than the memory.

Needs more than the transform: ``pip install scatcuda[scale]``, and the engine.
"""

from ..learn.extraction.stored import Features, read_features
from .blocks import scatter_blocks
from .halo import halo
from .mapper import ScatteringMapper
from .shards import Written, missing, samples, write_shard

__all__ = [
    "Features",
    "ScatteringMapper",
    "Written",
    "halo",
    "missing",
    "read_features",
    "samples",
    "scatter_blocks",
    "write_shard",
]
