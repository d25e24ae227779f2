"""Train a network on images: `fit`.

One step: draw a batch (x, y), augment x on the device, and with g = ∇ loss(model(x), y) + λ w take
Nesterov's step v ← μ v + g, w ← w − η (g + μ v), where η goes through one cycle.

Where nothing in front of the head of a `Hybrid` is learned and nothing augments, its features are
computed once. A run in a directory can be killed at any moment and resumed: on a CPU it ends with
the same weights, bit for bit, since every random number follows from the seed and the step.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Unpack

from ...arguments import seconds
from ...data import DataError, Pairs
from ...files import make_folder
from ...typing import Resume
from ..experiments.identity import content, described, difference
from ..extraction.description import stable_repr
from ..extraction.shard import Images, Shard, free_memory
from ..networks.models import Hybrid
from .augment import Augment
from .checkpoint import CHECKPOINT, Checkpoint
from .descent import descent, learning_rate, mix, precision
from .distributed import Place, processes
from .history import Row, Teller
from .inference import (
    BATCH,
    check_classes,
    evaluating,
    measure,
    pick_device,
    prepared,
    rank_of,
    sums_of,
)
from .recipe import Recipe, RecipeFields
from .signals import Asked, stop_signals

__all__ = ["fit", "try_out"]

_EVERY = 10  # steps between agreements of several processes
_LOOK = 0.5  # seconds between readings of the loss: on a GPU each waits for the device


def fit(
    model: nn.Module,
    train: tuple[Images, Tensor] | Pairs,
    val: tuple[Images, Tensor] | Pairs | None = None,
    *,
    run_dir: str | os.PathLike[str] | None = None,
    resume: Resume = "auto",
    save_every: float = 60.0,
    device: torch.device | str = "auto",
    cache: bool | None = None,
    progress: bool | None = None,
    tensorboard: bool | None = None,
    **recipe: Unpack[RecipeFields],
) -> list[Row]:
    """Train `model` in place.

    Under ``torchrun`` every process takes its share of the images and of each batch, and the
    gradients are averaged (`DistributedDataParallel`).

    Args:
        model: gives logits ``[B, classes]`` for images ``[B, C, M, N]``, float32 or as its weights
            are.
        train: images ``[n, M, N]`` (given a channel), ``[n, C, M, N]`` or any ``[n, ...]``, of a
            `Hybrid` of signals ``[n, N]`` or ``[n, C, N]``, of densities likewise, uint8
            (divided by 255) or floating point (taken as they are), a tensor, an array or a lazy
            array such as `scatcuda.data.Images`; and labels ``[n]``, classes from 0. Or a
            `Dataset`'s ``train``.
        val: likewise, to be validated on: in the end, and at the end of an epoch if, since the
            last time, at least as many images were trained on as `val` holds.
        run_dir: keeps ``checkpoint.safetensors``, ``history.jsonl``, ``curves.png`` and
            TensorBoard's events; made if need be.
        resume: ``"auto"`` goes on from a checkpoint in ``run_dir`` if there is one, ``"must"``
            insists on one, ``"never"`` starts over.
        save_every: seconds between checkpoints. One is written in the end, and on SIGTERM and
            Ctrl-C (a second one acts at once).
        device: ``"auto"`` is CUDA where there is one.
        cache: keep the features of a `Hybrid` in memory, as float16; None: if nothing in front
            of the head is learned, nothing augments, and they take half of what is free at most.
        progress: a bar on stderr; None: if stderr is a terminal.
        tensorboard: write its events; None: if it is installed.
        **recipe: the fields of `scatcuda.learn.Recipe`: ``epochs``, ``batch_size``, ``lr``, …
    Returns: One row an epoch: ``epoch``, ``step``, ``lr``, ``loss`` and ``accuracy`` (of the
        training batches), ``seconds``, ``images_per_second``, and where validated ``val_loss`` and
        ``val_accuracy``.
    Raises:
        TypeError, ValueError: an argument is wrong, or ``run_dir`` holds another run.
        FloatingPointError: the loss is no longer finite.
        KeyboardInterrupt, SystemExit: Ctrl-C, SIGTERM; the checkpoint has been written.
    Example:
        >>> from scatcuda.data import digits
        >>> x, y = digits(8)
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        >>> history = fit(model, (x, y), epochs=20, lr=0.5, device="cpu")
        >>> history[-1]["accuracy"] > 0.9
        True
    """
    settings = Recipe(**recipe)
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a module, got {type(model).__name__}")
    if resume not in get_args(Resume):
        raise ValueError(f"resume must be auto, must or never, got {resume!r}")
    save_every = seconds("save_every", save_every)
    if settings.patience and val is None:
        raise ValueError("patience needs images to validate on: val")
    if resume == "must" and run_dir is None:
        raise ValueError("resume='must' needs a run_dir")
    where = pick_device(device)
    place = processes(where)
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng([where] if where.type == "cuda" else []))
        rank = rank_of(model)
        shards = {"train": Shard("train", train, rank=rank)}
        run = _Run(model.to(where), shards["train"], settings, place, where, cache)
        if val is not None:
            shards["val"] = Shard("val", val, rank=rank)
            run.validate_on(shards["val"])
        directory = Path(run_dir) if run_dir is not None else None
        if directory:
            run.data = {name: described(shard.x, shard.y) for name, shard in shards.items()}
            make_folder(directory)
            run.resume(directory, resume)
            place.wait()  # nobody writes before everybody has read
        asked = stack.enter_context(stop_signals()) if directory else Asked()
        mine = directory if place.rank == 0 else None
        teller = Teller(
            mine, run.rows, images=run.steps * run.batch * place.size,
            done=run.step * run.batch * place.size, epochs=run.epochs,
            progress=progress if place.rank == 0 else False, tensorboard=tensorboard,
        )  # fmt: skip
        stack.callback(teller.close)
        run.train(directory, save_every, teller, asked)
    return run.rows


class _Run:
    """The network, its data, and where training stands."""

    def __init__(
        self,
        model: nn.Module,
        train: Shard,
        recipe: Recipe,
        place: Place,
        device: torch.device,
        cache: bool | None,
    ) -> None:
        self.recipe, self.place, self.device = recipe, place, device
        self.model = self.net = model  # `net` is what is trained: all, or the head on features
        try_out(model, train, recipe, device)
        self.identity: dict[str, Any] = {
            **recipe.written(), "processes": place.size, "model": _signature(model),
        }  # fmt: skip
        self.data: dict[str, Any] = {}  # what `described` says of the data, if it is kept
        total = len(train)
        if recipe.batch_size % place.size:
            raise ValueError(
                f"batch_size must be a multiple of the number of processes, {place.size}; "
                f"got {recipe.batch_size}"
            )
        if total < place.size:
            raise ValueError(f"train: {total} images for {place.size} processes")
        self.train_on = train.part(torch.arange(place.rank, total, place.size))
        self.hybrid = _cached(model, train, recipe, device, cache)
        if self.hybrid:
            self.net = self.hybrid.head
            self.train_on = self._featured(self.train_on)
        self.train_on = self.train_on.on(device)
        self.val_on: Shard | None = None
        self.val_size = 0

        least = total // place.size  # what every process has
        self.batch = min(recipe.batch_size // place.size, least)
        self.per_epoch = least // self.batch
        self.epochs = max(recipe.epochs, math.ceil(recipe.min_steps / self.per_epoch))
        self.steps = self.epochs * self.per_epoch

        self.optimizer = descent(self.net, recipe)
        self.precision = precision(recipe.amp, device)
        self.scaler = torch.amp.GradScaler(
            device.type, enabled=recipe.amp and self.precision == torch.float16
        )
        self.step = 0
        self.sums = torch.zeros(3, dtype=torch.float64, device=device)  # loss, right, images
        self.seconds = 0.0  # of this epoch, before `self.began`
        self.began = 0.0
        self.unseen = 0  # images trained on since the last validation
        self.best: dict[str, Tensor] = {}
        self.best_accuracy, self.worse, self.stopped = -1.0, 0, False
        self.rows: list[Row] = []

    def validate_on(self, val: Shard) -> None:
        try_out(self.model, val, self.recipe, self.device)
        self.val_size = len(val)
        mine = val.part(torch.arange(len(val))[self.place.share(len(val))])
        self.val_on = (self._featured(mine) if self.hybrid else mine).on(self.device)

    def _featured(self, shard: Shard) -> Shard:
        assert self.hybrid is not None
        with evaluating(self.hybrid), torch.no_grad():
            return shard.mapped(self.hybrid.features, BATCH, self.device)

    # --- the loop -----------------------------------------------------------------------------

    def train(self, directory: Path | None, every: float, teller: Teller, asked: Asked) -> None:
        forward = self._parallel(self.net)
        if self.recipe.compile:
            forward = torch.compile(forward)
        looked = saved = self.began = time.monotonic()
        while self.step < self.steps and not self.stopped:
            epoch, first = divmod(self.step, self.per_epoch)
            order = self._order(epoch)[first:]
            self.net.train()
            for x, y in self.train_on.batches(order, self.device):
                self._learn(forward, x, y)
                teller.step(self.batch * self.place.size)
                now = time.monotonic()
                if now - looked > _LOOK:
                    looked = now
                    loss, right, images = self.sums.tolist()
                    self._finite(loss)
                    teller.look(epoch, loss / images, right / images)
                if self.step % self.per_epoch == 0:
                    self._finish_epoch(epoch, teller)
                if directory and (self.place.size == 1 or self.step % _EVERY == 0):
                    stop, save = self._agree(asked.signal, now - saved >= every)
                    if stop or save:
                        self.save(directory)
                        saved = time.monotonic()
                    if stop:
                        asked.act(stop)
        self.place.share_first(self.net.buffers())
        if self.best:
            self.net.load_state_dict(self.best)
        if directory:
            self.save(directory)

    def _order(self, epoch: int) -> Tensor:
        """The batches ``[per_epoch, batch]`` of an epoch, as places in the shard."""
        random = torch.Generator().manual_seed(mix(self.recipe.seed, epoch, self.place.rank, 0))
        order = torch.randperm(len(self.train_on), generator=random)
        return order[: self.per_epoch * self.batch].reshape(self.per_epoch, self.batch)

    def _learn(self, forward: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> None:
        """One step."""
        seed = mix(self.recipe.seed, self.step, self.place.rank, 1)
        torch.manual_seed(seed)  # of dropout
        if self.recipe.augment:
            assert isinstance(self.recipe.augment, Augment)
            x = self.recipe.augment(x, torch.Generator().manual_seed(seed))
        with torch.autocast(self.device.type, self.precision, enabled=self.recipe.amp):
            logits = forward(prepared(x, self.net))
        loss = F.cross_entropy(logits.float(), y, label_smoothing=self.recipe.label_smoothing)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, self.step, self.steps)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        with torch.no_grad():
            self.sums += torch.stack(sums_of(logits, y, loss))
        self.step += 1
        self.unseen += self.batch * self.place.size

    def _finish_epoch(self, epoch: int, teller: Teller) -> None:
        loss, right, images = self.place.sum(self.sums).tolist()
        self._finite(loss)
        now = time.monotonic()
        seconds = self.seconds + now - self.began
        row: Row = {
            "epoch": epoch + 1, "step": self.step, "lr": self.optimizer.param_groups[0]["lr"],
            "loss": loss / images, "accuracy": right / images, "seconds": round(seconds, 3),
            "images_per_second": round(images / max(seconds, 1e-9), 1),
        }  # fmt: skip
        if self.val_on and (self.unseen >= self.val_size or self.step == self.steps):
            self.unseen = 0
            loss, right, images = self._validate(self.val_on)
            row |= {"val_loss": loss / images, "val_accuracy": right / images}
            self._stop_early(right / images)
        teller.look(
            epoch, row.get("val_loss", row["loss"]), row.get("val_accuracy", row["accuracy"])
        )
        teller.epoch(row)
        self.rows.append(row)
        self.sums.zero_()
        self.seconds, self.began = 0.0, time.monotonic()

    def _validate(self, shard: Shard) -> list[float]:
        self.place.share_first(self.net.buffers())  # each process has running statistics of its own
        sums = measure(self.net, shard, self.device)
        self.net.train()
        return self.place.sum(sums).tolist()

    def _stop_early(self, accuracy: float) -> None:
        if not self.recipe.patience:
            return
        if accuracy > self.best_accuracy:
            self.best_accuracy, self.worse = accuracy, 0
            self.best = {k: v.detach().clone() for k, v in self.net.state_dict().items()}
        else:
            self.worse += 1
            self.stopped = self.worse >= self.recipe.patience

    def _finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the loss became {loss} before step {self.step}: lr={self.recipe.lr} is too large "
                "for this network, or the images are not what it expects"
            )

    def _parallel(self, net: nn.Module) -> Callable[[Tensor], Tensor]:
        if self.place.size == 1:
            return net
        devices = [self.device] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(net, device_ids=devices)

    def _agree(self, stop: int, save: bool) -> tuple[int, bool]:
        """What any process was asked, and whether the first wants to save."""
        if self.place.size == 1:
            return stop, save
        wishes = torch.tensor([stop, save and self.place.rank == 0], device=self.device)
        stop, save = self.place.largest(wishes).tolist()
        return stop, bool(save)

    # --- checkpoints --------------------------------------------------------------------------

    def save(self, directory: Path) -> None:
        sums = self.place.sum(self.sums)
        self._finite(float(sums[0]))
        if self.place.rank:
            return
        checkpoint = Checkpoint({"sums": sums}, {
            "identity": self.identity, "data": self.data, "step": self.step, "rows": self.rows,
            "seconds": self.seconds + time.monotonic() - self.began, "unseen": self.unseen,
            "scaler": self.scaler.state_dict(),
            "best_accuracy": self.best_accuracy, "worse": self.worse, "stopped": self.stopped,
            "finished": self.stopped or self.step == self.steps,
        })  # fmt: skip
        # The whole model, though only its head was trained: it is what `load_weights` wants.
        checkpoint.add_group("model", self.model.state_dict())
        checkpoint.add_group("best", self.best)
        checkpoint.add_optimizer(self.optimizer)
        checkpoint.write(directory)

    def resume(self, directory: Path, how: str) -> None:
        if how == "never" or (how == "auto" and not (directory / CHECKPOINT).exists()):
            return
        checkpoint = Checkpoint.read(directory)
        kept = checkpoint.about.get("identity")
        kept = kept if isinstance(kept, dict) else {}
        for name, value in self.identity.items():
            if name in kept and kept[name] != value:
                raise ValueError(
                    f"{directory} holds a run with {name} = {kept[name]!r}, now {value!r}: take "
                    "another directory, or start over with resume='never'"
                )
        changed = difference(checkpoint.about.get("data"), self.data)
        if changed:
            raise ValueError(
                f"{directory} holds a run on other data: {changed}; it is kept: take another "
                "directory, or start over with resume='never'"
            )
        try:
            if kept.keys() != self.identity.keys():
                raise ValueError("it does not say of which run it is")
            self._restore(checkpoint)
        except Exception as error:  # PyTorch raises whatever damaged values make it
            reason = " ".join(str(error).split())[:200]
            raise DataError(
                f"{directory / CHECKPOINT}: damaged ({type(error).__name__}: {reason}); start over "
                "with resume='never'"
            ) from None

    def _restore(self, checkpoint: Checkpoint) -> None:
        about, sums = checkpoint.about, checkpoint.tensors["sums"]
        counts = {"step": self.steps, "worse": math.inf, "unseen": math.inf, "seconds": math.inf}
        for name, most in counts.items():
            if not _is_number(about[name]) or not 0 <= about[name] <= most:
                raise ValueError(f"{name} is {about[name]!r}")
        if not isinstance(about["stopped"], bool) or not _is_number(about["best_accuracy"]):
            raise ValueError("its validations are damaged")
        rows = about["rows"]
        if (
            not isinstance(rows, list)
            or not all(isinstance(row, dict) and "epoch" in row for row in rows)
            or not all(_is_number(value) for row in rows for value in row.values())
        ):
            raise ValueError("its rows are damaged")
        if about["scaler"].keys() != self.scaler.state_dict().keys():
            raise ValueError("its scaler is of another precision")
        if sums.shape != self.sums.shape:
            raise ValueError(f"sums has the shape {list(sums.shape)}")
        best, net = checkpoint.group("best"), self.net.state_dict()
        if best and {k: v.shape for k, v in best.items()} != {k: v.shape for k, v in net.items()}:
            raise ValueError("its best weights are of another network")
        self.model.load_state_dict(checkpoint.group("model"))
        checkpoint.restore_optimizer(self.optimizer)
        self.scaler.load_state_dict(about["scaler"])
        if self.place.rank == 0:  # the sums are over all processes
            self.sums.copy_(sums)
        self.best = {k: v.to(self.device) for k, v in best.items()}
        self.best_accuracy, self.worse = about["best_accuracy"], about["worse"]
        self.step, self.rows, self.stopped = about["step"], about["rows"], about["stopped"]
        self.seconds, self.unseen = about["seconds"], about["unseen"]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


# --- parts -----------------------------------------------------------------------------------


def try_out(model: nn.Module, shard: Shard, recipe: Recipe, device: torch.device) -> None:
    """One forward of two images: errors of shape and class show before anything is lost."""
    x, _ = shard.batch(torch.arange(min(2, len(shard))), device)
    if recipe.augment and x.ndim != 4:
        raise ValueError(f"augment needs images, but {shard.name} is {list(shard.x.shape)}")
    if isinstance(recipe.augment, Augment) and recipe.augment:
        recipe.augment(x, torch.Generator().manual_seed(0))  # a shift beyond the image
    with evaluating(model), torch.no_grad():
        logits = model(prepared(x, model))
    if logits.ndim != 2:
        raise ValueError(f"model must give logits [B, classes], got {list(logits.shape)}")
    check_classes(shard, logits)


def _cached(
    model: nn.Module, train: Shard, recipe: Recipe, device: torch.device, cache: bool | None
) -> Hybrid | None:
    """The model if its features are to be computed once."""
    if cache is False:
        return None
    why = None
    if not isinstance(model, Hybrid):
        why = "model is no Hybrid"
    elif not model.frozen:
        why = "its scattering is learned"
    elif recipe.augment:
        why = "the images are augmented"
    if why:
        if cache:
            raise ValueError(f"cache: the features cannot be computed once: {why}")
        return None
    assert isinstance(model, Hybrid)
    x, _ = train.batch(torch.arange(1), device)
    with torch.no_grad():
        each = model.features(x).numel() * 2
    return model if cache or each * len(train) < free_memory() // 2 else None


def _signature(model: nn.Module) -> str:
    """Of what training does not change, and a checkpoint does not hold: how the model is built, and
    tensors that are not in its state, as wavelets that are fixed."""
    kept = {name: list(value.shape) for name, value in model.state_dict().items()}
    words = hashlib.sha256(repr([*kept.items(), stable_repr(model)]).encode())
    for place, module in model.named_modules():
        own = [(name, value) for name, value in vars(module).items() if isinstance(value, Tensor)]
        for name, value in [*own, *module.named_buffers(recurse=False)]:
            whole = f"{place}.{name}" if place else name
            if whole not in kept:
                words.update(f"{whole} {list(value.shape)} {value.dtype}".encode())
                words.update(content(value.detach().reshape(1, -1)).encode())
    return words.hexdigest()[:16]
