"""What becomes of the rows of a joint plan's programs: they are averaged along log-frequency, by
matrices, and some of what is left are the channels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .images import Path
from .joint import Joint, JointPlan, Kind, averaging, joint_of

_CALLER = "TimeFrequencyScattering"


class Row(NamedTuple):
    """A path of the output: of format "joint" with its axis of log-frequency, of "time" one
    ``n1``."""

    n: tuple[int, ...]
    path: Path  # the joint one
    program: int  # -1: the signal itself
    first: int  # of the rows of what is averaged
    rows: int
    n1: range


@dataclass(frozen=True)
class Rows:
    """The rows of a plan; where they are ``alike``, all paths have the same places along
    log-frequency."""

    plan: JointPlan
    format: str
    alike: bool

    @cached_property
    def joints(self) -> list[Joint]:
        return joint_of(self.plan)

    @cached_property
    def channels(self) -> tuple[Row, ...]:
        """In their order."""
        starts: dict[Path, tuple[int, int, int]] = {}  # program, row and rows of each joint path
        for i, joint in enumerate(self.joints):
            row = joint.planes[0].first if joint.planes else joint.program.channels
            if row:
                starts[()] = i, 0, 1
            for planes in joint.planes:
                rows = self.rows_of(planes.kind)
                for path in planes.paths:
                    starts[path] = i, row, rows
                    row += rows
        return tuple(
            row for path in self.plan.paths for row in self._of(path, *starts.get(path, (-1, 0, 1)))
        )

    def _of(self, path: Path, program: int, first: int, count: int) -> Iterator[Row]:
        """The channels of a joint path, which has ``count`` rows."""
        plan = self.plan
        if not path:
            if not self.alike:
                yield Row((), (), program, first, count, range(0))
            return
        kind, longest = plan.kind(path), plan.length(path)
        stride = 1 << kind.resolution
        if kind.later or self.alike:
            stride = longest if plan.average == "global" else 1 << plan.log2_stride
        n1 = range(0, longest, stride)
        if self.alike:
            yield Row(path, path, program, first, count, n1)
        elif self.format == "joint":  # of Kymatio's places one may lie behind the last n1
            yield Row(path, path, program, first, min(1 + longest // stride, count), n1)
        else:
            for i, n in enumerate(n1):
                yield Row((n, *path), path, program, first + i, 1, range(n, n + 1))

    def matrix(self, kind: Kind) -> NDArray[np.float64] | None:
        """What planes of a kind are multiplied with along log-frequency; None: as they are."""
        plan = self.plan
        if kind.later:
            return averaging(plan, kind.resolution)
        if not self.alike:
            return None
        # A low-pass has averaged them, over places that are as those of the others
        places = plan.padded >> kind.resolution
        if plan.average == "global":
            return np.ones((1, places))
        apart = 1 << (plan.coarsest - kind.resolution)
        return np.eye(places)[::apart] if apart > 1 else None

    def rows_of(self, kind: Kind) -> int:
        """Of each path of this kind."""
        matrix = self.matrix(kind)
        return self.plan.padded >> kind.resolution if matrix is None else len(matrix)

    def points(self, joint: Joint) -> NDArray[np.int64]:
        """``[channels]``: samples of the planes whose means a program's channels are."""
        plan = self.plan
        points = np.full(joint.program.channels, plan.samples(()), np.int64)
        for planes in joint.planes:
            places, first = plan.padded >> planes.kind.resolution, planes.first
            for path in planes.paths:
                points[first : first + places] = plan.samples(path)
                first += places
        return points

    # --- as one array ---

    def check_array(self) -> None:
        """Raises: ValueError: the channels are not as long, or not as many places, each."""
        plan = self.plan
        if plan.time.average == "none":
            raise ValueError(
                f"{_CALLER}: Cannot convert to out_type='array' where nothing is averaged over "
                "time, T = 0. Please set out_type to 'list' or 'dict'"
            )
        if self.format == "joint" and not any(plan.paths):
            raise ValueError(
                f"{_CALLER}: out_type='array' of format='joint' leaves order 0 out, and paths "
                "chooses nothing else"
            )
        if self.format == "joint" and plan.average == "none":
            raise ValueError(
                f"{_CALLER}: Cannot convert to format='joint' with out_type='array' and F=0. "
                "Either set format='time', out_type='dict', or out_type='list'"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array: ``(C, n)`` or, of format "joint", ``(C, places, n)``."""
        self.check_array()
        channels, n = self.channels, self.plan.time.outputs
        places = () if self.format == "time" else (channels[0].rows,)
        return len(channels), *places, n

    @property
    def index(self) -> list[int]:
        """The rows of what is averaged that the array has, in its order."""
        return [i for row in self.channels for i in range(row.first, row.first + row.rows)]

    def meta(self) -> dict[str, Any]:
        """Where every channel comes from; see ``TimeFrequencyScattering.meta``."""
        plan, rows = self.plan, self.channels
        n = np.full((len(rows), 2), np.nan, dtype=object)
        in_time = np.full((3, len(rows), 2), np.nan)
        along = np.full((5, len(rows)), np.nan)
        for c, row in enumerate(rows):
            if not row.path:
                continue
            psi = plan.bank[row.path[-1]]
            along[:, c] = row.path[-1], psi.xi, psi.sigma, psi.j, plan.spin(row.path[-1])
            if self.format == "joint":
                n[c, 0] = row.n1
            else:
                n[c, 0] = row.n1.start
                in_time[:, c, 0] = plan.time.banks[0][row.n1.start]
            if len(row.path) == 2:
                n[c, 1] = row.path[0]
                in_time[:, c, 1] = plan.time.banks[1][row.path[0]]
        order = np.array([len(row.path) for row in rows], dtype=np.int64)
        found = {"key": [row.n for row in rows], "n": n, "order": order}
        found |= dict(zip(("xi", "sigma", "j"), in_time, strict=True))
        names = "n_fr", "xi_fr", "sigma_fr", "j_fr", "spin"
        return found | dict(zip(names, along, strict=True))
