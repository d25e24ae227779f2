"""Where modules went: what was imported or pickled by an old name is the same module still."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# By the folder that has them now: those that kept their names, and those of another.
_FOLDERS = {
    "transforms": "base scattering2d cascade",
    "data.formats": "cifar idx npz parquet stl10 svhn table unpickle",
    "data.folders": "archive decode folder images nearly tree truth",
    "learn.classifiers": "estimator linear moments pca ridge standardizer",
    "learn.networks": "blocks hybrids models",
    "learn.fitting": "augment checkpoint descent distributed history inference recipe signals "
    "training",
    "learn.extraction": "features images pooling shard transformer",
    "learn.experiments": "evaluation experiment identity options",
    "learn.analysis": "separation stability",
}
_NAMES = {
    "bankreport": "draw.bank",
    "bench": "cli.bench",
    "data.budget": "files.budget",
    "data.error": "files.error",
    "data.files": "files.reading",
    "drawing": "draw.style",
    "figure": "draw.figure",
    "learnable": "banks.learned",
    "planfile": "program.planfile",
    "private": "ops.autograd",
    "selection": "program.paths",
}


def _moved() -> dict[str, str]:
    found = {f"scatcuda.{old}": f"scatcuda.{new}" for old, new in _NAMES.items()}
    for folder, names in _FOLDERS.items():
        above = folder.rpartition(".")[0] if "." in folder else ""
        for name in names.split():
            old = ".".join(filter(None, ("scatcuda", above, name)))
            found[old] = f"scatcuda.{folder}.{name}"
    return found


#: Old names of modules, and those that they have.
MOVED = _moved()


class _Finder:  # not of importlib.abc, which takes as long to import as all the rest here
    """Finds modules by their old names."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        loader: Any = self
        return ModuleSpec(name, loader) if name in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(MOVED[spec.name])
        spec.loader_state = module.__spec__  # of which the import system makes the old one
        return module

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state


sys.meta_path.append(_Finder())
