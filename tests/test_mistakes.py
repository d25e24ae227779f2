"""What users get wrong on the command line, and what strangers hide in files: one sentence, nothing
written, nothing read or written outside the folders that were named."""

import json
from pathlib import Path

import pytest

pytest.importorskip("safetensors")
pytest.importorskip("sklearn")
pytest.importorskip("tqdm")

from scatcuda.cli import main
from scatcuda.learn.experiment import cell_folder
from scatcuda.learn.options import Options, read_config, write_config

QUICK = ["--n", "50", "--pool", "mean"]


def run(*arguments: object) -> int:
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as end:  # argparse's
        return int(end.code or 0)


def tree(folder: Path) -> dict[str, bytes]:
    """All there is in a folder, links as what they name."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }


# --- nothing outside the run folder -----------------------------------------------------------


@pytest.fixture
def victim(tmp_path):
    """A folder with a model that nobody but its owner may touch."""
    folder = tmp_path / "victim"
    folder.mkdir()
    for name in ("model.safetensors", "result.json", "checkpoint.safetensors", "history.jsonl"):
        (folder / name).write_bytes(b"the owner's")
    return folder


ESCAPES = ["0/../../../victim", "/victim", "..", "", -1, 2**32, 1.5, True, [0], {"a": 1}]


@pytest.mark.parametrize("element", ESCAPES, ids=str)
@pytest.mark.parametrize("name", ["seeds", "n"])
def test_no_element_of_a_list_is_a_path(name, element, victim, tmp_path, capsys):
    before = tree(victim)
    with pytest.raises(ValueError, match=f"^{name} must be"):
        Options(**{name: (1, element)})
    with pytest.raises(ValueError, match=f"^{name} must be"):
        cell_folder(tmp_path, *((element, 0) if name == "n" else (1, element)))
    words = "{a = 1}" if isinstance(element, dict) else json.dumps(element)
    config = tmp_path / "config.toml"
    config.write_text(f'data = "digits"\n{name} = [0, {words}]\n')
    assert run("train", "--config", config, "--run", tmp_path / "runs/mine", *QUICK[2:]) == 1
    folder = tmp_path / "run"
    folder.mkdir()
    config.replace(folder / "config.toml")
    assert run("eval", folder) == 1
    assert capsys.readouterr().err.count(f"{name} must be") == 2
    assert tree(victim) == before and not (tmp_path / "runs").exists()


@pytest.mark.parametrize("model", [[], ["--model", "hybrid", "--epochs", "1", "--min-steps", "1"]])
@pytest.mark.parametrize("how", ["auto", "never"])
def test_a_link_leads_out_of_the_run(how, model, victim, tmp_path, capsys):
    before = tree(victim)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "n50-seed0").symlink_to(victim)
    arguments = ["digits", "--run", folder, "--resume", how, *QUICK[:2], *model]
    assert run("train", *arguments) == 1
    assert "a link" in capsys.readouterr().err
    write_config(folder / "config.toml", Options(data="digits", n=(50,)))
    assert run("eval", folder) == 1
    assert "a link" in capsys.readouterr().err
    # One that is not asked for is left alone too.
    assert run("train", *arguments, "--seeds", 1) == 0
    assert tree(victim) == before


# --- a first attempt that fails ---------------------------------------------------------------

FAILED = {
    "J": (["--J", "9"], "2^J"),
    "n": (["--n", "5"], "n must be at least 1 a class"),
    "more than there are": (["--n", "100000"], "n = 100000 asks for"),
    "shape": (["--model", "alexnet", "--image-size", "8"], "alexnet"),
    "crop": (["--model", "hybrid", "--augment", "crop=40"], "crop=40"),
    "none held out": (["--model", "hybrid", "--n", "50", "--val", "0.001"], "val = 0.001"),
}


@pytest.mark.parametrize("which", FAILED)
def test_a_failed_attempt_leaves_nothing(which, tmp_path, capsys):
    arguments, words = FAILED[which]
    assert run("train", "digits", "--run", tmp_path / "run", *arguments) == 1
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_run_that_kept_nothing_binds_nobody(tmp_path, capsys):
    arguments = ["train", "digits", "--run", tmp_path, *QUICK]
    write_config(tmp_path / "config.toml", Options(data="digits", n=(50,), J=3, pool="mean"))
    assert run(*arguments) == 0
    assert read_config(tmp_path / "config.toml")["J"] == 2
    assert run(*arguments, "--J", 3) == 1  # now there is a result
    assert "holds a run with J = 2, now 3" in capsys.readouterr().err
