"""Long rollouts: what a frame costs and what memory is taken, of few frames and of many.

Each length runs in a fresh process. Its gaze exists before anything is measured and heads
are let go chunk by chunk, so that what memory grows by is the rollout's own.
"""

import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gazehead_jax.benchmarks import cases
from gazehead_jax.errors import GazeheadError

LENGTHS = (1_000, 10_000, 100_000, 1_000_000)
# What --check holds us to: a frame of the longest rollout costs at most so many times one
# of `USUAL` frames, and memory grows by at most so many MB. The heads of 10⁶ frames, if
# anything held them, would be 12 MB.
USUAL, MOST_TIMES, MOST_GROWN_MB = 10_000, 1.3, 10.0
# Short rollouts are repeated for about so long; what counts is the median.
SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class Length:
    """A rollout of one row.

    Attributes:
      model: see `cases.checkpoint`.
      frames: of it.
      frame_us: microseconds a frame.
      peak_mb: the most memory that its process took, with Python, JAX and the gaze.
      grown_mb: by how much what it holds grew at most in the rollouts timed, from after
        one of two chunks.
    """

    model: str
    frames: int
    frame_us: float
    peak_mb: float
    grown_mb: float


def measure(
    model: str, lengths: Sequence[int] = LENGTHS, hidden: int | None = None
) -> list[Length]:
    """Times rollouts of these lengths, each in a process of its own.

    Raises:
      GazeheadError: a process fails; its last words are told.
    """
    from gazehead_jax.checkpoint import pack

    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.npz"
        pack(cases.checkpoint(model, hidden), path)
        for frames in lengths:
            done = subprocess.run(
                [sys.executable, "-m", __name__, str(path), str(frames)],
                capture_output=True,
                text=True,
            )
            if done.returncode:
                said = done.stderr.strip().splitlines()[-1:]
                raise GazeheadError(
                    f"the rollout of {frames} frames failed: {' '.join(said)[:300]}"
                )
            numbers = json.loads(done.stdout.splitlines()[-1])
            found.append(Length(model, frames, **numbers))
    return found


def failures(found: Sequence[Length]) -> list[str]:
    """What is not flat."""
    said = []
    for model in dict.fromkeys(x.model for x in found):
        own = {x.frames: x for x in found if x.model == model}
        longest = own[max(own)]
        ratio = longest.frame_us / own[USUAL].frame_us if USUAL in own else 0.0
        if ratio > MOST_TIMES:
            said.append(
                f"{model}, {longest.frames:,} frames: {ratio:.2f} × the cost of a frame "
                f"of {USUAL:,}, at most {MOST_TIMES:g}"
            )
        if longest.grown_mb > MOST_GROWN_MB:
            said.append(
                f"{model}, {longest.frames:,} frames: memory grew by "
                f"{longest.grown_mb:.0f} MB, at most {MOST_GROWN_MB:g}"
            )
    return said


def text(found: Sequence[Length]) -> str:
    """A Markdown table."""
    lines = [
        "**Long rollouts**, 1 row, each in a fresh process. Peak memory has Python, JAX and "
        "the gaze (8 MB of 10⁶ frames) in it; growth is what the rollouts themselves added.",
        "",
        "| model | frames | µs/frame | peak memory, MB | grew by, MB |",
        "|---|---:|---:|---:|---:|",
    ]
    for x in found:
        lines.append(
            f"| {x.model} | {x.frames:,} | {x.frame_us:.1f} | {x.peak_mb:.0f} | "
            f"{x.grown_mb:.1f} |"
        )
    return "\n".join(lines)


def _peak_mb() -> float:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    # What getrusage tells begins with the peak of the program that started this one.
    kilobytes = next(x for x in status.splitlines() if x.startswith("VmHWM")).split()[1]
    return int(kilobytes) * 1024 / 1e6


def _held_mb() -> float:
    """What the process holds now: its peak may lie in what was compiled before. Where that
    cannot be known, the peak."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return _peak_mb()
    return pages * resource.getpagesize() / 1e6


def main(path: str, frames: int) -> None:
    """Measures in this process and prints JSON."""
    from gazehead_jax.doctor import use_cores

    use_cores(1)
    from gazehead_jax import rollout
    from gazehead_jax.checkpoint import load

    checkpoint = load(path)
    state = rollout.initial_state(checkpoint, rollout.sample_keys(0, 1))
    gaze, valid = np.empty((1, frames, 2), np.float32), np.ones((1, frames), bool)
    piece = cases.gaze_of(1, 1000)
    for start in range(0, frames, 1000):
        gaze[:, start : start + 1000] = piece[:, : frames - start]
    held = []

    def roll(frames: int) -> float:
        start = time.perf_counter()
        pieces = rollout.rollout(checkpoint, state, gaze[:, :frames], valid[:, :frames])
        for i, heads in enumerate(pieces):
            if i % 16 == 0:
                held.append(_held_mb())
            if not np.isfinite(heads).all():
                raise ValueError("heads are not finite")
        return time.perf_counter() - start

    roll(2 * rollout.CHUNK)
    held[:] = [_held_mb()]
    taken = [roll(frames)]
    while sum(taken) < SECONDS:
        taken.append(roll(frames))
    facts = {
        "frame_us": 1e6 * float(np.median(taken)) / frames,
        "peak_mb": _peak_mb(),
        "grown_mb": max(held) - held[0],
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
