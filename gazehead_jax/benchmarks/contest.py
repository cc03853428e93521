"""One piece of work, several ways to do it: equal first, then timed in turns.

What `data`, `extract` and `render` have in common.
"""

import dataclasses
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from gazehead_jax.benchmarks.report import Key
from gazehead_jax.benchmarks.round_robin import Worker, rounds, started
from gazehead_jax.benchmarks.worker import Runner
from gazehead_jax.errors import require

OURS = "gazehead_jax"
NOISY = "* some measurements were taken while other programs were at work."


def largest(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference of two outputs of one shape."""
    return float(np.abs(ours - theirs).max())


@dataclasses.dataclass(frozen=True)
class Limit:
    """What bounds a piece of work on this machine.

    Attributes:
      text: what it is, for "Limit: …".
      runners: those that measure it; each has `work`, what one call does. The fastest one
        counts.
      need: work of one unit.
    """

    text: str
    runners: Mapping[str, Runner]
    need: float


@dataclasses.dataclass(frozen=True)
class Contest:
    """One piece of work.

    Attributes:
      title: of it.
      unit: what is counted, in the plural.
      count: units of one call.
      runners: name → who does it; ours, the first one, gives the outputs of all.
      tolerance: how far an output may be from ours.
      distance: (our output, another) → a number.
      measure: what the distance is.
      limit: what bounds it, if that can be measured.
    """

    title: str
    unit: str
    count: int
    runners: Mapping[str, Runner]
    tolerance: float = 0.0
    distance: Callable[[np.ndarray, np.ndarray], float] = largest
    measure: str = "largest difference"
    limit: Limit | None = None


@dataclasses.dataclass(frozen=True)
class Entry:
    """One way to do it.

    Attributes:
      name: of it.
      rate: units a second, the median.
      ratio: its time over ours.
      error: distance of its output from ours.
      noisy: measurements kept though other programs were at work.
    """

    name: str
    rate: float
    ratio: float
    error: float
    noisy: int


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of a contest.

    Attributes:
      measure: what `Entry.error` is.
      limit: what bounds it, "" if that is not known.
      limit_rate: units a second at that limit.
      share: of it that we reach.
      left_out: names whose package is not installed.
    """

    title: str
    unit: str
    entries: list[Entry]
    limit: str = ""
    limit_rate: float = 0.0
    share: float = 0.0
    left_out: tuple[str, ...] = ()
    measure: str = "largest difference"

    @property
    def ours(self) -> Entry:
        return self.entries[0]

    def key(self) -> Key:
        """Its row in the table of the most important numbers."""
        rivals = "; ".join(f"{e.name} {e.ratio:.2g} ×" for e in self.entries[1:])
        limit = f"{self.share:.0%} of {self.limit}" if self.limit else ""
        return Key(self.title, f"{number(self.ours.rate)} {self.unit}/s", rivals, limit)


def hold(
    contest: Contest,
    folder: Path,
    count: int,
    seconds: float,
    progress: Callable[[str], None] = lambda line: None,
) -> Result:
    """Checks that all outputs are equal, then times.

    Args:
      folder: what the runners work on; logs and outputs are put there.
      count: rounds.
      seconds: of each measurement.
      progress: told what is going on.

    Raises:
      GazeheadError: an output is not ours, or a process failed.
    """
    progress(contest.title)
    limits = contest.limit.runners if contest.limit else {}
    everyone = {**contest.runners, **limits}
    present = [n for n, r in everyone.items() if importlib.util.find_spec(r.needs)]
    ours, *_ = contest.runners
    with started(present, folder, everyone) as workers:
        outputs, work = outputs_of(workers, folder)
        errors = distances(
            contest, {n: made for n, made in outputs.items() if n not in limits}
        )
        series = rounds(workers, count, seconds, progress)
    base = series[ours].median
    entries = [
        Entry(
            name,
            contest.count / series[name].median,
            series[name].median / base,
            errors[name],
            series[name].noisy,
        )
        for name in present
        if name in contest.runners
    ]
    left_out = tuple(n for n in contest.runners if n not in present)
    made = Result(
        contest.title,
        contest.unit,
        entries,
        left_out=left_out,
        measure=contest.measure,
    )
    speeds = [work[n] / series[n].median for n in present if n in limits]
    if not speeds:
        return made
    rate = max(speeds) / contest.limit.need
    return dataclasses.replace(
        made,
        limit=contest.limit.text,
        limit_rate=rate,
        share=entries[0].rate / rate,
    )


def outputs_of(workers: Sequence[Worker], folder: Path) -> tuple[dict, dict]:
    """(outputs, work of one call where that is known) of each worker."""
    outputs, work = {}, {}
    for worker in workers:
        path = folder / "output.npy"
        work[worker.name] = worker.ask(do="output", to=str(path))["work"]
        outputs[worker.name] = np.load(path)
    return outputs, work


def distances(contest: Contest, outputs: Mapping[str, np.ndarray]) -> dict[str, float]:
    """How far each output is from the first one, which is ours.

    Raises:
      GazeheadError: one is too far, of another shape or not finite: nothing may be timed.
    """
    (name, first), *_ = outputs.items()
    found = {}
    for other, made in outputs.items():
        require(
            made.shape == first.shape and bool(np.isfinite(made).all()),
            f"{other} gives an output of shape {made.shape} for {contest.title}, expected "
            f"{first.shape}, finite.",
        )
        apart = contest.distance(first.astype(np.float64), made.astype(np.float64))
        require(
            apart <= contest.tolerance,
            f"{other} does not compute what {name} does for {contest.title}: outputs "
            f"differ by {apart:.1e}, at most {contest.tolerance:.0e} are allowed.",
        )
        found[other] = apart
    return found


def failures(results: Sequence[Result], floors: Mapping) -> list[str]:
    """What falls under its floor: (title, rival) → least ratio of its time to ours. A
    floor of a whole library holds for its best form."""
    said = []
    for (title, rival), floor in floors.items():
        for r in results:
            ratios = [e.ratio for e in r.entries[1:] if e.name.startswith(rival)]
            if r.title == title and ratios and min(ratios) < floor:
                said.append(f"{title}: {min(ratios):.2f} × {rival}, floor {floor:g}")
    return said


def table(result: Result) -> str:
    """Markdown of one contest."""
    title = result.title[0].upper() + result.title[1:]
    lines = [f"**{title}.**"]
    if result.limit:
        lines[0] += (
            f" Limit: {result.limit}, {number(result.limit_rate)} {result.unit}/s; we "
            f"reach {result.share:.0%} of it."
        )
    lines += ["", f"| | {result.unit}/s | ours is faster by | {result.measure} |"]
    lines.append("|---|---:|---:|---:|")
    for i, e in enumerate(result.entries):
        ratio = f"{e.ratio:.2f} ×" if i else ""
        mark = "*" if e.noisy else ""
        apart = f"{e.error:.0e}" if e.error else "0"
        lines.append(
            f"| {e.name} | {number(e.rate)}{mark} | {ratio} | {apart if i else ''} |"
        )
    return "\n".join(lines)


def notes(results: Sequence[Result]) -> list[str]:
    """What a reader must know of all of them."""
    missing = dict.fromkeys(n for r in results for n in r.left_out)
    said = [f"Left out, not installed: {', '.join(missing)}."] if missing else []
    if any(e.noisy for r in results for e in r.entries):
        said.append(NOISY)
    return said


def number(rate: float) -> str:
    """A rate in three digits."""
    if rate >= 1e6:
        return f"{rate / 1e6:.3g} M"
    if rate >= 100:
        return f"{float(f'{rate:.3g}'):,.0f}"
    return f"{rate:.3g}"
