"""What every command gives with ``--json``: the keys of its document, their types and meanings.

``scatcuda COMMAND --help`` lists them. Keys stay what they are and new ones may come; a number that
is not finite is null. A command that fails gives ``{"error": "a sentence"}``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict, get_type_hints

__all__ = [
    "AngularFilters", "Available", "Benchmarked", "Configuration", "Evaluated", "Exported",
    "Extracted", "Generated", "HarmonicFilters", "ImageFilters", "Inverted", "JointFilters",
    "Launched", "Scalogram", "SignalFilters", "Statistics", "Synthesised", "Trained", "Verified",
    "described",
]  # fmt: skip

Path = str
Bounds = list[float]  # least, largest


class Cell(TypedDict):
    n: int | Literal["all"]
    seed: int
    images: int
    accuracy: float
    tested: int
    seconds: float


class Mean(TypedDict):
    n: int | Literal["all"]
    images: int
    accuracy: float
    deviation: float
    seeds: list[int]
    seconds: float


class Skipped(TypedDict):
    file: str
    reason: str


class LeftOut(TypedDict):
    skipped: list[Skipped]
    passed: dict[str, int]


class Trained(TypedDict):
    """train"""

    run: Annotated[Path, "folder of the run"]
    cells: Annotated[list[Cell], "of each n and seed: images, accuracy, tested, seconds"]
    summary: Annotated[list[Mean], "of each n: the mean accuracy over seeds, and its deviation"]
    seconds: Annotated[float, "that the command took"]
    unmet: Annotated[list[str], "what [expect] asks for and did not come; then `error` says so too"]
    skipped: Annotated[list[Skipped], "files that could not be read, with the reason"]
    passed: Annotated[dict[str, int], "passed over, by reason: how many"]


class Class(TypedDict):
    name: str
    recall: float
    taken_for: str
    times: int


class Evaluated(TypedDict):
    """eval"""

    run: Annotated[Path, "folder of the run"]
    accuracy: Annotated[float, "0 to 1"]
    images: Annotated[int, "tested"]
    classes: Annotated[list[str], "that the model knows"]
    confusion: Annotated[
        list[list[int]], "rows: what images are, columns: what they were taken for"
    ]
    worst: Annotated[list[Class], "classes: name, recall, taken_for, times"]
    missing: Annotated[list[str], "classes of which the data know nothing"]
    new: Annotated[list[str], "classes of the data that the model does not know"]
    skipped: Annotated[list[Skipped], "files that could not be read, with the reason"]
    passed: Annotated[dict[str, int], "passed over, by reason: how many"]


class Extracted(TypedDict):
    """features; under torchrun the first process tells"""

    output: Annotated[Path, "folder of the features"]
    rows: Annotated[int, "of all files"]
    written: Annotated[int, "files that this process wrote now"]
    format: Annotated[Literal["safetensors", "parquet"], "of the files"]
    of: Annotated[Literal["images", "signals"], "what was scattered"]
    shape: Annotated[list[int], "of one of them"]
    classes: Annotated[list[str], "of the labels; none: they are -1"]
    skipped: Annotated[list[Skipped], "files that could not be read, with the reason"]
    passed: Annotated[dict[str, int], "passed over, by reason: how many"]


class ImageFilters(TypedDict):
    """filters"""

    of: Annotated[Literal["images"], '"images"']
    filters: Annotated[str, "their kind"]
    J: Annotated[int, "scales"]
    L: Annotated[int, "angles"]
    shape: Annotated[list[int], "of the images"]
    padded: Annotated[list[int], "sides they are padded to"]
    paths: Annotated[list[int], "by order"]
    size: Annotated[list[int], "of a path's coefficients"]
    energy: Annotated[Bounds, "least and largest Littlewood-Paley sum"]
    support: Annotated[list[float], "by scale: share of the frequencies"]
    bytes: Annotated[int, "of the filters in float32"]
    output: Annotated[Path | None, "the file that was written"]


class SignalFilters(TypedDict):
    """filters --Q"""

    of: Annotated[Literal["signals"], '"signals"']
    J: Annotated[int, "scales"]
    Q: Annotated[list[int], "wavelets an octave, by order"]
    length: Annotated[int, "samples"]
    padded: Annotated[int, "samples they are padded to"]
    wavelets: Annotated[list[int], "of order 1 and 2"]
    frequency: Annotated[list[Bounds], "of order 1 and 2: lowest and highest, cycles a sample"]
    paths: Annotated[list[int], "by order"]
    size: Annotated[int, "coefficients of a path"]
    energy: Annotated[list[Bounds], "of order 1 and 2: least and largest Littlewood-Paley sum"]
    output: Annotated[Path | None, "the file that was written"]


class JointFilters(TypedDict):
    """filters --Q --J-fr"""

    of: Annotated[Literal["joint"], '"joint"']
    J: Annotated[int, "scales of time"]
    J_fr: Annotated[int, "scales of log-frequency"]
    Q: Annotated[list[int], "wavelets an octave, by order"]
    length: Annotated[int, "samples"]
    wavelets: Annotated[list[int], "along time, and along log-frequency of either spin"]
    frequency: Annotated[list[Bounds], "of these: lowest and highest, cycles a sample or a place"]
    places: Annotated[int, "along log-frequency"]
    padded: Annotated[int, "places they are padded to"]
    paths: Annotated[list[int], "joint ones of order 1 and 2"]
    channels: Annotated[int, 'of format "time"']
    output: Annotated[Path | None, "the file that was written"]


class AngularFilters(TypedDict):
    """filters --K"""

    of: Annotated[Literal["angles"], '"angles"']
    angles: Annotated[int, "of a whole turn"]
    wavelets: Annotated[int, "along them"]
    output: Annotated[Path, "the file that was written"]


class HarmonicFilters(TypedDict):
    """filters --degrees"""

    of: Annotated[Literal["densities"], '"densities"']
    degrees: Annotated[int, "the largest"]
    harmonics: Annotated[int, "of degrees from 0 on"]
    output: Annotated[Path, "the file that was written"]


class Scalogram(TypedDict):
    """scalogram"""

    output: Annotated[Path, "the file that was written"]
    samples: Annotated[int, "that were drawn"]
    rate: Annotated[int, "samples a second"]


class Block(TypedDict):
    name: str
    numbers: int
    largest: float | None
    root_mean_square: float | None


class Statistics(TypedDict):
    """statistics"""

    shape: Annotated[list[int], "of the field"]
    mean: Annotated[float | None, "of the field"]
    deviation: Annotated[float | None, "of the field"]
    blocks: Annotated[list[Block], "of each: name, how many numbers, largest, root_mean_square"]
    output: Annotated[Path | None, "the file that was written"]


class Synthesised(TypedDict):
    """synthesise"""

    errors: Annotated[dict[str, float | None], "by block: relative distance to the target's"]
    loss: Annotated[float | None, "at the end, in parts of the start's"]
    iterations: Annotated[int, "of the last level"]
    seconds: Annotated[float, "that they took"]
    output: Annotated[Path, "the file that was written"]


class Reconstruction(TypedDict):
    of: str
    J: int
    order: int
    coefficients: int
    error: float | None
    psnr: float | None


class Inverted(TypedDict):
    """invert"""

    reconstructions: Annotated[
        list[Reconstruction], "of, J, order, coefficients, their relative error, psnr in dB"
    ]
    output: Annotated[Path | None, "the file that was written"]


class Generated(TypedDict):
    """generate"""

    history: Annotated[list[float | None], "by epoch: mean error in training"]
    test_error: Annotated[float | None, "mean error of test images"]
    blank_error: Annotated[float | None, "of the mean image in their place"]
    save: Annotated[Path | None, "the model's file"]
    output: Annotated[Path, "the picture"]


class Exported(TypedDict):
    """export"""

    output: Annotated[Path, "the plan file"]
    dtype: Annotated[Literal["float32", "float64"], "what the program computes with"]
    input_shape: Annotated[list[int], "of an image"]
    output_shape: Annotated[list[int], "of its coefficients"]
    bytes: Annotated[int, "of the file"]


class Timing(TypedDict):
    name: str
    seconds: float
    images_per_second: float
    error: float | None


class Benchmarked(TypedDict):
    """bench"""

    timings: Annotated[
        list[Timing], "ours first: name, seconds of a call, images_per_second, error"
    ]


class DataSet(TypedDict):
    name: str
    path: Path | None
    format: str
    train: int
    test: int
    shape: list[int]
    classes: int
    problem: str


class Available(TypedDict):
    """data list"""

    datasets: Annotated[
        list[DataSet],
        "name, path (null: with a library), format, train, test, shape, classes, problem",
    ]


class Check(TypedDict):
    subject: str
    ok: bool
    finding: str


class Verified(TypedDict):
    """data verify"""

    ok: Annotated[bool, "whether all is; else the exit status is 1"]
    checks: Annotated[list[Check], "of each file, and of the whole: subject, ok, finding"]


class Configuration(TypedDict):
    """info"""

    version: Annotated[str, "of scatcuda"]
    torch: Annotated[str, "version of PyTorch"]
    build: Annotated[str, "what was built, in words"]
    isa: Annotated[str, "instructions of the CPU engine"]
    threads: Annotated[int, "of PyTorch"]
    cuda_architectures: Annotated[list[str], "of the CUDA engine; none: it is not in this build"]
    file_budget: Annotated[int, "bytes of memory that a file may take"]
    gpus: Annotated[list[str], "here"]


class Launched(TypedDict):
    """info --J --shape"""

    tier: Annotated[Literal["general", "fused"], "of the CUDA engine"]
    first_order_fused: Annotated[bool, "or left to the general tier"]
    group: Annotated[int, "angles of the second order side by side in one block"]
    threads: Annotated[int, "of such a block"]
    shared_bytes: Annotated[int, "of such a block"]
    wave: Annotated[int, "images at a time"]


def described(*documents: Any) -> str:
    """The keys of documents in lines, for a command's help."""
    lines = ['with --json one object on stdout, or {"error": a sentence}:']
    for document in documents:
        lines.append(f"  of {document.__doc__}:")
        hints = get_type_hints(document, include_extras=True)
        width = max(map(len, hints)) + 2
        for name, hint in hints.items():
            lines.append(f"    {name:<{width}}{hint.__metadata__[0]}".rstrip())
    return "\n".join(lines) + "\n"
