"""Training and feature extraction, killed with SIGKILL at ten random moments each.

Both must end with the bits of the run that nobody disturbed, and leave no file that cannot be read.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from scatcuda.files import read_tensors
from scatcuda.learn.fitting.checkpoint import CHECKPOINT, Checkpoint

KILLS = 10
ROOT = Path(__file__).parents[2]
TRAIN = """train digits --model hybrid --head mlp --trainable wavelets --epochs 12
    --augment crop=2 --save-every 0 --threads 1 --device cpu""".split()
FEATURES = "features digits --J 2 --shard-size 16 --device cpu".split()


def measure() -> dict[str, Any]:
    """Run both; what came out."""
    with tempfile.TemporaryDirectory() as folder:
        trained = _survives(
            [*TRAIN, "--run"], Path(folder, "whole"), Path(folder, "killed"), _weights, _checkpoint
        )
        extracted = _survives(
            [*FEATURES, "--output"], Path(folder, "rows"), Path(folder, "cut"), _rows, _shards
        )
    verdicts = [
        {"met": good, "text": f"{what}: {words}"}
        for what, (good, words) in (("training", trained), ("features", extracted))
    ]
    return {"kind": "killed", "title": f"Killed {KILLS} times and resumed", "verdicts": verdicts}


def _survives(
    command: list[str],
    whole: Path,
    cut: Path,
    content: Callable[[Path], Any],
    check: Callable[[Path], None],
) -> tuple[bool, str]:
    """Whether a command that is killed and repeated leaves in `cut` what it leaves in `whole`."""
    start = time.perf_counter()
    _start([*command, str(whole)]).communicate()
    lasts = time.perf_counter() - start
    clock, kills, runs = random.Random(0), 0, 0
    while True:
        runs += 1
        process = _start([*command, str(cut)])
        if kills < KILLS:
            # Where it stands is kept: the remaining time shrinks, and so does the wait.
            wait = clock.uniform(0.3, 1.0) * lasts * (1 - kills / (KILLS + 4))
            try:
                process.wait(wait)
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
        _, err = process.communicate()
        check(cut)
        if process.returncode == 0 and (kills == KILLS or runs > 3 * KILLS):
            break
        if process.returncode == 0:  # done before it could be killed: once more, from nothing
            cut = cut.with_name(f"{cut.name}-")
        elif process.returncode != -9:
            return False, f"ended with status {process.returncode}: {err.strip()[-500:]}"
    same = content(cut) == content(whole)
    return same, f"{kills} kills, {'the same bits' if same else 'OTHER BITS'}"


def _start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "scatcuda", *command], cwd=ROOT, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def _checkpoint(run: Path) -> None:
    for path in run.rglob(CHECKPOINT):
        Checkpoint.read(path.parent)


def _weights(run: Path) -> dict[str, bytes]:
    found = Checkpoint.read(next(run.rglob(CHECKPOINT)).parent).group("model")
    return {name: _bits(value) for name, value in found.items()}


def _shards(run: Path) -> None:
    for path in run.glob("*.safetensors"):
        read_tensors(path)


def _rows(run: Path) -> dict[tuple[str, str], bytes]:
    return {
        (path.name, name): _bits(value)
        for path in sorted(run.glob("*.safetensors"))
        for name, value in read_tensors(path)[0].items()
    }


def _bits(value: torch.Tensor) -> bytes:
    return value.contiguous().flatten().view(torch.uint8).numpy().tobytes() + bytes(
        str(tuple(value.shape)), "ascii"
    )
