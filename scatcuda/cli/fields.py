"""The commands that open the black box: statistics, synthesise, invert, generate."""

from __future__ import annotations

import argparse
import csv
import io
import itertools
from pathlib import Path
from typing import Any, get_args

from .. import limits
from ..terminal import Bar, printable, say
from ..typing import Optimiser, Waves
from .documents import Generated, Inverted, Statistics, Synthesised
from .options import add, integer, text, unread

__all__ = ["generate", "invert", "statistics", "synthesise"]

_ABOUT = "a NumPy array (.npy) of one or two dimensions, an image or a recording"

_STATISTICS = """\
Compute the scattering covariances of an image or a signal.

S1 to S4, means, powers and covariances of wavelet coefficients and of their moduli; with --wph
wavelet phase harmonics. A line of text for each block, or with --output every number with what it
is: a table (.csv) or arrays by name (.npz)."""

_SYNTHESISE = """\
Make images or signals with the statistics of another one.

From noise, by gradient descent (L-BFGS) on the distance of their scattering covariances. The output
is a NumPy array (.npy) [n, M, N], or a picture (.png) of the target, what was made, the descent,
power spectra and histograms. With --checkpoint a run that was stopped is taken up by --resume."""

_INVERT = """\
Reconstruct an image or a signal from its scattering coefficients: what they keep.

For every --J, of order 1 and of orders 1 and 2, by gradient descent from noise; a picture, and of
each reconstruction the error of its coefficients and its distance to the original."""


_GENERATE = """\
Train a generator that inverts whitened scattering, and make images from noise.

The embedding is fixed, only its inverse is learned. The picture has test images over what comes of
their embeddings, images of noise over the training images nearest to them, and straight lines
between embeddings."""


def statistics(commands: Any) -> None:
    parser = add(
        commands, "statistics", _run_statistics, _STATISTICS,
        "examples:\n  scatcuda statistics map.npy --J 5\n"
        "  scatcuda statistics brick.png --isotropic --output brick.csv\n", Statistics,
    )  # fmt: skip
    parser.add_argument("field", type=text, help=_ABOUT)
    _covariance(parser, "morlet; of phase harmonics bump")
    parser.add_argument("--wph", action="store_true", help="wavelet phase harmonics instead")
    parser.add_argument("--output", type=text, metavar="FILE", help="ends in .csv or .npz")


def synthesise(commands: Any) -> None:
    parser = add(
        commands, "synthesise", _run_synthesise, _SYNTHESISE,
        "examples:\n  scatcuda synthesise brick.png --output made.png\n"
        "  scatcuda synthesise map.npy --n 4 --steps 500 --output maps.npy\n", Synthesised,
    )  # fmt: skip
    parser.add_argument("field", type=text, help=_ABOUT)
    _covariance(parser, "morlet")
    parser.add_argument("--n", type=integer(1), default=1, help="how many (default: %(default)s)")
    parser.add_argument("--levels", type=integer(1, 16), default=1, help="resolutions to go through (default: %(default)s)")  # fmt: skip # noqa: E501
    parser.add_argument("--init", choices=("gaussian", "noise"), default="gaussian", help="Gaussian noise of the target's spectrum, or white (default: %(default)s)")  # fmt: skip # noqa: E501
    parser.add_argument("--ensemble", action="store_true", help="the mean of the statistics counts, not each field's")  # fmt: skip # noqa: E501
    _descent(parser)
    parser.add_argument("--checkpoint", type=text, metavar="FILE", help="written now and then")
    parser.add_argument("--resume", type=text, metavar="FILE", help="a checkpoint to go on from")
    parser.add_argument("--output", type=text, required=True, metavar="FILE", help="ends in .npy or .png")  # fmt: skip # noqa: E501


def invert(commands: Any) -> None:
    parser = add(
        commands, "invert", _run_invert, _INVERT,
        "examples:\n  scatcuda invert photograph.png --J 2 3 4 --output kept.png\n"
        "  scatcuda invert --demo --output kept.png\n"
        "  scatcuda invert speech.wav --J 8 --Q 8 --output again.wav\n", Inverted,
    )  # fmt: skip
    parser.add_argument("field", type=text, nargs="?", help=_ABOUT)
    parser.add_argument("--demo", action="store_true", help="a digit, a face, a texture and a photograph instead")  # fmt: skip # noqa: E501
    parser.add_argument("--J", type=integer(1, limits.SCALES), nargs="+", default=[3], metavar="N", help="scales, one or several (default: 3)")  # fmt: skip # noqa: E501
    parser.add_argument("--L", type=integer(1, 64), help="angles of images (default: 8)")  # fmt: skip # noqa: E501
    parser.add_argument("--Q", type=integer(1, 64), help="wavelets an octave of signals (default: 8)")  # fmt: skip # noqa: E501
    parser.add_argument("--roto-translation", action="store_true", help="of the roto-translation transform of images")  # fmt: skip # noqa: E501
    _descent(parser)
    parser.add_argument("--output", type=text, metavar="FILE", help="ends in .png; or in .npy, of signals in .wav, for the last reconstruction")  # fmt: skip # noqa: E501


def generate(commands: Any) -> None:
    parser = add(
        commands, "generate", _run_generate, _GENERATE,
        "examples:\n  scatcuda generate digits --J 1 --dims 32 --output digits.png\n"
        "  scatcuda generate mnist --n 10000 --output mnist.png --save mnist.safetensors\n",
        Generated,
    )  # fmt: skip
    parser.add_argument("data", type=text, help="data set: see scatcuda data list, or a path")
    parser.add_argument("--data-dir", type=text, metavar="DIR", help="folder of data sets")
    parser.add_argument("--image-size", type=integer(0, 1 << 14), default=0, metavar="N", help="side of images in files (default: theirs if all have one size, else 224)")  # fmt: skip # noqa: E501
    parser.add_argument("--test-fraction", type=float, default=0.0, metavar="F", help="of data without a test set, what is set aside (default: %(default)s)")  # fmt: skip # noqa: E501
    parser.add_argument("--J", type=integer(1, limits.SCALES), default=3, help="scales (default: %(default)s)")  # fmt: skip # noqa: E501
    parser.add_argument("--L", type=integer(1, 64), default=8, help="angles (default: %(default)s)")
    parser.add_argument("--dims", type=integer(1), default=128, metavar="N", help="numbers of an embedding (default: %(default)s)")  # fmt: skip # noqa: E501
    parser.add_argument(
        "--n", type=integer(2), metavar="N", help="training images, by chance (default: all)"
    )
    parser.add_argument("--width", type=integer(1), default=64, help="channels of the generator (default: %(default)s)")  # fmt: skip # noqa: E501
    parser.add_argument("--epochs", type=integer(0), default=20, help="(default: %(default)s)")
    parser.add_argument("--seed", type=integer(0), default=0, help="(default: %(default)s)")
    parser.add_argument("--output", type=text, required=True, metavar="FILE.png", help="the picture")  # fmt: skip # noqa: E501
    parser.add_argument("--save", type=text, metavar="FILE", help="the model, as safetensors")


def _covariance(parser: argparse.ArgumentParser, bank: str) -> None:
    parser.add_argument("--J", type=integer(1, limits.SCALES), metavar="N", help="octaves (default: all)")  # fmt: skip # noqa: E501
    parser.add_argument("--L", type=integer(1, 64), metavar="N", help="angles (default: 4; signals 1)")  # fmt: skip # noqa: E501
    parser.add_argument("--filters", choices=get_args(Waves), help=f"(default: {bank})")
    parser.add_argument("--isotropic", action="store_true", help="averaged over rotations")


def _descent(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type=integer(0), default=300, help="iterations (default: %(default)s)")  # fmt: skip # noqa: E501
    parser.add_argument("--optimiser", choices=get_args(Optimiser), default="lbfgs", help="(default: %(default)s)")  # fmt: skip # noqa: E501
    parser.add_argument("--seed", type=integer(0), default=0, help="of the noise (default: %(default)s)")  # fmt: skip # noqa: E501


def _suffix(output: str | None, *allowed: str) -> str:
    """That of an output, which is looked at before the work."""
    from ..files import look_at

    found = Path(output).suffix.lower() if output else ""
    if output and found not in allowed:
        raise ValueError(f"the output's name must end in {' or '.join(allowed)}; got {output}")
    look_at(output)
    return found


def _run_statistics(
    field: str, J: int | None, L: int | None, filters: Waves | None, isotropic: bool, wph: bool,
    output: str | None,
) -> Statistics:  # fmt: skip
    import numpy as np

    from ..data.field import read_field
    from ..files import write_bytes, write_text
    from ..transforms.covariance import ScatteringCovariance
    from ..transforms.phases import WaveletPhaseHarmonics

    suffix = _suffix(output, ".csv", ".npz")
    with Bar(3, "step") as bar:
        x = read_field(field)
        bar.update(1)
        module: WaveletPhaseHarmonics | ScatteringCovariance
        if wph:
            if x.ndim != 2 or isotropic:
                raise ValueError("statistics: phase harmonics are of images, and not isotropic")
            most = max(1, min(x.shape).bit_length() - 2)
            module = WaveletPhaseHarmonics(x.shape, J or most, L or 8, filters=filters or "bump")
        else:
            module = ScatteringCovariance(
                x.shape, J, L, filters=filters or "morlet", isotropic=isotropic
            )
        bar.update(1)
        values, table = module(x).numpy(), module.meta()
        bar.update(1)
    if wph:
        table.pop("tau")
    kinds = np.array(table["class" if wph else "block"])
    if suffix == ".csv":
        lines = io.StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        parts = ["value"] if not np.iscomplexobj(values) else ["real", "imag"]
        writer.writerow([*table, *parts])
        columns = [np.asarray(column).tolist() for column in table.values()]
        numbers = zip(*([values.tolist()] if len(parts) == 1 else [values.real.tolist(), values.imag.tolist()]), strict=True)  # fmt: skip # noqa: E501
        for row, value in zip(zip(*columns, strict=True), numbers, strict=True):
            writer.writerow([*row, *(repr(v) for v in value)])
        write_text(str(output), lines.getvalue())
    elif suffix == ".npz":
        raw = io.BytesIO()
        arrays: dict[str, Any] = {key: np.asarray(column) for key, column in table.items()}
        np.savez(raw, values=values, **arrays)
        write_bytes(str(output), raw.getbuffer())
    document: Statistics = {
        "shape": list(x.shape), "mean": float(x.double().mean()),
        "deviation": float(x.double().std()), "blocks": [], "output": output,
    }  # fmt: skip
    say(f"{'field':<10} {' x '.join(map(str, x.shape))}, mean {document['mean']:.4g}, deviation {document['deviation']:.4g}")  # fmt: skip # noqa: E501
    for kind in dict.fromkeys(kinds.tolist()):
        some = np.abs(values[kinds == kind].astype(np.complex128))  # in which squares have room
        largest, mean = float(some.max()), float(np.sqrt((some**2).mean()))
        say(f"{kind:<10} {len(some):6d} numbers, largest {largest:.4g}, root mean square {mean:.4g}")  # fmt: skip # noqa: E501
        document["blocks"].append(
            {"name": kind, "numbers": len(some), "largest": largest, "root_mean_square": mean}
        )
    if output:
        say(f"{'written':<10} {printable(output)}")
    return document


def _run_synthesise(
    field: str, J: int | None, L: int | None, filters: Waves | None, isotropic: bool, n: int,
    levels: int, init: Any, ensemble: bool, steps: int, optimiser: Optimiser, seed: int,
    checkpoint: str | None, resume: str | None, output: str,
) -> Synthesised:  # fmt: skip
    from ..data.field import read_field, write_field
    from ..files import look_at
    from ..synthesis import synthesise
    from ..transforms.covariance import ScatteringCovariance

    suffix = _suffix(output, ".npy", ".png")
    look_at(checkpoint)
    x = read_field(field)
    covariance = ScatteringCovariance(x.shape, J, L, filters=filters or "morlet", isotropic=isotropic)  # fmt: skip # noqa: E501
    made = synthesise(
        x, covariance, n=n, levels=levels, init=init, ensemble=ensemble, seed=seed, steps=steps,
        optimiser=optimiser, checkpoint=checkpoint, resume=resume,
    )  # fmt: skip
    if suffix == ".png":
        from ..draw.synthesis import draw_synthesis

        draw_synthesis(made, output)
    else:
        write_field(output, made.x)
    for name, error in made.errors.items():
        say(f"{name:<10} {error:8.3%} from the target's")
    loss = made.history[-1]["loss"] / (made.history[0]["loss"] or 1)
    say(f"{'loss':<10} {loss:.3g} of the start's, {len(made.history) - 1} iterations, {made.seconds:.1f} s")  # fmt: skip # noqa: E501
    say(f"{'written':<10} {printable(output)}")
    return {
        "errors": dict(made.errors), "loss": loss, "iterations": len(made.history) - 1,
        "seconds": made.seconds, "output": output,
    }  # fmt: skip


def _run_invert(
    field: str | None, demo: bool, J: list[int], L: int | None, Q: int | None,
    roto_translation: bool, steps: int, optimiser: Optimiser, seed: int, output: str | None,
) -> Inverted:  # fmt: skip
    import torch

    from ..data.field import read_field, write_field, write_sound
    from ..data.folders.audio import is_audio, rate_of
    from ..draw.synthesis import draw_inversions
    from ..synthesis import invert
    from ..synthesis.inversion import psnr
    from ..transforms.rototranslation import RotoTranslationScattering2D
    from ..transforms.scattering1d import Scattering1D
    from ..transforms.scattering2d import Scattering2D

    suffix = _suffix(output, ".png", ".npy", ".wav")
    if demo == (field is not None):
        raise ValueError("invert: say a field, or --demo")
    if demo:
        from ..synthesis.examples import examples

        originals = examples()
    else:
        originals = [(Path(str(field)).stem, read_field(str(field)))]
    if suffix == ".wav" and any(x.ndim > 1 for _, x in originals):
        raise ValueError("invert: a sound, .wav, is made of a recording or a signal")
    if any(x.ndim == 1 for _, x in originals):
        unread("invert", "of signals", L=L, roto_translation=roto_translation)
    else:
        unread("invert", "of images", Q=Q)
    rows, last = [], torch.zeros(0)
    document: Inverted = {"reconstructions": [], "output": output}
    say(f"{'of':<12} {'J':>2} {'order':>5} {'coefficients':>12}   their error   PSNR")
    with Bar(2 * len(J) * len(originals), "reconstruction") as bar:
        for name, x in originals:
            found = []
            for scale, order in itertools.product(J, (1, 2)):
                transform: Any
                if x.ndim == 1:
                    transform = Scattering1D(scale, len(x), Q or 8, order)
                elif roto_translation:
                    transform = RotoTranslationScattering2D(
                        scale, x.shape, L or 8, max_order=order, average="space"
                    )
                else:
                    transform = Scattering2D(scale, x.shape, L or 8, order)
                S = transform(x)
                made = invert(
                    S, transform, steps=steps, optimiser=optimiser, seed=seed,
                    scale=float(x.std()) or 1.0, mean=float(x.mean()),
                )  # fmt: skip
                last = made.x[0]
                quality = psnr(last, x, float(x.max() - x.min()) or 1.0)
                say(f"{printable(name):<12} {scale:2d} {order:5d} {S.numel():12d}   {made.error:11.3%}   {quality:4.1f} dB")  # fmt: skip # noqa: E501
                found.append((f"J = {scale}, order {order}", f"{quality:.1f} dB", last))
                document["reconstructions"].append(
                    {"of": name, "J": scale, "order": order, "coefficients": S.numel(),
                     "error": made.error, "psnr": quality}
                )  # fmt: skip
                bar.update(1)
            rows += [(name, x, found[i : i + 2]) for i in range(0, len(found), 2)]
    if suffix == ".png":
        draw_inversions(str(output), rows, note=f"reconstructions from scattering coefficients, {steps} iterations")  # fmt: skip # noqa: E501
    elif suffix == ".npy":
        write_field(str(output), last)
    elif suffix == ".wav":
        write_sound(str(output), last, rate_of(str(field)) if is_audio(str(field)) else 8000)
    if output:
        say(f"{'written':<12} {printable(output)}")
    return document


def _run_generate(
    data: str, data_dir: str | None, image_size: int, test_fraction: float, J: int, L: int,
    dims: int, n: int | None, width: int, epochs: int, seed: int, output: str, save: str | None,
) -> Generated:  # fmt: skip
    import torch
    from torch import Tensor

    from ..files import look_at
    from ..learn.experiments.experiment import dataset_of
    from ..learn.experiments.options import Options
    from ..learn.generative import GenerativeScattering, draw_generated

    _suffix(output, ".png")
    look_at(save)
    options = Options(
        data=data, data_dir=data_dir or "", image_size=image_size, test_fraction=test_fraction
    )
    dataset = dataset_of(options, seed)
    chance = torch.Generator().manual_seed(seed)

    def images(x: Any, most: int | None) -> Tensor:
        """So many of them, drawn by chance: data sets may be sorted by class."""
        chosen = torch.randperm(len(x), generator=chance)[:most]
        found = torch.as_tensor(x[chosen])
        if found.ndim not in (3, 4):
            raise ValueError("generate: data must be images")
        return found.float() / 255 if found.dtype == torch.uint8 else found.float()

    if n is not None and n > (most := len(dataset.train_x)):
        raise ValueError(f"generate: n = {n} asks for more training images than the {most} there are")  # fmt: skip # noqa: E501
    train, test = images(dataset.train_x, n), images(dataset.test_x, 512)
    if len(test) < 16:
        raise ValueError(f"generate: data must have 16 test images; got {len(test)}")
    if not bool((test >= 0).all() and (test <= 1).all()):
        raise ValueError(
            "generate: test images must be of numbers from 0 to 1, or uint8; got "
            f"{test.min():g} to {test.max():g}"
        )

    def tell(epoch: int, loss: float) -> None:
        say(f"epoch {epoch + 1:3d}   mean error {loss:.4f}")

    model = GenerativeScattering(J, L, dims, width=width, epochs=epochs, seed=seed)
    model.fit(train, tell)
    if save:
        model.save(save)
        say(f"{'kept':<10} {printable(save)}")
    draw_generated(model, test, output)
    shown = test[:512]
    away = float((model.reconstruct(shown) - shown).abs().mean())
    blank = float((train.mean(0) - shown).abs().mean())
    say(f"{'test':<10} mean error {away:.4f}; of the mean image {blank:.4f}")
    say(f"{'written':<10} {printable(output)}")
    return {
        "history": list(model.history), "test_error": away, "blank_error": blank, "save": save,
        "output": output,
    }  # fmt: skip
