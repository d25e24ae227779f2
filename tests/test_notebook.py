"""The notebook runs from its first cell to its last, and finds what it tells."""

import os
import re
from pathlib import Path

import pytest

import scatcuda

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
for package in ("ipykernel", "matplotlib", "skimage", "sklearn"):
    pytest.importorskip(package)

NOTEBOOK = Path(__file__).parents[1] / "docs/notebook.ipynb"


def test_the_notebook_is_kept_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) >= 10
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


def test_without_scatcuda_it_says_where_to_get_it_from(monkeypatch):
    first = next(
        c.source for c in nbformat.read(NOTEBOOK, as_version=4).cells if c.cell_type == "code"
    )
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="set SOURCE to a wheel or a checkout"):
        exec(first, {})
    for source, compiled in (("scatcuda-1.whl", False), ("checkout", True)):
        ran = []
        monkeypatch.setattr("os.path.exists", lambda path: True)
        monkeypatch.setattr("os.path.isdir", lambda path, compiled=compiled: compiled)
        monkeypatch.setattr("subprocess.run", lambda command, check, ran=ran: ran.append(command))
        exec(first.replace('SOURCE = ""', f"SOURCE = {source!r}"), {})
        assert ran[-1][-1].endswith(f"{source}[learn]")
        assert ("--no-build-isolation" in ran[-1]) == compiled == (len(ran) == 2)


def test_the_notebook_runs(tmp_path, monkeypatch):
    # The package under test, also when it is not installed.
    paths = [str(Path(scatcuda.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as many processes as processors run tests
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}})  # fmt: skip # noqa: E501
    client.execute()
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    text = "".join(o.text for o in outputs if o.output_type == "stream" and o.name == "stdout")
    pictures = sum("image/png" in o.get("data", {}) for o in outputs)
    assert pictures == 6 and any("audio" in o.data.get("text/html", "") for o in outputs if o.output_type == "execute_result")  # fmt: skip # noqa: E501
    assert f"scatcuda {scatcuda.__version__}, " in text
    assert "(128, 128) -> (217, 16, 16)" in text
    pixels, *orders = map(float, re.findall(r"change by +([\d.]+) %", text))
    assert len(orders) == 2 and max(orders) < pixels
    right = {kind: float(value) for kind, value in re.findall(r"(\w+) +([\d.]+) % of 899", text)}
    assert right["scattering"] > max(90, right["pixels"])
    computed, measured = map(float, re.search(r"direction: (\S+); measured: (\S+)", text).groups())
    assert computed == pytest.approx(measured, rel=1e-4)
    errors = dict(re.findall(r"(S[1-4]): ([\d.]+) % from the wall's", text))
    assert set(errors) == {"S1", "S2", "S3", "S4"} and max(map(float, errors.values())) < 15
