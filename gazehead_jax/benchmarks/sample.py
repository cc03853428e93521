"""Sampling: µs a step and frames a second, against the same weights elsewhere."""

import dataclasses
import importlib.util
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gazehead_jax.benchmarks import cases, lengths
from gazehead_jax.benchmarks.report import Report
from gazehead_jax.benchmarks.round_robin import Worker, rounds, started
from gazehead_jax.benchmarks.worker import RUNNERS
from gazehead_jax.errors import require

OURS = "gazehead_jax"
RIVALS = ("torch eager", "torch script", "onnx step", "onnx scan", "numpy")
# Equal heads, in radians, over the first frames of a rollout.
TOLERANCE, FRAMES_COMPARED = 1e-4, 64
# What --check holds us to: (model, rows, rival) → least ratio of its time to ours.
FLOORS = {
    ("frame", 1, "torch eager"): 6.5,
    ("frame", 1, "torch script"): 3.7,
    ("frame", 1, "onnx"): 2.3,
    ("frame", 64, "torch eager"): 1.7,
    ("frame", 1024, "torch eager"): 1.3,
    ("natural", 1, "torch eager"): 50.0,
    ("natural", 1, "onnx"): 12.0,
    ("natural", 64, "torch eager"): 3.0,
    ("natural", 64, "onnx"): 1.5,
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One framework on one case.

    Attributes:
      name: of the framework and its form.
      step_us: median microseconds of a frame of all rows.
      frames_per_second: of all rows together.
      ratio: its time over ours.
      error: largest difference of a head from ours, in radians.
      noisy: measurements kept though other programs were at work.
    """

    name: str
    step_us: float
    frames_per_second: float
    ratio: float
    error: float
    noisy: int


@dataclasses.dataclass(frozen=True)
class Table:
    """All frameworks on one model and number of rows.

    Attributes:
      limit: what bounds it, "streaming" of weights on one core or "sgemm" on all.
      limit_rate: measured, in GB/s or GFLOP/s.
      limit_us: a step at that rate.
      share: of the limit that we reach.
    """

    model: str
    rows: int
    frames: int
    entries: list[Row]
    limit: str
    limit_rate: float
    limit_us: float
    share: float


def benchmark(
    models: Sequence[str] = cases.MODELS,
    rows: Sequence[int] = (1, 64, 1024),
    rivals: Sequence[str] = RIVALS,
    count: int = 7,
    seconds: float = 0.4,
    frames: int | None = None,
    hidden: int | None = None,
    long: Sequence[int] = lengths.LENGTHS,
    progress: Callable[[str], None] = lambda line: None,
) -> Report:
    """Times our rollout and its rivals.

    Args:
      models: "frame" and "natural", see `cases.checkpoint`.
      rows: samples at once.
      rivals: names of `worker.RUNNERS`; those whose package is missing are left out.
      count: rounds.
      seconds: of each measurement.
      frames, hidden: smaller ones are for tests.
      long: frames of rollouts of one row, measured where `rows` has 1, whose cost a
        frame and memory are to be the same.
      progress: told what is going on.

    Raises:
      GazeheadError: an unknown name, or frameworks do not give equal heads.
    """
    for given, known in ((models, cases.MODELS), (rivals, RUNNERS)):
        wrong = [x for x in given if x not in known]
        require(not wrong, f"{wrong} are unknown; there are {', '.join(known)}.")
    missing = [r for r in rivals if importlib.util.find_spec(RUNNERS[r][3]) is None]
    present = [r for r in rivals if r not in missing]
    tables = []
    for model in models:
        for b in rows:
            progress(f"{model}, {b} rows")
            with tempfile.TemporaryDirectory() as folder:
                case = cases.write(folder, model, b, frames, hidden)
                tables.append(_table(case, model, present, count, seconds, progress))
    found = []
    for model in models if long and 1 in rows else ():
        progress(f"{model}, long rollouts")
        found += lengths.measure(model, long, hidden)
    notes = [f"Left out, not installed: {', '.join(missing)}."] if missing else []
    if any(r.noisy for t in tables for r in t.entries):
        notes.append(
            "* some measurements were taken while other programs were at work."
        )
    return Report(
        "Sampling",
        "Time of one frame of all rows, whole rollouts; ours draws its noise and changes "
        "units in that time, rivals are handed both.",
        [_text(t) for t in tables] + ([lengths.text(found)] if found else []),
        {
            "tables": [dataclasses.asdict(t) for t in tables],
            "lengths": [dataclasses.asdict(x) for x in found],
        },
        failures(tables) + lengths.failures(found),
        notes,
    )


def _table(case, model, rivals, count, seconds, progress) -> Table:
    from gazehead_jax.checkpoint import load

    if any(r.startswith("onnx") for r in rivals):
        from gazehead_jax.export import export

        export(load(case.folder / "model.npz"), "onnx", case.folder)
    limits = ["streaming"]
    if case.rows > 1:
        limits = [n for n in RUNNERS if n.startswith("sgemm")]
        limits = [n for n in limits if importlib.util.find_spec(RUNNERS[n][3])]
    with started([OURS, *rivals, *limits], case.folder) as workers:
        errors = check_equal([w for w in workers if w.name not in limits], case.folder)
        work = {w.name: _work(w, case.folder) for w in workers if w.name in limits}
        series = rounds(workers, count, seconds, progress)
    ours = series[OURS].median
    entries = []
    for name in (OURS, *rivals):
        taken = series[name].median
        step = taken / case.frames
        entries.append(
            Row(
                name,
                1e6 * step,
                case.rows / step,
                taken / ours,
                errors[name],
                series[name].noisy,
            )
        )
    rate = max(work[n] / series[n].median for n in limits)
    need = 4 * case.weights if case.rows == 1 else 2 * case.weights * case.rows
    return Table(
        model,
        case.rows,
        case.frames,
        entries,
        "streaming" if case.rows == 1 else "sgemm",
        rate / 1e9,
        1e6 * need / rate,
        need / rate / (ours / case.frames),
    )


def _work(worker: Worker, folder: Path) -> int:
    return worker.ask(do="heads", to=str(folder / "limit.npy"))["work"]


def check_equal(workers: Sequence, folder: Path) -> dict[str, float]:
    """The largest difference of each framework's heads from the first one's.

    Args:
      workers: `round_robin.Worker`s.
      folder: for their heads.

    Raises:
      GazeheadError: they are not equal: nothing may be timed.
    """
    heads = {}
    for worker in workers:
        path = folder / "heads.npy"
        worker.ask(do="heads", to=str(path))
        heads[worker.name] = np.load(path)
    first = heads[workers[0].name]
    errors = {}
    for name, made in heads.items():
        require(
            made.shape == first.shape and bool(np.isfinite(made).all()),
            f"{name} gives heads of shape {made.shape}, expected {first.shape}, finite.",
        )
        error = float(np.abs(made - first)[:FRAMES_COMPARED].max())
        require(
            error <= TOLERANCE,
            f"{name} does not compute what {workers[0].name} does: heads differ by "
            f"{error:.1e} rad, at most {TOLERANCE:.0e} are allowed.",
        )
        errors[name] = error
    return errors


def failures(tables: Sequence[Table], floors=FLOORS) -> list[str]:
    """What falls under its floor; a floor of a whole library holds for its best form."""
    said = []
    for (model, rows, rival), floor in floors.items():
        for t in tables:
            if (t.model, t.rows) != (model, rows):
                continue
            ratios = [e.ratio for e in t.entries if e.name.startswith(rival)]
            if ratios and min(ratios) < floor:
                said.append(
                    f"{model}, {rows} rows: {min(ratios):.2f} × {rival}, floor {floor:g}"
                )
    return said


def _text(table: Table) -> str:
    unit = "GB/s" if table.limit == "streaming" else "GFLOP/s"
    limit = {
        "streaming": "reading the weights at the rate of one core",
        "sgemm": "the largest matrix product's rate on all cores",
    }[table.limit]
    lines = [
        f"**{table.model}, {table.rows} row{'s' if table.rows > 1 else ''}** "
        f"({table.frames} frames). Limit: {limit}, {table.limit_rate:.0f} {unit}, "
        f"{table.limit_us:.1f} µs a step; we reach {table.share:.0%} of it.",
        "",
        "| | µs/step | frames/s | ours is faster by | max. error, rad |",
        "|---|---:|---:|---:|---:|",
    ]
    for e in table.entries:
        mark = "*" if e.noisy else ""
        ratio = "" if e.name == OURS else f"{e.ratio:.2f} ×"
        lines.append(
            f"| {e.name} | {e.step_us:.1f}{mark} | {e.frames_per_second:,.0f} | {ratio} | "
            f"{e.error:.0e} |"
        )
    return "\n".join(lines)
