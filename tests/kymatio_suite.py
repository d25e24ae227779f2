"""Kymatio 0.3.0's own tests of images and signals, of PyTorch, NumPy and scikit-learn, with our
classes in the place of Kymatio's.

    python tests/kymatio_suite.py CHECKOUT

CHECKOUT is Kymatio's source tree at its tag 0.3.0; what is tested is the package in it. Its tests
run twice under ``scatcuda.kymatio.accelerate()``. Once as they are: all must pass but for those in
``MORE``, where ours does what Kymatio refuses. Then again with that refusal added, so that what
such a test asks afterwards is seen as well: all must pass. Nothing may fall back to Kymatio's own
class, but in ``FALLING_BACK``. Nothing is written to the checkout.

This file is also the plugin that the tests run with.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

import scatcuda
from scatcuda.kymatio import accelerate

MORE = {"TestScatteringTorch2D.test_scattering2d_errors": "ours takes input that is not contiguous"}
DOUBLE = "test_numpy_scattering3d.py"  # which asks for float32 of float64: ours keeps it
FALLING_BACK = {"test_check_runtime_args"}  # on arguments that Kymatio refuses in a call
FILES = (
    "scattering1d/test_torch_scattering1d.py",
    "scattering1d/test_torch_backend_1d.py",
    "scattering1d/test_numpy_scattering1d.py",
    "scattering1d/test_utils_scattering1d.py",
    "scattering2d/test_torch_scattering2d.py",
    "scattering2d/test_torch_backend_2d.py",
    "scattering2d/test_frontend_scattering2d.py",
    "scattering2d/test_numpy_scattering2d.py",
    "scattering2d/test_sklearn_2d.py",
    "scattering3d/test_torch_scattering3d.py",
    "scattering3d/test_numpy_scattering3d.py",
)
REFUSING = "SCATCUDA_KYMATIO_SUITE_REFUSING"

_calls = 0


def main(checkout: Path) -> int:
    files = [checkout / "tests" / name for name in FILES]
    if missing := [str(file) for file in files if not file.is_file()]:
        print(f"no checkout of Kymatio 0.3.0: {', '.join(missing)}", file=sys.stderr)
        return 2
    here = Path(__file__).resolve().parent
    paths = [str(checkout), str(here), str(here.parent), os.environ.get("PYTHONPATH", "")]
    options = ["-q", "-rxXs", "-p", "no:cacheprovider", "-p", Path(__file__).stem]
    options += ["-W", "error::scatcuda.kymatio.FallbackWarning"]
    with tempfile.TemporaryDirectory() as folder:  # neither our settings nor Kymatio's
        settings = Path(folder, "pytest.ini")
        settings.write_text("[pytest]\n")
        return _run([*options, "-c", str(settings)], paths, files)


def _run(options: list[str], paths: list[str], files: list[Path]) -> int:
    """The exit status."""
    here = Path(__file__).resolve().parent
    failed = False
    for refusing in ("", "1"):
        print(f"--- {'refusing what Kymatio refuses' if refusing else 'as it is'}", flush=True)
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "PYTHONDONTWRITEBYTECODE": "1",
            REFUSING: refusing,
        }
        command = [sys.executable, "-m", "pytest", *options, *map(str, files)]
        failed |= subprocess.run(command, cwd=here, env=environment).returncode != 0
    return int(failed)


def pytest_configure(config: pytest.Config) -> None:
    accelerate()
    torch.nn.modules.module.register_module_forward_pre_hook(_before_call)


def _before_call(module: torch.nn.Module, inputs: tuple[object, ...]) -> None:
    global _calls
    ours = scatcuda.Scattering1D | scatcuda.Scattering2D | scatcuda.HarmonicScattering3D
    if isinstance(module, ours):
        _calls += 1
        x = inputs[0]
        if os.environ[REFUSING] and isinstance(x, torch.Tensor) and not x.is_contiguous():
            raise RuntimeError("Tensors must be contiguous.")


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    for item in items:
        name = ".".join(filter(None, (getattr(item.cls, "__name__", ""), item.originalname)))
        if name in MORE and not os.environ[REFUSING]:
            reason = MORE[name]
            item.add_marker(pytest.mark.xfail(strict=True, raises=AssertionError, reason=reason))
        if item.path.name == DOUBLE and name == "test_scattering_batch_shape_agnostic":
            reason = "arrays come back in their dtype"
            item.add_marker(pytest.mark.xfail(strict=True, raises=AssertionError, reason=reason))
        if name in FALLING_BACK:
            kind = "ignore::scatcuda.kymatio.FallbackWarning"
            item.add_marker(pytest.mark.filterwarnings(kind))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not _calls:
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    import kymatio

    terminalreporter.write_line(
        f"{_calls} calls of scatcuda's transforms in place of those of {kymatio.__file__}"
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]).resolve()))
