"""Start-up: from a cold process to a written file, with and without compiled programs."""

import dataclasses
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gazehead_jax.benchmarks.report import Key, Report
from gazehead_jax.benchmarks.round_robin import undisturbed, used_by
from gazehead_jax.errors import require

# Seconds that --check allows `gazehead sample` whose programs were compiled before.
FLOOR_S = 3.0
WARM, COLD = "gazehead sample, compiled before", "gazehead sample, the first time"
IMPORT, BACKEND = "import gazehead_jax", "import jax, first array"
# What may take this long at least; each is Python with one line.
LINES = {
    "python, nothing": "pass",
    IMPORT: "import gazehead_jax",
    BACKEND: "import jax.numpy as jnp; jnp.zeros(1).block_until_ready()",
    "import torch, first tensor": "import torch; torch.zeros(1)",
}


@dataclasses.dataclass(frozen=True)
class Timed:
    """Seconds of a process from start to end; `noisy` runs met other programs."""

    name: str
    median: float
    longest: float
    runs: int
    noisy: int


def benchmark(
    frames: int = 1000,
    count: int = 5,
    progress: Callable[[str], None] = lambda line: None,
) -> Report:
    """Times `gazehead sample` and imports, each in fresh processes that take turns.

    Args:
      frames: of gaze, at 30 a second.
      count: runs of each; of the first sampling, which compiles, at most 3.
      progress: told what is going on.

    Raises:
      GazeheadError: a process failed, or the first run and a later one give other heads.
    """
    taken: dict[str, list] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gaze = _write_gaze(folder, frames)
        sample = lambda cache, out: _sample(folder, gaze, cache, out)
        runs = {n: (lambda c=code: _python(c)) for n, code in _lines().items()}
        runs[WARM] = lambda: sample("warm", "warm.csv")
        # Compiles, and reads all files once.
        sample("warm", "first.csv")
        check_written(folder / "first.csv", frames)
        for i in range(count):
            progress(f"round {i + 1} of {count}")
            if i < 3:
                # Not repeated if others are at work: a second run would not be cold.
                cold = sample(f"cold{i}", f"cold{i}.csv")
                taken.setdefault(COLD, []).append((cold, True))
            for what, run in runs.items():
                taken.setdefault(what, []).append(_guarded(run))
        first, later = ((folder / f"{n}.csv").read_bytes() for n in ("cold0", "warm"))
        require(first == later, "the first sampling and a later one give other heads.")
    rows = [
        Timed(
            what,
            statistics.median(s for s, _ in got),
            max(s for s, _ in got),
            len(got),
            sum(not quiet for _, quiet in got),
        )
        for what, got in taken.items()
    ]
    return _report(sorted(rows, key=lambda r: -r.median), frames)


def _report(rows: list[Timed], frames: int) -> Report:
    by = {r.name: r for r in rows}
    share = by[BACKEND].median / by[WARM].median
    lines = ["| | s, median | longest | runs |", "|---|---:|---:|---:|"]
    lines += [
        f"| {r.name} | {r.median:.2f}{'*' if r.noisy else ''} | {r.longest:.2f} | "
        f"{r.runs} |"
        for r in rows
    ]
    warm = by[WARM].median
    failures = []
    if warm > FLOOR_S:
        failures.append(f"{WARM}: {warm:.2f} s, at most {FLOOR_S:g} s are allowed")
    noisy = any(r.noisy for r in rows)
    return Report(
        "Start-up",
        f"Fresh processes, from start to end; sampling reads {frames:,} frames of gaze from "
        "a .csv and writes the head of the shipped model to another. Limit: to import JAX "
        f"and make a first array; sampling reaches {share:.0%} of it.",
        ["\n".join(lines)],
        {"processes": [dataclasses.asdict(r) for r in rows]},
        failures,
        ["* some runs met other programs at work."] if noisy else [],
        [
            Key(
                f"start-up, `gazehead sample` of {frames:,} frames, compiled before",
                f"{warm:.2f} s (first time {by[COLD].median:.2f} s)",
                "",
                f"{share:.0%} of importing JAX alone",
            ),
            Key("start-up, `import gazehead_jax`", f"{by[IMPORT].median:.2f} s"),
        ],
    )


def _lines() -> dict[str, str]:
    torch = importlib.util.find_spec("torch")
    return {n: code for n, code in LINES.items() if torch or "torch" not in code}


def _write_gaze(folder: Path, frames: int) -> Path:
    from gazehead_jax.benchmarks.cases import gaze_of
    from gazehead_jax.motion import Motion
    from gazehead_jax.motion_io import save_motion

    gaze = gaze_of(1, frames)[0]
    path = folder / "gaze.csv"
    save_motion(path, Motion(gaze=gaze, head=None, fps=30.0, source="benchmark"))
    return path


def _sample(folder: Path, gaze: Path, cache: str, out: str) -> float:
    command = ["-m", "gazehead_jax", "sample", "--gaze", str(gaze)]
    command += ["--out", str(folder / out)]
    return _run(command, JAX_COMPILATION_CACHE_DIR=str(folder / cache))


def _python(code: str) -> float:
    return _run(["-c", code])


def _run(arguments: list[str], **environment: str) -> float:
    """Seconds that a Python process takes.

    Raises:
      GazeheadError: it fails.
    """
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    taken = time.perf_counter() - start
    last = done.stderr.strip().splitlines()[-1:]
    require(
        done.returncode == 0,
        f"python {' '.join(arguments)[:120]} failed: {' '.join(last)[:300]}",
    )
    return taken


def _guarded(run: Callable[[], float]) -> tuple[float, bool]:
    return undisturbed(run, lambda: used_by([os.getpid()]))


def check_written(path: Path, frames: int) -> None:
    """Raises GazeheadError unless it is a motion with so many heads."""
    from gazehead_jax.motion_io import load_motion

    motion = load_motion(path)
    head = motion.require_head()
    require(
        len(motion) == frames and bool(np.isfinite(head).all() and head.std() > 0),
        f"{path.name}: expected {frames} heads that move, got {len(motion)}.",
    )
