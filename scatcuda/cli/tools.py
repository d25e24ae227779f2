"""The commands about filters, recordings, plan files, speed, data sets and this machine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, cast, get_args

from .. import limits
from ..terminal import printable, say
from ..typing import BankName, Tier
from .documents import (
    AngularFilters,
    Available,
    Benchmarked,
    Configuration,
    Exported,
    HarmonicFilters,
    ImageFilters,
    JointFilters,
    Launched,
    Scalogram,
    SignalFilters,
    Verified,
)
from .options import add, bank, integer, order, problem, shape, text, unread
from .report import Report

__all__ = ["bench", "data", "export", "filters", "info", "scalogram"]


def _check_room(
    caller: str, J: int, L: int, shape: Sequence[int], max_order: int = 2, batch: int = 0
) -> None:
    """Whether the memory suffices, about: a system that promises more than it has kills whoever
    believes it. In float64, the filters twice, a batch of images and of coefficients."""
    from ..learn.extraction.shard import free_memory
    from ..program.plan import checked_plan

    plan = checked_plan(caller, J, shape, L, max_order, False)
    numbers = 2 * (J * L + 1) * math.prod(plan.padded)
    numbers += batch * (plan.channels * math.prod(plan.output) + math.prod(shape))
    needed, free = 8 * numbers, free_memory()
    if needed > free:
        raise ValueError(
            f"{caller}: J = {J}, L = {L} and shape = {tuple(shape)} take {needed / 2**30:.3g} GiB "
            f"of memory; {free / 2**30:.3g} GiB are free"
        )


def filters(commands: Any) -> None:
    parser = add(
        commands, "filters", _run_filters,
        "Describe, draw or save a filter bank.\n\nFrame bounds, supports and sizes; with --output "
        "a picture, or the filters themselves.",
        "examples:\n  scatcuda filters --J 3 --shape 64,64 --output filters.png\n"
        "  scatcuda filters --filters tight --output bank.safetensors\n"
        "  scatcuda filters --J 8 --Q 8 1 --length 8192 --output signals.png\n"
        "  scatcuda filters --J 6 --Q 8 --J-fr 3 --length 4096 --output joint.png\n"
        "  scatcuda filters --L 8 --K 3 --output angles.png\n"
        "  scatcuda filters --degrees 3 --output harmonics.png\n",
        ImageFilters, SignalFilters, JointFilters, AngularFilters, HarmonicFilters,
    )  # fmt: skip
    problem(parser)
    bank(parser)
    # With other defaults it is not known what is given.
    parser.set_defaults(J=None, L=None, shape=None, filters=None)
    parser.add_argument(
        "--Q", type=integer(1, limits.ANGLES), nargs="+", metavar="N",
        help="of signals: wavelets an octave, of each order",
    )  # fmt: skip
    parser.add_argument("--length", type=integer(2, limits.SIDE), metavar="N", help="of signals, with --Q: samples (default: 8192)")  # fmt: skip # noqa: E501
    parser.add_argument("--J-fr", type=integer(1, limits.SCALES), metavar="N", help="of signals, with --Q: those joint in time and log-frequency")  # fmt: skip # noqa: E501
    parser.add_argument("--K", type=integer(1, 8), metavar="N", help="of images: wavelets along their angles")  # fmt: skip # noqa: E501
    parser.add_argument("--degrees", type=integer(0, 8), metavar="L", help="of densities: solid harmonics up to this degree")  # fmt: skip # noqa: E501
    parser.add_argument("--output", type=text, metavar="FILE", help="ends in .png or .safetensors")


def _run_filters(
    J: int | None, L: int | None, shape: Sequence[int] | None, filters: BankName | None,
    output: str | None, Q: list[int] | None = None, length: int | None = None,
    J_fr: int | None = None, K: int | None = None, degrees: int | None = None,
) -> Mapping[str, Any]:  # fmt: skip
    from ..draw.bank import filters_facts, filters_text
    from ..draw.joint import draw_angular_wavelets, draw_solid_harmonics, joint_facts, joint_text
    from ..draw.signals import signal_facts, signal_text

    images = {"shape": shape, "filters": filters}
    signals = {"Q": Q, "length": length, "J_fr": J_fr}
    if degrees is not None:
        unread("filters", "of densities, with --degrees", J=J, L=L, K=K, **images, **signals)
        if output is None:
            raise ValueError("filters: --degrees wants an output, a picture")
        draw_solid_harmonics(output, degrees)
        count = (degrees + 1) ** 2
        say(f"{printable(output)}: {count} solid harmonics of degrees 0 to {degrees}")
        return {"of": "densities", "degrees": degrees, "harmonics": count, "output": output}
    if K is not None:
        unread("filters", "of angles, with --K", J=J, **images, **signals)
        if output is None:
            raise ValueError("filters: --K wants an output, a picture")
        L = L or 8
        draw_angular_wavelets(output, L, K)
        say(f"{printable(output)}: {K} wavelets of {2 * L} angles, and their low-pass")
        return {"of": "angles", "angles": 2 * L, "wavelets": K, "output": output}
    J = J or 2
    if Q:
        unread("filters", "of signals, with --Q", L=L, **images)
        length = length or 8192
        if J_fr is None:
            facts: Any = signal_facts(J, length, tuple(Q), output)
            say(signal_text(facts))
        else:
            facts = joint_facts(J, J_fr, length, tuple(Q), output)
            say(joint_text(facts))
        return cast(Mapping[str, Any], facts)
    unread("filters", "of images: it goes with --Q", length=length, J_fr=J_fr)
    L, shape = L or 8, shape or (32, 32)
    _check_room("filters", J, L, shape)
    facts = filters_facts(J, (shape[0], shape[1]), L, filters or "morlet", output)
    say(filters_text(facts))
    return facts


def scalogram(commands: Any) -> None:
    parser = add(
        commands, "scalogram", _run_scalogram,
        "Draw a recording: its scalogram, and its scattering over time.\n\nOf a long one the first "
        "seconds, a minute unless told otherwise.",
        "example:\n  scatcuda scalogram speech.wav --J 8 --Q 12 --output speech.png\n", Scalogram,
    )  # fmt: skip
    parser.add_argument("recording", type=text, help="WAV, FLAC, OGG; needs soundfile")
    parser.add_argument("--output", type=text, required=True, metavar="FILE.png", help="the picture")  # fmt: skip # noqa: E501
    parser.add_argument("--J", type=integer(1, limits.SCALES), default=8, help="scales (default: %(default)s)")  # fmt: skip # noqa: E501
    parser.add_argument("--Q", type=integer(1, limits.ANGLES), default=[8], nargs="+", metavar="N", help="wavelets an octave, of each order (default: 8)")  # fmt: skip # noqa: E501
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S", help="of the recording (default: %(default)s)")  # fmt: skip # noqa: E501


def _run_scalogram(recording: str, output: str, J: int, Q: list[int], seconds: float) -> Scalogram:
    from ..data import DataError, blocks
    from ..data.folders.audio import rate_of
    from ..draw.signals import draw_scalogram

    rate = rate_of(recording)
    x = next(blocks(recording, seconds), None)
    if x is None:
        raise DataError(f"{recording}: it has no samples")
    draw_scalogram(output, x, J, tuple(Q), rate, Path(recording).stem)
    say(f"{printable(output)}: {len(x)} samples, {rate} a second")
    return {"output": output, "samples": len(x), "rate": rate}


_EXPORT = """\
Write a plan file: a problem and its filters, for C and C++ programs.

scatcuda_plan_load reads it in a program without Python; see PIPELINES.md."""


def export(commands: Any) -> None:
    parser = add(
        commands, "export", _run_export, _EXPORT,
        "example:\n  scatcuda export plan.scat --J 3 --shape 224,224\n", Exported,
    )  # fmt: skip
    parser.add_argument("output", type=text, metavar="FILE", help="the plan file to write")
    problem(parser)
    order(parser)
    parser.add_argument("--pre-pad", action="store_true", help="the images will come padded")
    bank(parser)
    parser.add_argument(
        "--dtype", choices=("float32", "float64"), default="float32",
        help="what the program computes with (default: %(default)s)",
    )  # fmt: skip


def _run_export(
    output: str, dtype: Literal["float32", "float64"], shape: tuple[int, int], **problem: Any
) -> Exported:
    import torch

    from ..transforms.scattering2d import Scattering2D

    _check_room("export", problem["J"], problem["L"], shape, problem["max_order"])
    scattering = Scattering2D(shape=shape, **problem)
    size = scattering.save_plan(output, getattr(torch, dtype))
    M, N = scattering.input_shape
    C, m, n = scattering.output_shape
    say(f"{printable(output)}: {dtype}, {M} × {N} -> {C} × {m} × {n}, {size:,} bytes")
    return {
        "output": output, "dtype": dtype, "input_shape": [M, N], "output_shape": [C, m, n],
        "bytes": size,
    }  # fmt: skip


def bench(commands: Any) -> None:
    parser = add(
        commands, "bench", _run_bench,
        "Time a problem of your own against plain PyTorch and Kymatio.\n\nIn turn, medians; Kymatio"
        " if it is installed. The suite of all cases is `make bench` in a checkout.",
        "example:\n  scatcuda bench --J 3 --shape 224,224 --batch 4 --backward\n", Benchmarked,
    )  # fmt: skip
    problem(parser)
    order(parser)
    parser.add_argument("--batch", type=integer(1), default=8, help="images (default: %(default)s)")
    parser.add_argument("--double", action="store_true", help="float64")
    parser.add_argument("--backward", action="store_true", help="with the gradient")
    parser.add_argument(
        "--device", type=text, default="cpu", help="cpu or cuda (default: %(default)s)"
    )
    parser.add_argument(
        "--threads", type=integer(1, 1024), default=1, help="(default: %(default)s)"
    )


def _run_bench(double: bool, **problem: Any) -> Benchmarked:
    import torch

    from . import bench as measured

    sizes = ("J", "L", "shape", "max_order", "batch")
    _check_room("bench", **{name: problem[name] for name in sizes})
    dtype = torch.float64 if double else torch.float32
    timings = measured.bench(**problem, dtype=dtype)
    say(measured.bench_text(timings))
    return {"timings": [cast(Any, asdict(timing)) for timing in timings]}


# --- data, info -------------------------------------------------------------------------------

_DATA = """\
List the data sets that are here, or verify one.

Looked for in --data-dir, the folders of $SCATCUDA_DATA, and where Debian keeps them, under the
names that archives and torchvision give them. IDX, CIFAR, SVHN's .mat, STL-10's .bin, .npz, CSV,
Parquet and folders of images are read: python -m pydoc scatcuda.data lists them."""


def data(commands: Any) -> None:
    parser = add(
        commands, "data", _run_data, _DATA,
        "examples:\n  scatcuda data list --data-dir ~/data\n  scatcuda data verify mnist\n",
        Available, Verified,
    )  # fmt: skip
    parser.add_argument("what", choices=("list", "verify"), help="all, or one to its last byte")
    parser.add_argument("data", nargs="?", type=text, help="of verify: a data set's name or path")
    parser.add_argument("--data-dir", type=text, metavar="DIR", help="folder of data sets, searched first")  # fmt: skip # noqa: E501


def _run_data(what: str, data: str | None, data_dir: str | None) -> Available | Report:
    from ..data import available, list_text, verify, verify_text

    if what == "list":
        if data is not None:
            raise ValueError(f"list takes no data set; to look into {data}: data verify {data}")
        found = available(data_dir)
        say(list_text(found))
        return {"datasets": [cast(Any, asdict(entry)) for entry in found]}
    if data is None:
        raise ValueError("verify needs a data set, as in: scatcuda data verify mnist")
    checks = verify(data, data_dir)
    say(verify_text(checks))
    ok = all(check.ok for check in checks)
    document: Verified = {"ok": ok, "checks": [cast(Any, asdict(check)) for check in checks]}
    return Report(document, 0 if ok else 1)


_INFO = """\
Tell what was built and what this machine runs.

With a problem: how the CUDA engine would run it."""


def info(commands: Any) -> None:
    from ..config import GPUS

    parser = add(
        commands, "info", _run_info, _INFO,
        "example:\n  scatcuda info --J 3 --shape 224,224 --device H100\n",
        Configuration, Launched, long=False,
    )  # fmt: skip
    parser.add_argument("--J", type=integer(1, limits.SCALES), help="number of scales")
    parser.add_argument("--shape", type=shape, metavar="M,N", help="size of the images")
    parser.add_argument("--L", type=integer(1, 256), help="number of angles (default: 8)")
    order(parser)
    parser.add_argument("--batch", type=integer(1), help="number of images (default: 128)")
    parser.add_argument("--double", action="store_true", help="float64")
    parser.add_argument("--tier", choices=get_args(Tier), help="(default: auto)")
    parser.add_argument("--workspace", type=integer(1, 2**63 - 1), help="bytes")
    parser.add_argument(
        "--device", type=text, help=f"cuda, cuda:1 … or {', '.join(GPUS)} (default: cuda)"
    )
    parser.set_defaults(max_order=None)  # with another default it is not known what is given


def _run_info(
    J: int | None, shape: Sequence[int] | None, double: bool, **problem: Any
) -> Mapping[str, Any]:
    import torch

    from ..config import configuration, cuda_launch, show_config

    if J is None and shape is None:
        unread("info", "without a problem, --J and --shape", double=double, **problem)
        show_config()
        return configuration()
    if J is None or shape is None:
        raise ValueError("a problem has --J and --shape")
    try:
        dtype = torch.float64 if double else torch.float32
        given = {name: value for name, value in problem.items() if value is not None}
        launch = cuda_launch(J, shape, dtype=dtype, **{"batch": 128, **given})
    except RuntimeError as error:  # no such GPU here, or no engine for it
        raise ValueError(str(error)) from None
    say(str(launch))
    return launch._asdict()
