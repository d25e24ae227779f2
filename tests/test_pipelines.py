"""``PIPELINES.md`` is true: it shows the files of ``consumer`` as they are, and its commands, run
as they stand, give Python's numbers. More about the programs without PyTorch is in
test_consumer.py."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
import torch
from consumers import exact, images, refusal, write_netpbm
from programs import of_one_axis, of_third_order

import scatcuda
from scatcuda import Scattering2D, ops
from scatcuda.program import parse

pytestmark = pytest.mark.proof

HERE = Path(__file__).parent / "consumer"
PAGE = (HERE.parents[1] / "PIPELINES.md").read_text()
SECTIONS = dict(re.findall(r"^##? ([^\n]+)\n(.*?)(?=^##? |\Z)", PAGE, re.M | re.S))
TITLE = next(iter(SECTIONS))
FLAGS = "-O1 -Wall -Wextra -pedantic -Werror"
needs_compiler = pytest.mark.skipif(
    not torch._dynamo.is_dynamo_supported(), reason="torch.compile does not work on this Python"
)
LOADED = """
import sys, torch
torch.ops.load_library(sys.argv[1])
scores = torch._inductor.aoti_load_package(sys.argv[2])(torch.load(sys.argv[3]))
assert "scatcuda" not in sys.modules
torch.testing.assert_close(scores, torch.load(sys.argv[4]), rtol=1e-5, atol=1e-6)
"""


def run(section: str, folder: Path, **environment: str) -> str:
    """Runs the commands of a section in a folder, as a user's shell would; what they say."""
    commands = "\n".join(re.findall(r"^```sh\n(.*?)^```", SECTIONS[section], re.M | re.S))
    assert commands
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": python_path(folder), **environment}
    done = subprocess.run(
        ["bash", "-ec", commands], cwd=folder, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def python_path(folder: Path) -> str:
    """Finds this package, and what was installed into the folder."""
    paths = [folder / "site", Path(scatcuda.__file__).parents[1], os.environ.get("PYTHONPATH")]
    return os.pathsep.join(str(path) for path in paths if path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A copy of ``consumer`` in which the page's first commands were run, beside five images."""
    for tool in ("bash", "cmake"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool}")
    folder = tmp_path_factory.mktemp("pipelines")
    shutil.copytree(HERE, folder, dirs_exist_ok=True)
    (folder / "bin").mkdir()
    for name, command in {"python": "", "pip": "-m pip", "scatcuda": "-m scatcuda"}.items():
        (folder / "bin" / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {command} "$@"\n')
        (folder / "bin" / name).chmod(0o755)
    pixels().numpy().tofile(folder / "images.raw")
    (folder / "images").mkdir()
    for i, image in enumerate((255 * pixels()).round().byte().numpy()):
        write_netpbm(folder / f"images/{i}.pgm", image)
    run(TITLE, folder)
    return folder


def pixels() -> torch.Tensor:
    return images(5, 32, 32)


def prefix() -> dict[str, str]:
    """What the page's first command sets."""
    paths = scatcuda.cmake_prefix_path, torch.utils.cmake_prefix_path
    return {"CMAKE_PREFIX_PATH": ":".join(paths), "CFLAGS": FLAGS, "CXXFLAGS": FLAGS}


# --- the page ---------------------------------------------------------------------------------


def test_the_page_shows_the_files():
    shown = re.findall(r"^\[`(\S+)`\]\((\S+)\)[^\n]*:\n\n```\w+\n(.*?)^```$", PAGE, re.M | re.S)
    for name, link, text in shown:
        assert link == f"tests/consumer/{name}"
        assert text == (HERE / name).read_text(), f"PIPELINES.md shows another {name}"
    complete = {path for path in HERE.glob("*/*") if path.is_file() and path.parent.name != "cpp"}
    assert {HERE / name for name, _, _ in shown} == complete
    assert PAGE.count("\n```") == 2 * (len(shown) + 5)  # and nothing but commands beside them


def test_links_lead_somewhere():
    prose = re.sub(r"^```.*?^```$", "", PAGE, flags=re.M | re.S)
    anchors = {"#" + title.lower().replace(" ", "-") for title in SECTIONS}
    for target in re.findall(r"\]\(([^)]+)\)", prose):
        assert target in anchors or (HERE.parents[1] / target).exists(), target


# --- the engines alone ------------------------------------------------------------------------


def test_a_c_program(folder):
    out = run("A C program", folder, **prefix())
    assert out.endswith("5 signals -> 81 x 8 x 8\n")
    S = np.fromfile(folder / "coefficients.raw", np.float32)
    expected = torch.stack([Scattering2D(2, (32, 32))(x) for x in pixels()])
    assert np.array_equal(S, expected.numpy().ravel())


def test_a_stream_of_images(folder):
    run("A stream of images", folder, **prefix())
    x = (255 * pixels()).round() / 255
    expected = Scattering2D(2, (32, 32))(x).numpy()
    found = np.load(folder / "coefficients.npy", allow_pickle=False)
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


# --- libtorch ---------------------------------------------------------------------------------


@needs_compiler
def test_a_libtorch_program(folder, tmp_path):
    out = run("A libtorch program", folder, **prefix())
    scores = [[float(score) for score in line.split()] for line in out.splitlines()[-5:]]
    with torch.no_grad():
        expected = run_path(str(HERE / "libtorch/package.py"))["classifier"]()(pixels())
    torch.testing.assert_close(torch.tensor(scores), expected, rtol=1e-5, atol=1e-6)

    classify = folder / "build/libtorch/classify"
    package, raw = folder / "classifier.pt2", folder / "images.raw"
    assert "32, 31]' is invalid for input of size 5120" in refusal(classify, package, raw, 32, 31)
    assert "zip archive" in refusal(classify, raw, raw, 32, 32)
    assert "absent" in refusal(classify, package, "absent", 32, 32)

    # the operators alone, in Python without the package
    torch.save(pixels(), tmp_path / "x.pt")
    torch.save(expected, tmp_path / "scores.pt")
    files = scatcuda.library_path, package, tmp_path / "x.pt", tmp_path / "scores.pt"
    subprocess.run([sys.executable, "-c", LOADED, *map(str, files)], check=True, cwd=tmp_path)


class AnyProgram(torch.nn.Module):
    """``x [..., rows, columns]``: signals of one axis are rows."""

    def __init__(self, made) -> None:
        super().__init__()
        self.text, packed = made(torch.float32)
        self.bank = packed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return ops.scattering(x, *self.bank, self.text).flatten(1)


@needs_compiler
@pytest.mark.parametrize("made", [of_one_axis, of_third_order])
def test_libtorch_runs_other_programs(folder, made, tmp_path):
    """By test_a_libtorch_program's program."""
    if not (folder / "build/libtorch/classify").exists():
        run("A libtorch program", folder, **prefix())
    model = AnyProgram(made)
    shape = (1, *parse(model.text).signal)[-2:]
    run_path(str(HERE / "libtorch/package.py"))["package"](model, shape, str(tmp_path / "a.pt2"))
    x = images(3, *shape)
    x.numpy().tofile(tmp_path / "x.raw")
    done = subprocess.run(
        [folder / "build/libtorch/classify", tmp_path / "a.pt2", tmp_path / "x.raw",
         *map(str, shape)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = [[float(number) for number in line.split()] for line in done.stdout.splitlines()]
    S = exact(made, x).flatten(1)
    torch.testing.assert_close(
        torch.tensor(found).double(), S, rtol=1e-4, atol=1e-6 * S.max().item()
    )


# --- another extension ------------------------------------------------------------------------


def test_another_extension(folder, monkeypatch):
    pytest.importorskip("pip")
    offline = {"PIP_TARGET": str(folder / "site"), "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1"}
    out = run("Another extension", folder, **offline)
    assert out.endswith("torch.Size([8, 81, 8, 8])\n")
    monkeypatch.syspath_prepend(folder / "site")
    from log_scattering import LogScattering2D

    theirs, ours = LogScattering2D(2, (32, 32)), Scattering2D(2, (32, 32))
    x = pixels().requires_grad_()
    results = theirs(x), ours(x).log1p()
    assert torch.equal(*results)
    assert torch.equal(*(torch.autograd.grad(y.square().sum(), x)[0] for y in results))
    with pytest.raises(RuntimeError, match=r"\(32, 32\)"):
        theirs(x[:, :31])
    operator = torch.ops.log_scattering.features.default
    torch.library.opcheck(operator, (x, *theirs.bank, theirs.program))
