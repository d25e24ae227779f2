"""What users get wrong on the command line, and what strangers hide in files: one sentence, nothing
written, nothing read or written outside the folders that were named."""

import errno
import io
import json
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("safetensors")
pytest.importorskip("sklearn")
pytest.importorskip("tqdm")

from scatcuda.cli import main
from scatcuda.data import load
from scatcuda.data.field import write_field, write_sound
from scatcuda.files import read_tensors, write_tensors
from scatcuda.learn import ScatteringTransformer, extract
from scatcuda.learn.experiments.evaluation import Evaluation
from scatcuda.learn.experiments.experiment import cell_folder
from scatcuda.learn.experiments.options import Options, read_config, write_config
from scatcuda.learn.fitting.distributed import processes
from scatcuda.learn.fitting.inference import pick_device
from scatcuda.terminal import printable

ROOT = Path(__file__).parents[1]
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


def test_features_that_were_never_written_bind_nobody(tmp_path, monkeypatch, capsys):
    arguments = ["features", "digits", "--pool", "mean", "--output", tmp_path]

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as context:
        context.setattr("scatcuda.learn.extraction.features.write_tensors", full)
        assert run(*arguments) == 1
    assert os.listdir(tmp_path) == ["manifest.json"]
    assert run(*arguments, "--dtype", "float32") == 0
    assert run(*arguments) == 1
    assert "holds other features: " in capsys.readouterr().err


def test_features_beyond_the_memory(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("scatcuda.learn.experiments.experiment.free_memory", lambda: 1 << 20)
    assert run("train", "digits", "--n", 50, "--run", tmp_path / "run") == 1
    assert "5184 features an image" in capsys.readouterr().err and not list(tmp_path.iterdir())


# --- the list ---------------------------------------------------------------------------------

# A command, and a word of the sentence that says what is wrong with it.
MISTAKES = [
    ("", "COMMAND"),
    ("nonsense", "nonsense"),
    ("train digits more", "more"),
    ("train digits --nonsense 3", "--nonsense"),
    ("train nowhere", "nowhere"),
    ("train digits --data-dir nowhere", "nowhere"),
    ("train digits --data-dir ''", "--data-dir"),
    ("train ''", "data"),
    ("train digits --run ''", "--run"),
    ("train digits --run file", "file"),
    ("train digits --run file/inside", "file"),
    ("train digits --config ''", "--config"),
    ("train digits --config absent.toml", "absent.toml"),
    ("train digits --config folder", "folder"),
    ("train digits --resume perhaps", "--resume"),
    ("train digits --resume must", "no run to resume"),
    ("train digits --model hybrid --save-every -1", "save_every"),
    ("train digits --model hybrid --save-every nan", "save_every"),
    ("train digits --save-every 60", "--save-every is no option of model = ridge"),
    ("train digits --save-every soon", "--save-every"),
    ("train digits --image-size -1", "image_size"),
    ("train digits --image-size 100000", "image_size"),
    ("train digits --image-size 16384", "more memory"),
    ("train digits --image-size 1.5", "--image-size"),
    ("train digits --model tree", "--model"),
    ("train digits --n", "--n"),
    ("train digits --n 0", "n must"),
    ("train digits --n -5", "--n"),
    ("train digits --n some", "--n"),
    ("train digits --n 5", "n must be at least 1 a class"),
    ("train digits --n 100000", "n = 100000"),
    ("train digits --n 99999999999999999999", "n must"),
    ("train digits --n 50 50", "n must name each once"),
    ("train digits --seeds 0 0", "seeds must name each once"),
    ("train digits --seeds all", "seeds"),
    ("train digits --seeds 4294967296", "seeds"),
    ("train digits --val 1", "val"),
    ("train digits --val -0.1", "val"),
    ("train digits --val nan", "val"),
    ("train digits --patience 3", "patience"),
    ("train digits --patience -1", "patience"),
    ("train digits --features edges", "--features"),
    ("train digits --J 0", "J must"),
    ("train digits --J 9", "2^J"),
    ("train digits --J 31", "J must"),
    ("train digits --L 0", "L must"),
    ("train digits --L 100000", "L must"),
    ("train digits --max-order 3", "max_order must be at most 2"),
    ("train digits --max-order -1", "max_order"),
    ("train digits --max-order 2.5", "--max-order"),
    ("train digits --filters gabor", "--filters"),
    ("train digits --pool max", "--pool"),
    ("train digits --alpha 0", "alpha"),
    ("train digits --alpha inf", "alpha"),
    ("train digits --alpha nan", "alpha"),
    ("train digits --model svm --C 0", "C must"),
    ("train digits --model svm --C -1", "C must"),
    ("train digits --model hybrid --head tail", "--head"),
    ("train digits --model hybrid --trainable all", "--trainable"),
    ("train digits --model alexnet --image-size 8", "alexnet"),
    ("train digits --epochs 0", "epochs"),
    ("train digits --epochs 99999999999999999999", "epochs"),
    ("train digits --min-steps -1", "min_steps"),
    ("train digits --batch-size 0", "batch_size"),
    ("train digits --lr 0", "lr"),
    ("train digits --lr inf", "lr"),
    ("train digits --lr fast", "--lr"),
    ("train digits --momentum 1", "momentum"),
    ("train digits --weight-decay -1", "weight_decay"),
    ("train digits --label-smoothing 1", "label_smoothing"),
    ("train digits --warmup 0", "warmup"),
    ("train digits --augment rotate", "augment"),
    ("train digits --augment crop=0", "augment"),
    ("train digits --augment ''", "--augment"),
    ("train digits --model hybrid --augment crop=40", "crop=40"),
    ("train digits --model hybrid --augment crop=" + "9" * 5000, "crop=999"),
    ("train digits --device nonsense", "device"),
    ("train digits --device meta", "device"),
    ("train digits --device cpu:7", "device"),
    ("train digits --device ''", "--device"),
    ("train digits --device cuda:99", "device"),
    ("train digits --threads -1", "threads"),
    ("train digits --threads 100000", "threads"),
    ("train digits --threads two", "--threads"),
    ("eval", "run"),
    ("eval ''", "run"),
    ("eval absent", "absent"),
    ("eval file", "file"),
    ("eval folder", "folder"),
    ("eval folder --n 0", "n must"),
    ("eval folder --n some", "--n"),
    ("eval folder --seed -1", "--seed"),
    ("eval folder --seed 1.5", "--seed"),
    ("eval folder --worst -1", "--worst"),
    ("eval folder --worst all", "--worst"),
    ("eval folder --data ''", "--data"),
    ("features", "--output"),
    ("features digits", "--output"),
    ("features digits --output ''", "--output"),
    ("features digits --output file", "file"),
    ("features digits --output file/inside", "file"),
    ("features absent --output out", "absent"),
    ("features digits --output out --J 9", "2^J"),
    ("features digits --output out --L 0", "L must"),
    ("features digits --output out --dtype int8", "--dtype"),
    ("features digits --output out --shard-size 0", "--shard-size"),
    ("features digits --output out --shard-size -1", "--shard-size"),
    ("features digits --output out --shard-size many", "--shard-size"),
    ("features digits --output out --device nonsense", "device"),
    ("features digits --output out --device cuda:99", "device"),
    ("features digits --output out --device tpu", "device must be auto, cpu or cuda, got 'tpu'"),
    ("features digits --output out --threads -1", "threads"),
    ("features digits --output out --image-size -1", "image_size"),
    ("features digits --output out --pool max", "--pool"),
    ("filters --J 0", "--J"),
    ("filters --J 9", "2^J"),
    ("filters --L 0", "--L"),
    ("filters --L 100000", "--L"),
    ("filters --shape 32", "--shape"),
    ("filters --shape 32,32,32", "--shape"),
    ("filters --shape 0,32", "--shape"),
    ("filters --shape=-8,-8", "--shape"),
    ("filters --shape 1000000,1000000", "must be at most"),
    ("filters --shape 99999999999999999999,32", "--shape"),
    ("filters --filters gabor", "--filters"),
    ("filters --output ''", "--output"),
    ("filters --output bank.jpg", "output"),
    ("filters --output nowhere/bank.png", "nowhere"),
    ("filters --output file/bank.safetensors", "file"),
    ("filters --output folder.png", "folder.png"),
    ("export", "FILE"),
    ("export ''", "FILE"),
    ("export nowhere/plan.scat", "nowhere"),
    ("export folder", "folder"),
    ("export plan.scat --J 6", "2^J"),
    ("export plan.scat --max-order 3", "max_order"),
    ("export plan.scat --dtype float16", "--dtype"),
    ("export plan.scat --shape 500000,500000", "must be at most"),
    ("bench --device cuda:99", "device"),
    ("bench --device nonsense", "device"),
    ("bench --device meta", "device"),
    ("bench --batch 0", "--batch"),
    ("bench --batch 2000000000", "GiB"),
    ("bench --threads 0", "--threads"),
    ("bench --threads -1", "--threads"),
    ("bench --threads 100000", "--threads"),
    ("bench --J 9", "2^J"),
    ("bench --max-order -1", "--max-order"),
    ("bench --shape x,y", "--shape"),
    ("data", "what"),
    ("data nonsense", "nonsense"),
    ("data list digits", "digits"),
    ("data list --data-dir nowhere", "nowhere"),
    ("data list --data-dir file", "file"),
    ("data list --data-dir ''", "--data-dir"),
    ("data verify", "verify needs a data set"),
    ("data verify ''", "data"),
    ("data verify absent", "absent"),
    ("data verify file", "file"),
    ("data verify folder", "folder"),
    ("info --J 3", "--shape"),
    ("info --shape 32,32", "--J"),
    ("info --J 9 --shape 32,32 --device H100", "2^J"),
    ("info --L 4", "--L is no option without a problem, --J and --shape"),
    ("info --max-order 2", "--max-order is no option without"),
    ("info --batch 128", "--batch is no option without"),
    ("info --double", "--double is no option without"),
    ("info --tier auto", "--tier is no option without"),
    ("info --workspace 5", "--workspace is no option without"),
    ("info --device cuda", "--device is no option without"),
    (
        "generate digits --n 899 --output a.png",
        "n = 899 asks for more training images than the 898",
    ),
    ("info --J 3 --shape 64,64 --device A1", "device"),
    ("info --J 3 --shape 64,64 --device cuda:99", "cuda"),
    ("info --J 3 --shape 64,64 --device H100 --tier fast", "--tier"),
    ("info --J 3 --shape 64,64 --device H100 --batch 0", "--batch"),
    ("info --J 3 --shape 64,64 --device H100 --workspace 0", "--workspace"),
    ("info --J 3 --shape 64,64 --device H100 --L 0", "--L"),
    ("info --J 3 --shape 64,64 --device H100 --max-order 4", "max_order"),
]


@pytest.mark.parametrize(("command", "word"), MISTAKES, ids=[text[:60] for text, _ in MISTAKES])
def test_a_mistake_is_one_sentence(command, word, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SCATCUDA_DATA", raising=False)
    Path("file").write_text("of the user")
    Path("folder").mkdir()
    Path("folder.png").mkdir()
    before = tree(tmp_path)
    assert run(*shlex.split(command)) in (1, 2)
    out, err = capsys.readouterr()
    *usage, said = err.splitlines()  # the usage goes before what argparse finds
    assert said.startswith("scatcuda") and word in said and out == ""
    assert not usage or usage[0].startswith("usage: scatcuda")
    assert "Traceback" not in err and "Error: " not in said and "Errno" not in said
    assert not re.match(r"scatcuda (\w+): \1:", said)
    assert len(said) < 400
    assert tree(tmp_path) == before


@pytest.mark.parametrize("features", ["scattering", "pixels"])
def test_a_device_is_looked_at_whatever_the_model(features, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    how = QUICK if features == "scattering" else [*QUICK[:2], "--features", "pixels"]
    assert run("train", "digits", "--run", tmp_path, *how) == 0
    capsys.readouterr()
    for device, words in (("tpu", "must be auto, cpu or cuda, got 'tpu'"), ("cuda", "no CUDA")):
        assert run("eval", tmp_path, "--device", device) == 1
        err = capsys.readouterr().err
        assert words in err and err.count("\n") == 1
    assert run("eval", tmp_path, "--device", "cpu") == 0


# --- output -----------------------------------------------------------------------------------


def test_an_expectation_that_is_not_met_fails(tmp_path, capsys):
    config = tmp_path / "my.toml"
    for words, met in (
        ("50 = 12.5", True), ("50 = 100", False), ("seconds = 0", False), ("seconds = 1e9", True),
    ):  # fmt: skip
        config.write_text(f'data = "digits"\nn = 50\npool = "mean"\n[expect]\n{words}\n')
        assert run("train", "--config", config, "--run", tmp_path / "run") == (0 if met else 1)
        out, err = capsys.readouterr()
        assert "accuracy" in out and "kept in" in out
        assert ("[expect] in" in err and "is not met" in err) != met


class Latin(io.TextIOWrapper):
    def __init__(self, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding)


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252"])
def test_output_in_other_letters(encoding, monkeypatch):
    for command in ("filters", "filters --help", "train digits --n 0", "data list"):
        out, err = Latin(encoding), Latin(encoding)
        monkeypatch.setattr("sys.stdout", out)
        monkeypatch.setattr("sys.stderr", err)
        assert run(*command.split()) == ("--n 0" in command)
        said = (out if "--n 0" not in command else err).buffer.getvalue().decode(encoding)
        assert len(said) > 50
        if command == "filters":
            assert "32 × 32" in said or "32 x 32" in said


class Broken(io.StringIO):
    """A stream that cannot be written to any more."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def flush(self) -> None:
        raise OSError(self.number, os.strerror(self.number))


def test_nobody_reads_any_more(monkeypatch, tmp_path, capsys):
    """The work is done to its end, and nothing is said of it."""
    monkeypatch.setattr("sys.stdout", Broken(errno.EPIPE))
    assert run("train", "digits", *QUICK, "--run", tmp_path / "run") == 0
    assert (tmp_path / "run/results.json").exists()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stdout", None)  # closed
    assert run("filters") == 0
    monkeypatch.setattr("sys.stderr", None)
    assert run("train", "digits", *QUICK, "--run", tmp_path / "run", "--seeds", 1) == 0
    assert run("train", "digits", "--n", 0) == run("nonsense") - 1 == 1
    monkeypatch.undo()
    monkeypatch.setattr("sys.stdout", Broken(errno.ENOSPC))  # > /dev/full
    assert run("filters") == 1
    assert "standard output: No space left on device" in capsys.readouterr().err


@pytest.mark.proof
@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("data list | head -1", 0, ""),
        ("data list > /dev/full", 1, "standard output: No space left on device"),
        ("train --help | head -1", 0, ""),
    ],
)
def test_in_a_shell(command, status, said):
    command = f"set -o pipefail; {shlex.quote(sys.executable)} -m scatcuda {command}"
    environment = {**os.environ, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == status and said in done.stderr
    assert done.stderr.count("\n") == bool(said)


# --- what the machine lacks -------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        "train digits --run run --n 50",
        "train digits --run run --n 50 --model hybrid --epochs 1 --min-steps 1",
        "features digits --output out",
        "filters --output bank.safetensors",
        "filters --output bank.png",
        "export plan.scat",
    ],
)
def test_a_full_disk(command, tmp_path, monkeypatch, capsys):
    """A file system of 32 KiB, or where none can be mounted a flush that fails."""
    monkeypatch.chdir(tmp_path)
    mounted = not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(tmp_path)], capture_output=True
    ).returncode
    try:
        if mounted:
            os.chdir(tmp_path)
        else:

            def full(*_: object) -> None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            monkeypatch.setattr(os, "fsync", full)
        assert run(*command.split()) == 1
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and "No space left on device" in err
        assert ".tmp" not in err
        assert not list(tmp_path.rglob("*.tmp"))
    finally:
        os.chdir(ROOT)
        if mounted:
            subprocess.run(["umount", "-l", str(tmp_path)], check=True)


@pytest.mark.parametrize(
    "command",
    [
        "synthesise {x} --J 2 --L 2 --steps 0 --n 4 --output out.npy",
        "invert {x} --J 1 --L 2 --steps 0 --output out.npy",
        "invert {sound} --J 4 --Q 2 --steps 0 --output out.wav",
        "statistics {x} --J 3 --output out.npz",
        "statistics {x} --J 3 --output out.csv",
        "scalogram {wav} --J 4 --output out.png",
        "features digits --pool mean --format parquet --output out",
    ],
)
def test_a_file_that_can_not_grow(command, tmp_path, monkeypatch, capsys):
    """What writes it says why, as of a disk that is full."""
    if "wav" in command:
        pytest.importorskip("soundfile")
    if "png" in command:
        pytest.importorskip("matplotlib")
    if "parquet" in command:
        pytest.importorskip("pyarrow")
    inputs = {"x": torch.rand(32, 32), "sound": torch.rand(4096)}
    for name, values in inputs.items():
        write_field(tmp_path / f"{name}.npy", values)
    paths = {name: tmp_path / f"{name}.npy" for name in inputs}
    if "{wav}" in command:
        write_sound(tmp_path / "x.wav", inputs["sound"], 8000)
        paths["wav"] = tmp_path / "x.wav"
    folder = tmp_path / "there"
    folder.mkdir()
    monkeypatch.chdir(folder)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, limits[1]))
    try:
        assert run(*command.format(**paths).split()) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    err = capsys.readouterr().err
    assert re.fullmatch(r"scatcuda \w+: out\S*: .*File too large.*\n", err), err
    assert not list(folder.rglob("*.tmp"))


@pytest.mark.proof
@pytest.mark.parametrize("name", ["CPU_ISA", "TIER", "WORKSPACE", "FILE_BUDGET"])
@pytest.mark.parametrize("command", ["-m scatcuda", "-W error -Om scatcuda", "-mscatcuda.demo"])
def test_the_environment_is_the_command_lines_too(name, command, tmp_path):
    done = subprocess.run(
        [sys.executable, *command.split(), "info", "--json"], cwd=tmp_path, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), f"SCATCUDA_{name}": "nonsense"}, text=True,
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    who, words = ("scatcuda.demo" if "demo" in command else "scatcuda"), f"SCATCUDA_{name} must be"
    assert done.stderr.startswith(f"{who}: {words}")
    assert "demo" in command or json.loads(done.stdout)["error"].startswith(words)


@pytest.mark.parametrize(
    ("rank", "size", "words"),
    [
        ("abc", "2", "RANK must be an integer from 0, as torchrun sets it; got 'abc'"),
        ("-1", "2", "RANK must be an integer from 0"),
        ("0", "abc", "WORLD_SIZE must be an integer from 0"),
        ("2", "2", "RANK must be 0 to WORLD_SIZE - 1, got 2 of 2 processes"),
    ],
)
def test_which_process_it_is_must_be_told_in_numbers(
    rank, size, words, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    for command in (["train", "digits", "--run"], ["features", "digits", "--output"]):
        assert run(*command, tmp_path / "out", "--json") == 1
        out, err = capsys.readouterr()
        assert err.startswith(f"scatcuda: {words}") and err.count("\n") == 1
        assert json.loads(out)["error"].startswith(words)
    with pytest.raises(ValueError, match=f"^{words}"):
        processes(torch.device("cpu"))
    with pytest.raises(ValueError, match=f"^{words}"):
        extract(load("digits"), ScatteringTransformer(2), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_the_gpu_of_a_process_is_a_number_too(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert pick_device("auto") == torch.device("cuda:1")
    for rank, words in (("two", "^LOCAL_RANK must be an integer"), ("2", "there are 2 CUDA")):
        monkeypatch.setenv("LOCAL_RANK", rank)
        with pytest.raises(ValueError, match=words):
            pick_device("auto")


@pytest.mark.proof
@pytest.mark.parametrize(
    ("missing", "package", "command"),
    [
        ("sklearn", "scikit-learn", "train digits --run run"),
        ("sklearn", "scikit-learn", "eval run"),
        ("safetensors", "safetensors", "filters --output bank.safetensors"),
        ("matplotlib", "matplotlib", "filters --output bank.png"),
        ("tqdm", "tqdm", "features digits --progress --output out"),
    ],
)
def test_a_package_that_is_missing_is_named(missing, package, command, tmp_path):
    """In a process of its own: modules that were imported stay."""
    program = (
        "import sys\n"
        f"sys.modules[{missing!r}] = None\n"
        "from scatcuda.cli import main\n"
        f"sys.exit(main({command.split()!r}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert package in done.stderr and "pip install" in done.stderr
    assert not list(tmp_path.iterdir())


# --- files from strangers ---------------------------------------------------------------------

DEEP = 100_000
CONFIGS = {
    "deep list": f"x = {'[' * 5000}",
    "deep table": "x = " + "{a = " * 3000,
    "long": "# " + "x" * DEEP,
    "not UTF-8": "data = '\udcff'",
    "surrogate": 'data = "\\ud83d\\ude00"',
    "digits": f"J = {'9' * 5000}",
    "hexadecimal": f"J = 0x{'f' * 5000}",
    "seeds": f"seeds = [0x{'f' * 5000}]",
    "no list": "n = {a = 1}",
    "date": "J = 2020-01-01",
    "nan": "lr = nan",
    "expect": "expect = 3",
    "expect n": "[expect]\n'../x' = 3",
    "expect nan": "[expect]\n100 = nan",
    "nul": 'data = "a\\u0000b"',
    "control": "'\x1b[2J' = 1",
    "control in a key": '"a\\u001b[2J\\nb" = 1',
    "control in a value": 'model = "a\\u001b[2J\\nb"',
    "control in a name": 'data = "a\\u001b[2J\\nb"',
}


@pytest.mark.parametrize("which", CONFIGS)
@pytest.mark.parametrize("command", ["train", "eval"])
def test_configurations_from_strangers(command, which, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    config = Path("run/config.toml")
    config.write_bytes(CONFIGS[which].encode("utf-8", "surrogateescape"))
    before = tree(tmp_path)
    how = ["train", "--config", config, "--run", "out"] if command == "train" else ["eval", "run"]
    if command == "eval" and which.startswith("expect"):
        return  # the other command's
    assert run(*how) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err[:-1].isprintable() and "Error: " not in err
    assert len(err) < 500 and tree(tmp_path) == before


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run that was stopped in the middle, as a checkpoint with everything in it."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert run("train", "digits", *NETWORK, "--run", folder) == 0
    (folder / "n50-seed0/result.json").unlink()
    return folder


NETWORK = ["--n", "50", "--model", "hybrid", "--head", "mlp", "--epochs", "2", "--min-steps", "4"]
NETWORK += ["--batch-size", "25", "--val", "0.2", "--patience", "5", "--no-progress"]


def gone(*keys):
    def change(about, tensors):
        for key in keys:
            about.pop(key, None)
            for name in [name for name in tensors if name.startswith(key)]:
                del tensors[name]

    return change


def put(**values):
    return lambda about, tensors: about.update(values)


def shaped(start, shape):
    def change(about, tensors):
        for name in tensors:
            if name.startswith(start):
                tensors[name] = torch.zeros(shape)

    return change


DAMAGE = {
    **{f"no {name}": gone(name) for name in (
        "identity", "step", "rows", "seconds", "unseen", "scaler", "best_accuracy", "worse",
        "stopped", "optimizer", "sums", "model/",
    )},
    **{f"{name} = {value!r:.20}": put(**{name: value}) for name, value in (
        ("identity", None), ("identity", {}), ("identity", []), ("step", None), ("step", -1),
        ("step", 10**9), ("step", "3"), ("step", 1e400), ("rows", None), ("rows", [None]),
        ("rows", [{"epoch": None}]), ("rows", {"a": 1}), ("seconds", None),
        ("seconds", float("nan")), ("unseen", []), ("scaler", None), ("best_accuracy", "1"),
        ("worse", None), ("stopped", 1),
        ("optimizer", None), ("optimizer", {}), ("optimizer", {"groups": [], "state": {}}),
        ("optimizer", {"groups": None, "state": None}),
    )},
    **{f"{name} {shape}": shaped(name, shape) for name in ("sums", "model/", "best/", "optimizer/")
       for shape in ((0,), (2, 2))},
}  # fmt: skip


@pytest.mark.parametrize("which", DAMAGE)
def test_a_damaged_checkpoint(which, trained, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    path = folder / "n50-seed0/checkpoint.safetensors"
    tensors, metadata = read_tensors(path)
    about = json.loads(metadata["scatcuda"])
    DAMAGE[which](about, tensors)
    write_tensors(path, tensors, {"scatcuda": json.dumps(about)})
    capsys.readouterr()
    assert run("train", "digits", *NETWORK, "--run", folder) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "checkpoint.safetensors: damaged (" in err, err


@pytest.mark.parametrize("text", ["", "null", "[]", "3", "{}", "[" * DEEP, '{"format": null}'])
def test_what_is_no_checkpoint(text, trained, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    path = folder / "n50-seed0/checkpoint.safetensors"
    write_tensors(path, {"model/x": torch.zeros(2)}, {"scatcuda": text})
    for command in (["train", "digits", *NETWORK, "--run"], ["eval"]):
        assert run(*command, folder) == 1
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and "checkpoint.safetensors: " in err


RESULT = {"n": 50, "seed": 0, "images": 50, "accuracy": 0.9, "tested": 899, "seconds": 1.0}


WRONG = [
    {"n": "../x"}, {"n": 60}, {"seed": 1}, {"images": None}, {"images": True}, {"accuracy": "0.9"},
    {"accuracy": 1.5}, {"accuracy": float("nan")}, {"tested": 0}, {"seconds": 1e999}, {"more": 1},
]  # fmt: skip
RESULTS = ["", "null", "[]", "[" * DEEP, "{}", "\x1b[2J", "\udcff"]
RESULTS += [json.dumps(RESULT | wrong) for wrong in WRONG]


@pytest.mark.parametrize("content", RESULTS, ids=lambda text: ascii(text[-30:]))
def test_a_damaged_result(content, tmp_path, capsys):
    write_config(tmp_path / "config.toml", Options(data="digits", n=(50,), pool="mean"))
    (tmp_path / "n50-seed0").mkdir()
    path = tmp_path / "n50-seed0/result.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert run("train", "digits", *QUICK, "--run", tmp_path) == 1
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 and out == ""
    assert re.search(r"result.json: (not a result of scatcuda|damaged) .*; delete it$", err)


# --- names ------------------------------------------------------------------------------------

NAMES = ["\N{GRINNING FACE} \N{SNOWMAN} é", 'quote " \\ \x7f tab\t', "line\nbreak \x1b[2J"]


@pytest.fixture
def images(tmp_path):
    """A folder of images for two classes, whose names are whatever file systems allow."""
    from PIL import Image

    def make(name: str, classes: tuple[str, ...]) -> Path:
        folder = tmp_path / name
        for part in ("train", "test"):
            for k, kind in enumerate(classes):
                inside = folder / part / kind
                inside.mkdir(parents=True)
                for i in range(4):
                    Image.new("L", (16, 16), 100 * k + 10 * i).save(inside / f"{i}.png")
        return folder

    return make


@pytest.mark.parametrize("name", NAMES)
def test_names_of_paths_are_read_as_written(name, images, tmp_path, monkeypatch, capsys):
    folder = images(name, ("a", "b"))
    monkeypatch.chdir(tmp_path)
    how = ["--image-size", 16, "--pool", "mean"]
    assert run("train", folder, *how) == 0  # its run folder has the name too
    kept = Path("runs") / f"{name}-ridge"
    assert read_config(kept / "config.toml")["data"] == str(folder)
    assert run("train", folder, *how) == 0
    assert run("eval", kept) == 0
    assert run("data", "verify", folder) == 0
    out, err = capsys.readouterr()
    assert err == "" and all(line.isprintable() for line in out.split("\n"))
    assert f"kept in    runs/{printable(name)}-ridge\n" in out


CLASSES = ("red\nblue", "\x1b[2J\x9b1m", "caf\udce9", "\u202eevil")


def test_names_of_classes_cannot_steer_a_terminal(images, tmp_path, capsys):
    folder = images("images", CLASSES)
    how = ["--image-size", 16, "--pool", "mean"]
    assert run("train", folder, *how, "--run", tmp_path / "run") == 0
    assert run("features", folder, *how, "--output", tmp_path / "out") == 0
    capsys.readouterr()
    assert run("eval", tmp_path / "run") == 0
    out = capsys.readouterr().out
    assert all(line.isprintable() for line in out.split("\n"))
    table = out.split("\n\n")[1].splitlines()
    assert len(table) == 2 + len(CLASSES) and r"caf\udce9" in out

    (folder / "test" / CLASSES[1] / "0.png").write_bytes(b"damaged")
    assert run("data", "verify", folder) == 1
    assert run("data", "list", "--data-dir", tmp_path) == 0
    assert run("train", folder, *how, "--run", tmp_path / "again") == 1
    out, err = capsys.readouterr()
    assert all(line.isprintable() for line in (out + err).split("\n"))
    assert err.count("\n") == 1


def test_names_that_are_no_unicode(images, tmp_path, capsys):
    size, pool = ["--image-size", 16], ["--pool", "mean"]
    how = [*size, *pool]
    folder = images("caf\udce9", ("a", "b"))
    assert run("train", folder, *how, "--run", tmp_path / "run") == 1
    assert r"caf\udce9" in capsys.readouterr().err and not (tmp_path / "run").exists()
    (tmp_path / "link").symlink_to(folder)
    for model in (pool, NETWORK[2:]):
        where = tmp_path / f"run \udce9{len(model)}"
        assert run("train", tmp_path / "link", *size, *model, "--run", where) == 0
        assert run("eval", where) == 0
    for written in ("written now", "0 files written now"):
        capsys.readouterr()
        assert run("features", tmp_path / "link", *how, "--output", tmp_path / "out \udce9") == 0
        assert written in capsys.readouterr().out
    assert run("filters", "--output", tmp_path / "\udce9.png") == 0
    assert run("filters", "--output", tmp_path / "\udce9.safetensors") == 0
    assert run("export", tmp_path / "\udce9.scat") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("argument", ["\x1b[2J\n", "caf\udce9", "\u202e"])
@pytest.mark.parametrize(
    "command",
    ["{}", "train {}", "train digits {}", "train digits --run run --augment {}", "eval {}",
     "train digits --model {}", "train --config {}", "eval run --n {}", "features {} --output x",
     "filters --shape {}", "filters --output {}", "data verify {}", "data list --data-dir {}",
     "bench --device {}", "info --J 2 --shape 32,32 --device {}", "export plan {}",
     "train digits --data-dir {}", "train digits --device {}", "export no/{}"],
)  # fmt: skip
def test_arguments_cannot_steer_a_terminal(command, argument, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = [word.format(argument) for word in command.split()]
    assert run(*arguments) in (1, 2)
    out, err = capsys.readouterr()
    assert out == "" and all(line.isprintable() for line in err.split("\n"))
    assert err.splitlines()[-1].startswith("scatcuda") and not list(tmp_path.iterdir())


# --- images in files ---------------------------------------------------------------------------


def pictures(folder: Path, *names: str, size: int = 16) -> Path:
    """Images of noise, of a grey level by their class; what is called damaged is."""
    Image = pytest.importorskip("PIL.Image")
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if "damaged" in name:
            path.write_bytes(b"nothing")
            continue
        level = 60 + 120 * ("/b/" in f"/{name}")
        pixels = torch.randint(level, level + 30, (size, size), generator=torch.manual_seed(i))
        Image.fromarray(pixels.to(torch.uint8).numpy()).save(path)
    return folder


SMALL = ["--J", "2", "--pool", "mean"]
UNSPLIT = [f"{c}/{i}.png" for c in "ab" for i in range(5)]


def test_features_of_a_flat_folder(tmp_path, capsys):
    """As the README has it: no classes, no test set, not even one size."""
    from scatcuda.learn import load_features

    images = pictures(tmp_path / "images", "1.png", "2.png", ".hidden.png", "sub/3.png")
    pictures(images, "sub/wide/4.png", size=20)
    (images / "x.txt").write_text("no image")
    assert run("features", images, *SMALL, "--image-size", 16, "--output", tmp_path / "out") == 0
    out = capsys.readouterr().out
    assert "4 rows" in out and "images 3 × 16 × 16, without labels: -1" in out
    assert "over 1 hidden, 1 .txt" in out
    x, y = load_features(tmp_path / "out")
    assert x.shape == (4, 3 * 81) and y.tolist() == [-1] * 4
    assert not (tmp_path / "out/skipped.json").exists()
    with pytest.raises(ValueError, match=r"split must be one of \['train'\]"):
        load_features(tmp_path / "out", "test")
    assert run("features", images, *SMALL, "--image-size", 16, "--output", tmp_path / "out") == 0
    assert "0 files written now" in capsys.readouterr().out


def test_features_of_classes_without_a_split_in_their_own_size(tmp_path, capsys):
    from scatcuda.learn import load_features

    images = pictures(tmp_path / "images", *UNSPLIT)
    assert run("features", images, *SMALL, "--grey", "--output", tmp_path / "out") == 0
    assert "images 16 × 16, 2 classes" in capsys.readouterr().out
    x, y = load_features(tmp_path / "out")
    assert x.shape == (10, 81) and y.tolist() == [0] * 5 + [1] * 5


def test_skipped_images_are_listed_beside_features(tmp_path, capsys):
    from scatcuda.learn import load_features

    images = pictures(tmp_path / "images", *UNSPLIT, "a/damaged.png", "b/damaged.png")
    arguments = ["features", images, *SMALL, "--output", tmp_path / "out"]
    assert run(*arguments) == 1
    assert "a/damaged.png: not an image that can be read" in capsys.readouterr().err
    assert run(*arguments, "--on-error", "skip") == 0
    assert "skipped    2 that cannot be read" in capsys.readouterr().out
    listed = json.loads((tmp_path / "out/skipped.json").read_text())
    assert [Path(each["file"]).parent.name for each in listed] == ["a", "b"]
    assert all(each["reason"].startswith("not an image that can be read") for each in listed)
    assert load_features(tmp_path / "out")[1].tolist() == [0] * 5 + [1] * 5
    # One that can be read now belongs to the data; the features are of others.
    pictures(images, "a/repaired.png")
    (images / "a/damaged.png").write_bytes((images / "a/repaired.png").read_bytes())
    (images / "a/repaired.png").unlink()
    assert run(*arguments, "--on-error", "skip") == 1
    assert "11 training images, before 10" in capsys.readouterr().err
    for name in ("a/damaged.png", "b/damaged.png"):
        (images / name).unlink()
    assert run(*arguments) == 0
    assert not (tmp_path / "out/skipped.json").exists()


def test_train_on_an_unsplit_folder(tmp_path, capsys):
    images = pictures(tmp_path / "images", *UNSPLIT, "a/damaged.png", "b/.hidden.png")
    arguments = ["train", images, *SMALL, "--run", tmp_path / "run", "--on-error", "skip"]
    assert run(*arguments) == 1
    err = capsys.readouterr().err
    assert "it has no test set" in err and "test-fraction" in err and err.count("\n") == 1
    arguments += ["--test-fraction", "0.4", "--seeds", "0", "1"]
    assert run(*arguments) == 0
    out = capsys.readouterr().out
    assert out.count("accuracy   100.00%") == 2 and "(6 images" in out
    assert "over 1 hidden" in out and "skipped    are listed in" in out
    (listed,) = json.loads((tmp_path / "run/skipped.json").read_text())
    assert listed["file"].endswith("a/damaged.png")
    noted = [json.loads((tmp_path / f"run/nall-seed{s}/data.json").read_text()) for s in (0, 1)]
    assert noted[0]["test"]["rows"] == noted[1]["test"]["rows"] == 4
    assert noted[0]["test"]["images"] != noted[1]["test"]["images"]  # each seed sets others aside
    # eval: the same images, and all of another folder, whatever of it can be read.
    assert run("eval", tmp_path / "run", "--seed", 1) == 0
    assert "100.00% of 4 images" in capsys.readouterr().out
    others = pictures(tmp_path / "others", *UNSPLIT[:7], "b/damaged.png")
    assert run("eval", tmp_path / "run", "--data", others) == 0
    out = capsys.readouterr().out
    assert "100.00% of 7 images" in out and "b/damaged.png: not an image" in out
    assert run("eval", tmp_path / "run", "--data", others, "--on-error", "stop") == 1
    assert "b/damaged.png: not an image" in capsys.readouterr().err
    flat = pictures(tmp_path / "flat", "1.png")
    assert run("eval", tmp_path / "run", "--data", flat) == 1
    assert "images without labels, which cannot be tested" in capsys.readouterr().err


PICTURES = {
    "no labels": (["1.png", "2.png"], [], "images without labels; to learn from"),
    "one class": (["a/1.png"], [], "images without labels; to learn from"),
    "no images": ([], [], "none of these"),
    "a test set and a fraction": (
        ["train/a/1.png", "train/b/1.png", "val/a/1.png"], ["--test-fraction", "0.5"],
        "test_fraction is for data without a test set",
    ),
    "a class of one": (["a/1.png", "b/1.png"], ["--test-fraction", "0.5"], "of one image cannot"),
    "fraction": (UNSPLIT, ["--test-fraction", "1"], "test_fraction must be at least 0 and below 1"),
    "crop": (UNSPLIT, ["--crop", "0"], "crop must be at most 1 and above 0"),
    "crop, too much": (UNSPLIT, ["--crop", "1.5"], "crop must be at most 1 and above 0"),
    "size": (UNSPLIT, ["--image-size", "-1"], "image_size must be"),
    "on error": (UNSPLIT, ["--on-error", "ignore"], "invalid choice: 'ignore'"),
    "an empty class": ([*UNSPLIT, "c/damaged.txt"], ["--test-fraction", "0.5"], "c: it holds no"),
    "damaged": ([*UNSPLIT, "a/damaged.png"], ["--test-fraction", "0.5"], "a/damaged.png: not an"),
    "a class that cannot be read": (
        [*UNSPLIT, "c/damaged.png"], ["--test-fraction", "0.5", "--on-error", "skip"],
        "c: it holds no images that can be read",
    ),
}  # fmt: skip


@pytest.mark.parametrize("which", PICTURES)
def test_mistakes_with_images(which, tmp_path, capsys):
    names, arguments, words = PICTURES[which]
    (tmp_path / "images").mkdir()
    images = pictures(tmp_path / "images", *names)
    assert run("train", images, *SMALL, "--run", tmp_path / "run", *arguments) in (1, 2)
    err = capsys.readouterr().err
    assert words in err and "Traceback" not in err
    assert err.count("\n") == 1 or "usage" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("option", [["--crop", "1"], ["--grey"], ["--on-error", "skip"]])
def test_options_of_images_in_files_are_of_no_others(option, tmp_path, capsys):
    assert run("features", "digits", *SMALL, "--output", tmp_path / "out", *option) == 1
    name = option[0].removeprefix("--").replace("-", "_")
    assert f"'{name}' is no option of 'digits'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# --- words ------------------------------------------------------------------------------------


def test_a_command_is_named_once(capsys):
    assert run("filters", "--J", 3, "--shape", "300000,300000") == 1
    assert capsys.readouterr().err.startswith("scatcuda filters: J = 3, L = 8 and shape = ")


@pytest.mark.parametrize(
    ("act", "place"),
    [
        (lambda folder: run("train", "digits", *QUICK, "--run", folder / "file"), "file"),
        (lambda folder: run("train", "digits", *QUICK, "--run", folder / "file/a"), "file"),
        (lambda folder: run("features", "digits", "--output", folder / "file"), "file"),
        (lambda folder: run("features", "digits", "--output", folder / "link"), "link"),
        (lambda folder: run("features", "digits", "--output", folder / "file/a/b"), "file"),
    ],
)
def test_a_file_in_the_way_of_a_folder(act, place, tmp_path, capsys):
    (tmp_path / "file").write_text("of the user")
    (tmp_path / "link").symlink_to("nowhere")
    assert act(tmp_path) == 1
    said = capsys.readouterr().err
    assert f"{tmp_path / place}" in said and "not a folder" in said
    assert (tmp_path / "file").read_text() == "of the user"


def test_processes_do_not_say_the_same_twice(tmp_path, monkeypatch, capsys):
    """As torchrun starts them: one does what they do not share, and each says which it is."""
    for command in (["eval", "nowhere"], ["data", "list"], ["info"], ["features", "nowhere"]):
        said = []
        for rank in ("0", "1"):
            monkeypatch.setenv("RANK", rank)
            monkeypatch.setenv("WORLD_SIZE", "2")
            output = ["--output", tmp_path / "f"] if command[0] == "features" else []
            status = run(*command, *output)
            out, err = capsys.readouterr()
            said += [out + err]
            if rank == "1" and command[0] != "features":
                assert status == 0 and not said[1]
        assert said[0] and said[0] != said[1]
    assert said[1].startswith("scatcuda features (process 1): nowhere: ")
    lines = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        assert run("features", "digits", "--pool", "mean", "--output", tmp_path / "f") == 0
        lines += capsys.readouterr().out.splitlines()
    assert [line.split("rows, ")[-1] for line in lines] == [
        "1 files written now by process 0", "of         images 32 × 32, 10 classes",
        "1 files written now by process 1",
    ]  # fmt: skip


def test_classes_in_the_table_are_told_apart():
    truth = torch.arange(4)
    names = ("Ankle boot", "Ankle boots", "a\nb\x1b[2J", "ü" * 60)
    text = Evaluation(names, truth, truth).text()
    assert "\x1b" not in text
    table = text.splitlines()[2:8]
    assert table[0] == "rows: what the images are; columns, by their row: what they were taken for"
    assert table[1].split() == ["1", "2", "3", "4"]
    assert table[2].startswith(" 1 Ankle boot  ") and table[3].startswith(" 2 Ankle boots  ")
    assert table[4].startswith(r" 3 a\nb\x1b[2J  ") and table[5].startswith(f" 4 {'ü' * 39}…  ")
    assert len(set(map(len, table[1:6]))) == 1
    short = Evaluation(("cat", "dog"), truth[:2], truth[:2]).text().splitlines()
    assert short[3] == "       cat  dog" and short[4] == "cat      1    ·"
