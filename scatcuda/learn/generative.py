"""Images made from noise by inverting whitened scattering: a generator without a discriminator.

    z = Λ^(-1/2) Vᵀ (S x - μ)        x ≈ G(z)

The embedding is fixed: scattering, which moves little with small deformations, then a whitening
PCA, so that it is nearly white Gaussian noise. Only its inverse is learned, a convolutional
network, by ``min_G Σ |x - G(z(x))|``. New images are ``G`` of noise; the straight line between two
embeddings is a deformation of one image into the other.

Literature: T. Angles and S. Mallat, "Generative networks as inverse problems with scattering
transforms", ICLR 2018.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..arguments import ArgumentError, InputError, integer, positive, told
from ..draw.style import Sheet, drawn
from ..files import DataError, read_tensors, write_tensors
from ..terminal import Bar
from ..transforms.scattering2d import Scattering2D

__all__ = ["GenerativeScattering", "draw_generated"]

_SIDE = 4  # from here on the generator doubles the sides
_BATCH = 256  # images embedded at a time


class Generator(nn.Module):
    """``[n, dims]`` to images ``[n, C, M, N]`` from 0 to 1: a linear layer to some 4 x 4 pixels;
    then as often as it takes twice as many, by bilinear enlargement and a convolution.

    Example:
        >>> Generator(16, (1, 28, 28))(torch.randn(5, 16)).shape
        torch.Size([5, 1, 28, 28])
    """

    def __init__(self, dims: int, shape: tuple[int, int, int], width: int = 64) -> None:
        super().__init__()
        C, M, N = shape
        doublings = max(0, math.ceil(math.log2(max(M, N) / _SIDE)))
        self.sides: tuple[int, int] = (M, N)
        self.start: tuple[int, int] = (-(-M >> doublings), -(-N >> doublings))
        channels = [width * 2 ** max(0, min(2, doublings - 1 - i)) for i in range(doublings + 1)]
        self.first: nn.Linear = nn.Linear(dims, channels[0] * self.start[0] * self.start[1])
        blocks: list[nn.Module] = [nn.BatchNorm2d(channels[0]), nn.ReLU()]
        for before, after in itertools.pairwise(channels):
            blocks += [
                nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
                nn.Conv2d(before, after, 3, padding=1, padding_mode="reflect", bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        self.blocks: nn.Sequential = nn.Sequential(*blocks)
        self.last: nn.Conv2d = nn.Conv2d(channels[-1], C, 3, padding=1, padding_mode="reflect")

    def forward(self, z: Tensor) -> Tensor:
        x = self.first(z).unflatten(1, (-1, *self.start))
        x = self.last(self.blocks(x))
        return torch.sigmoid(x[..., : self.sides[0], : self.sides[1]])


class GenerativeScattering:
    """A generator of images that are like those that it was fitted to.

    Args:
        J, L: of the scattering; its averages are over ``2^J`` pixels.
        dims: numbers of an embedding.
        width: channels of the generator at full resolution.
        epochs, batch_size, lr: of its training, by Adam.
        seed: of everything that is random.
    Attributes:
        generator: the network, after ``fit``.
        history: the mean of ``|x - G(z(x))|`` in each epoch.
    Raises: TypeError, ValueError: an argument, or images, are of the wrong type or out of range.
    Example:
        >>> from sklearn.datasets import load_digits
        >>> x = torch.from_numpy(load_digits().images[:200]).float() / 16
        >>> model = GenerativeScattering(J=1, dims=16, width=16, epochs=2).fit(x)
        >>> model.sample(3).shape, model.interpolate(x[0], x[1], 5).shape
        (torch.Size([3, 8, 8]), torch.Size([5, 8, 8]))
    """

    J: int
    L: int
    dims: int
    width: int
    epochs: int
    batch_size: int
    lr: float
    seed: int
    generator: Generator
    history: list[float]
    train_x: Tensor  # [n, C, M, N]
    mean: Tensor  # [d], of the scattering coefficients
    whitening: Tensor  # [d, dims]

    def __init__(
        self,
        J: int = 3,
        L: int = 8,
        dims: int = 128,
        *,
        width: int = 64,
        epochs: int = 20,
        batch_size: int = 64,
        lr: float = 3e-3,
        seed: int = 0,
    ) -> None:
        caller = type(self).__name__
        self.J, self.L = integer(caller, "J", J, 1, 24), integer(caller, "L", L, 1, 64)
        self.dims = integer(caller, "dims", dims, 1, 1 << 16)
        self.width = integer(caller, "width", width, 1, 4096)
        self.epochs = integer(caller, "epochs", epochs, 0)
        self.batch_size = integer(caller, "batch_size", batch_size, 2)
        self.seed = integer(caller, "seed", seed, 0, 2**63 - 1)
        self.lr = positive(caller, "lr", lr)

    # --- the embedding ---

    def fit(
        self, x: Tensor, tell: Callable[[int, float], object] | None = None
    ) -> GenerativeScattering:
        """Whiten the scattering of the images ``x [n, M, N]`` or ``[n, C, M, N]``, from 0 to 1, and
        train the generator.

        Args:
            tell: called with each epoch and its loss.
        """
        # what is refused, or stopped, leaves the model as it was
        fresh = GenerativeScattering(**{name: getattr(self, name) for name in _FACTS})
        fresh._fit(x, tell)
        vars(self).update(vars(fresh))
        return self

    def _fit(self, x: Tensor, tell: Callable[[int, float], object] | None) -> None:
        x = self._checked(x)
        if len(x) <= self.dims:
            raise InputError(
                f"GenerativeScattering: x must be more images than dims = {self.dims}; got {len(x)}"
            )
        self.train_x = x
        S = torch.cat([self._scattered(some) for some in x.split(_BATCH)])
        self.mean = S.mean(0)
        # the largest directions, by the smaller of the two Gram matrices
        centred = (S - self.mean).double()
        small = len(S) < S.shape[1]
        gram = (centred @ centred.mT if small else centred.mT @ centred) / len(S)
        values, vectors = torch.linalg.eigh(gram)
        values, vectors = values.flip(0)[: self.dims], vectors.flip(1)[:, : self.dims]
        least = 1e-10 * float(values[0])
        if float(values[-1]) <= least:
            rank = int((values > least).sum())
            raise InputError(
                f"GenerativeScattering: dims must be at most {rank}, the directions in which the "
                f"scattering of these images varies; got {self.dims}"
            )
        if small:
            vectors = (centred.mT @ vectors) / (len(S) * values).sqrt()
        self.whitening = (vectors / values.sqrt()).float()  # [d, dims]
        z = self._whitened(S)
        self._train(x, z, tell)

    def embed(self, x: Tensor) -> Tensor:
        """``z [n, dims]`` of images."""
        x = self._checked(x, self._fitted())
        return torch.cat([self._whitened(self._scattered(some)) for some in x.split(_BATCH)])

    def _scattered(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self._scattering(tuple(x.shape[-2:]))(x).flatten(1)

    def _scattering(self, sides: tuple[int, ...]) -> Scattering2D[Tensor]:
        if getattr(self, "_made", None) is None or self._made.shape != sides:
            self._made = Scattering2D(self.J, sides, self.L)
        return self._made

    def _whitened(self, S: Tensor) -> Tensor:
        return (S - self.mean) @ self.whitening

    # --- its inverse ---

    def _train(self, x: Tensor, z: Tensor, tell: Callable[[int, float], object] | None) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            C, M, N = x.shape[1:]
            self.generator = Generator(self.dims, (C, M, N), self.width)
            optimiser = torch.optim.Adam(self.generator.parameters(), lr=self.lr)
            whole, rest = divmod(len(x), self.batch_size)
            steps = max(1, self.epochs * (whole + (rest > 1)))
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimiser, self.lr, total_steps=steps + 1
            )
            self.history = []
            with Bar(self.epochs * len(x), "image") as bar:
                for epoch in range(self.epochs):
                    self.generator.train()
                    total, count = 0.0, 0
                    for index in torch.randperm(len(x)).split(self.batch_size):
                        if len(index) < 2:  # which batch normalisation cannot do
                            continue
                        loss = (self.generator(z[index]) - x[index]).abs().mean()
                        optimiser.zero_grad()
                        loss.backward()
                        optimiser.step()
                        if schedule.last_epoch < steps:
                            schedule.step()
                        total, count = total + float(loss.detach()) * len(index), count + len(index)
                        bar.update(len(index))
                    self.history.append(total / max(count, 1))
                    if tell is not None:
                        tell(epoch, self.history[-1])
        self.generator.eval()

    def decode(self, z: Tensor) -> Tensor:
        """Images ``[n, M, N]`` or ``[n, C, M, N]`` of embeddings."""
        self._fitted()
        if not isinstance(z, Tensor) or z.ndim != 2 or z.shape[1] != self.dims:
            raise InputError(
                f"GenerativeScattering: z must be a tensor [n, {self.dims}]; got {told(z)}"
            )
        with torch.no_grad():
            made = torch.cat([self.generator(some) for some in z.float().split(_BATCH)])
        return made.squeeze(1) if self._grey else made

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """``n`` images of white noise."""
        generator = torch.Generator().manual_seed(integer("sample", "seed", seed, 0, 2**63 - 1))
        n = integer("sample", "n", n, 1)
        return self.decode(torch.randn(n, self.dims, generator=generator))

    def reconstruct(self, x: Tensor) -> Tensor:
        """``G(z(x))``."""
        return self.decode(self.embed(x))

    def interpolate(self, a: Tensor, b: Tensor, n: int = 8) -> Tensor:
        """``n`` images on the straight line from the embedding of ``a`` to that of ``b``."""
        if not isinstance(a, Tensor) or not isinstance(b, Tensor) or a.shape != b.shape:
            raise InputError(
                f"interpolate: a and b must be two images of a shape; got {told(a)} and {told(b)}"
            )
        ends = self.embed(torch.stack([a, b]))
        t = torch.linspace(0, 1, integer("interpolate", "n", n, 2))[:, None]
        return self.decode((1 - t) * ends[0] + t * ends[1])

    def nearest(self, x: Tensor) -> Tensor:
        """Of each image the nearest training image, pixel by pixel: is it a copy?"""
        x = self._checked(x, self._fitted()).flatten(1)
        index = torch.cdist(x, self.train_x.flatten(1)).argmin(1)
        found = self.train_x[index]
        return found.squeeze(1) if self._grey else found

    # --- files ---

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything, the training images too, to a file of safetensors."""
        self._fitted()
        tensors = {f"generator.{k}": v for k, v in self.generator.state_dict().items()}
        tensors |= {"mean": self.mean, "whitening": self.whitening, "train_x": self.train_x}
        tensors["history"] = torch.tensor(self.history, dtype=torch.float64)
        facts = {name: repr(getattr(self, name)) for name in _FACTS}
        write_tensors(path, tensors, {**facts, "grey": repr(self._grey)})

    @staticmethod
    def load(path: str | os.PathLike[str]) -> GenerativeScattering:
        """What was saved.

        Raises: DataError: it is no such file.
        """
        tensors, facts = read_tensors(path)
        try:
            numbers = {name: float(facts[name]) for name in _FACTS}
            given: dict[str, Any] = {n: v if n == "lr" else int(v) for n, v in numbers.items()}
            found = GenerativeScattering(**given)
            found.mean, found.whitening = tensors["mean"], tensors["whitening"]
            found.train_x, found.history = tensors["train_x"], tensors["history"].tolist()
            found._grey = facts["grey"] == "True"
            if not len(found.train_x):  # of whose sides nothing would vouch
                raise ValueError("it has no images")
            C, M, N = found.train_x.shape[1:]
            size = found._scattering((M, N)).output_shape
            wanted = (C * math.prod(size), found.dims)
            if tuple(found.whitening.shape) != wanted or found.mean.shape != wanted[:1]:
                raise ValueError("its whitening is of other images")
            with torch.device("meta"):  # the file says how large it is, and may lie
                found.generator = Generator(found.dims, (C, M, N), found.width)
            weights = {
                name.removeprefix("generator."): tensor
                for name, tensor in tensors.items()
                if name.startswith("generator.")
            }
            wanted_types = {k: v.dtype for k, v in found.generator.state_dict().items()}
            own = {"mean": found.mean, "whitening": found.whitening, "train_x": found.train_x}
            for name, tensor in {**own, **weights}.items():
                if tensor.dtype != wanted_types.get(name, torch.float32):
                    raise ValueError(f"{name} is of {tensor.dtype}")
                if not bool(tensor.isfinite().all()):
                    raise ValueError(f"{name} is not finite")
            found.generator.load_state_dict(weights, assign=True)
        except (KeyError, ValueError, RuntimeError, TypeError, OverflowError) as error:
            raise DataError(f"{os.fspath(path)}: no generative model ({error!s:.200})") from None
        found.generator.eval()
        return found

    # --- what is checked ---

    _grey = True
    _made: Any = None

    def _fitted(self) -> tuple[int, ...]:
        if not hasattr(self, "generator"):
            raise ArgumentError("GenerativeScattering: it is not fitted; call fit first")
        return tuple(self.train_x.shape[1:])

    def _checked(self, x: Any, shape: tuple[int, ...] | None = None) -> Tensor:
        """Images ``[n, C, M, N]``."""
        if not isinstance(x, Tensor) or not x.is_floating_point() or x.ndim not in (3, 4):
            raise InputError(
                "GenerativeScattering: x must be a floating tensor [n, M, N] or [n, C, M, N]; got "
                f"{getattr(x, 'dtype', type(x).__name__)} {tuple(getattr(x, 'shape', ()))}"
            )
        if not len(x) or float(x.min()) < 0 or not float(x.max()) <= 1:
            raise InputError("GenerativeScattering: x must have images, of values from 0 to 1")
        grey = x.ndim == 3
        found = x.unsqueeze(1) if grey else x
        if shape is None:
            self._grey = grey
        elif tuple(found.shape[1:]) != shape:
            raise InputError(
                f"GenerativeScattering: x must be images {shape}, as it was fitted to; got "
                f"{tuple(x.shape)}"
            )
        return found.detach().float()


_FACTS = ("J", "L", "dims", "width", "epochs", "batch_size", "lr", "seed")


def draw_generated(
    model: GenerativeScattering, test: Tensor, path: str | Path, title: str = "Made from noise"
) -> None:
    """Test images over what is made of their embeddings; images of noise over the training images
    nearest to them; and straight lines between embeddings.

    Raises: as ``scatcuda.draw.style.drawn``.
    """
    columns = 8
    some = test[: 2 * columns]
    samples = model.sample(2 * columns, seed=1)
    lines = [model.interpolate(some[i], some[i + columns - 1], columns) for i in range(4)]

    def woven(a: Tensor, b: Tensor) -> Tensor:  # rows of a over rows of b, in turn
        rows = [part for k in range(0, len(a), columns) for part in (a[k : k + columns], b[k : k + columns])]  # fmt: skip # noqa: E501
        return _mosaic(torch.cat(rows), columns)

    with drawn(path, Sheet.size(1)) as figure:
        note = f"{len(model.train_x)} training images, {model.dims} numbers each; mean error {model.history[-1]:.3f}" if model.history else ""  # fmt: skip # noqa: E501
        sheet = Sheet(figure, title, note)
        for column, name, about, picture in (
            (0, "test images", "and their inverses", woven(some, model.reconstruct(some))),
            (1, "of noise", "and nearest ones", woven(samples, model.nearest(samples))),
            (2, "on straight lines", "", _mosaic(torch.cat(lines), columns)),
        ):
            sheet.panel(0, column, name, about).imshow(picture, cmap="gray", vmin=0, vmax=1)
        if model.history:
            sheet.panel(0, 3, "training", "mean error by epoch").plot(model.history)


def _mosaic(x: Tensor, columns: int) -> Tensor:
    """Images side by side, ``[rows M, columns N]``, of colours ``[…, 3]``."""
    x = x.unsqueeze(1) if x.ndim == 3 else x
    rows = x.unflatten(0, (-1, columns)).permute(0, 3, 1, 4, 2)
    picture = rows.flatten(0, 1).flatten(1, 2)
    return picture.squeeze(-1)
