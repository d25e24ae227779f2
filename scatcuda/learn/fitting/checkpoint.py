"""One file with everything a training run needs to go on: safetensors, replaced atomically.

    model/NAME          parameters and buffers; of a run that is finished, the best
    best/NAME           of what is trained, at the best validation so far, if it may stop early
    optimizer/I/NAME    state of parameter I
    metadata            JSON: counters, schedule, history, what the run is (`identity`) and of
                        which content its `data`

No random state is kept: every random number follows from the seed and the number of the step.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...data import DataError
from ...files import read_tensors, write_tensors
from ...files.reading import parsed_json

__all__ = ["CHECKPOINT", "Checkpoint", "load_weights"]

CHECKPOINT = "checkpoint.safetensors"
_FORMAT = "scatcuda checkpoint 1"


class Checkpoint:
    """What is in the file: tensors by group, and one JSON object."""

    def __init__(self, tensors: Mapping[str, Tensor], about: dict[str, Any]) -> None:
        self.tensors: dict[str, Tensor] = dict(tensors)
        self.about = about

    def group(self, prefix: str) -> dict[str, Tensor]:
        """The tensors of one group, without its name."""
        start = prefix + "/"
        return {k[len(start) :]: v for k, v in self.tensors.items() if k.startswith(start)}

    def add_group(self, prefix: str, tensors: Mapping[str, Tensor]) -> None:
        self.tensors.update({f"{prefix}/{name}": tensor for name, tensor in tensors.items()})

    def add_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        state = optimizer.state_dict()
        plain: dict[str, dict[str, Any]] = {}
        for i, values in state["state"].items():
            for name, value in values.items():
                if isinstance(value, Tensor):
                    self.tensors[f"optimizer/{i}/{name}"] = value
                else:
                    plain.setdefault(str(i), {})[name] = value
        self.about["optimizer"] = {"groups": state["param_groups"], "state": plain}

    def restore_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Raises: ValueError: it is of another optimizer, beside the learning rate of the step."""
        kept, ours = self.about["optimizer"], optimizer.state_dict()["param_groups"]
        if [{**group, "lr": 0} for group in kept["groups"]] != [{**g, "lr": 0} for g in ours]:
            raise ValueError("its optimizer has other groups")
        state: dict[int, dict[str, Any]] = {int(i): dict(v) for i, v in kept["state"].items()}
        for name, tensor in self.group("optimizer").items():
            i, _, key = name.partition("/")
            state.setdefault(int(i), {})[key] = tensor
        optimizer.load_state_dict({"state": state, "param_groups": kept["groups"]})
        for parameter, values in optimizer.state.items():
            for key, value in values.items():
                if not (isinstance(value, Tensor) and value.shape == parameter.shape):
                    raise ValueError(f"its optimizer has a {key} that fits no parameter")

    def write(self, directory: str | os.PathLike[str]) -> None:
        """Replace the checkpoint of a run directory."""
        about = json.dumps({"format": _FORMAT, **self.about})
        write_tensors(Path(directory, CHECKPOINT), self.tensors, {"scatcuda": about})

    @classmethod
    def read(cls, directory: str | os.PathLike[str]) -> Checkpoint:
        """The checkpoint of a run directory.

        Raises: DataError: there is none, or the file is none of ours or damaged.
        """
        path = Path(directory, CHECKPOINT)
        tensors, metadata = read_tensors(path)
        try:
            about = parsed_json(str(path), metadata.get("scatcuda", ""))
            if about["format"] != _FORMAT:
                raise DataError(f"{path}: expected a {_FORMAT}, got {about['format']!r}")
        except (KeyError, TypeError):
            raise DataError(
                f"{path}: not a checkpoint of scatcuda; start over with resume = never"
            ) from None
        return cls(tensors, about)


def load_weights(model: nn.Module, directory: str | os.PathLike[str]) -> None:
    """Give a network the weights that a run directory holds; of a finished run, the best.

    Raises:
        DataError: there is no checkpoint, or it is damaged.
        ValueError: it is of another network.
    Example:
        >>> load_weights(nn.Linear(2, 2), "nowhere")
        Traceback (most recent call last):
        scatcuda.data.DataError: nowhere/checkpoint.safetensors: no such file
    """
    checkpoint = Checkpoint.read(directory)
    try:
        model.load_state_dict(checkpoint.group("model"))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"{Path(directory, CHECKPOINT)}: of another network ({reason})") from None
