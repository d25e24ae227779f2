"""Ask a network about images: `predict`, `evaluate`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...arguments import device as known_device
from ...arguments import integer
from ...environment import whole
from ...terminal import Bar
from ..extraction.shard import Images, Shard
from ..networks.blocks import like_weights
from ..networks.hybrids import Hybrid

__all__ = [
    "check_classes", "evaluate", "evaluating", "measure", "pick_device", "predict", "prepared",
    "rank_of", "sums_of",
]  # fmt: skip

BATCH = 256  # images at a time where nothing is learned


def pick_device(device: torch.device | str) -> torch.device:
    """A device by name; ``"auto"`` is CUDA where there is one, this process's under ``torchrun``.

    Raises: ValueError: there is no such device.
    Example:
        >>> pick_device("cpu")
        device(type='cpu')
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    found = known_device("", device, "auto, cpu or cuda")
    if found.type == "cuda" and found.index is None:
        found = known_device("", f"cuda:{whole('LOCAL_RANK', 0)}")
    return found


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """A network in evaluation mode; each of its parts is left as it was."""
    before = [(part, part.training) for part in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for part, training in before:
            part.training = training


@torch.no_grad()
def predict(
    model: nn.Module,
    images: Images,
    *,
    batch_size: int = BATCH,
    device: torch.device | str = "auto",
) -> Tensor:
    """Logits ``[n, classes]``, float32 on the CPU, of images as `fit` takes them.

    Example:
        >>> predict(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), torch.rand(3, 8, 8)).shape
        torch.Size([3, 10])
    """
    where = pick_device(device)
    batch_size = integer("predict", "batch_size", batch_size, 1)
    nothing = torch.zeros(len(images), dtype=torch.int64)
    shard = Shard("images", (images, nothing), rank=rank_of(model))
    found = []
    with evaluating(model.to(where)), Bar(len(images), "image") as bar:
        for x, _ in shard.in_order(batch_size, where):
            found.append(model(prepared(x, model)).float().cpu())
            bar.update(len(x))
    return torch.cat(found)


def evaluate(
    model: nn.Module,
    images: Images,
    labels: Tensor,
    *,
    device: torch.device | str = "auto",
) -> tuple[float, float]:
    """Mean cross-entropy and accuracy of a network on images as `fit` takes them.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        >>> loss, accuracy = evaluate(net, torch.rand(3, 8, 8), torch.tensor([1, 2, 3]))
        >>> 0 <= accuracy <= 1
        True
    """
    where = pick_device(device)
    shard = Shard("images", (images, labels), rank=rank_of(model))
    loss, right, n = measure(model.to(where), shard, where).tolist()
    return loss / n, right / n


def rank_of(net: nn.Module) -> int | None:
    """Axes of what a network takes, without channels, where it says so."""
    return net.rank if isinstance(net, Hybrid) else None


def check_classes(shard: Shard, logits: Tensor) -> None:
    """See that a model knows every class that there is."""
    if (last := shard.last_class) >= logits.shape[1]:
        raise ValueError(
            f"{shard.name}: labels up to {last}, but the model knows {logits.shape[1]} classes"
        )


def prepared(x: Tensor, net: nn.Module) -> Tensor:
    """A batch in the dtype of the network's weights; a `Hybrid` scatters it as it is."""
    return x if isinstance(net, Hybrid) else like_weights(x, net)


def sums_of(logits: Tensor, y: Tensor, loss: Tensor) -> list[Tensor]:
    """Loss, right answers and images of a batch, to be added up."""
    right = (logits.argmax(1) == y).sum()
    images = torch.tensor(len(y), device=y.device)
    return [value.double() for value in (loss.detach() * len(y), right, images)]


@torch.no_grad()
def measure(net: nn.Module, shard: Shard, device: torch.device) -> Tensor:
    """Sums over a shard: loss, right answers, images."""
    sums = torch.zeros(3, dtype=torch.float64, device=device)
    with evaluating(net), Bar(len(shard), "image") as bar:
        for x, y in shard.in_order(BATCH, device):
            logits = net(prepared(x, net)).float()
            check_classes(shard, logits)
            sums += torch.stack(sums_of(logits, y, F.cross_entropy(logits, y)))
            bar.update(len(y))
    return sums
