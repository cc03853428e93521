"""Processes that take turns, and a guard against other programs."""

import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from gazehead_jax.benchmarks.worker import RUNNERS, Runner
from gazehead_jax.errors import GazeheadError

# Of one core, by other programs; beyond it a measurement is repeated.
NOISE = 0.12
TRIES = 5


@dataclasses.dataclass
class Series:
    """What one framework took in all rounds.

    Attributes:
      seconds: one a round.
      noisy: how many of them are kept though other programs never were quiet.
    """

    seconds: list[float] = dataclasses.field(default_factory=list)
    noisy: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


class Worker:
    """One framework's process, see `worker`; closed at the end of `with`."""

    def __init__(self, name: str, folder: Path, runner: Runner):
        self.name = name
        self._log = open(folder / f"{name.replace(' ', '_')}.log", "w+")
        module, spec = "gazehead_jax.benchmarks.worker", json.dumps(runner)
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, spec, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.pid = self._process.pid

    def ask(self, **request) -> dict:
        """Sends a request and waits for its answer.

        Raises:
          GazeheadError: the process has ended; its last words are told.
        """
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(request), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            last = [x for x in self._log.read().splitlines() if x.strip()][-1:]
            raise GazeheadError(
                f"the benchmark of {self.name} failed: {' '.join(last)[:300]}"
            )
        return json.loads(line)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._log.close()


def rounds(
    workers: Sequence[Worker],
    count: int,
    seconds: float,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Series]:
    """Lets workers take turns and times each of them once a round."""
    series = {w.name: Series() for w in workers}
    for i in range(count):
        progress(f"round {i + 1} of {count}")
        for worker in workers:
            taken, quiet = undisturbed(
                lambda w=worker: w.ask(do="time", seconds=seconds)["seconds"],
                lambda w=worker: used_by([w.pid]) + time.process_time(),
            )
            series[worker.name].seconds.append(taken)
            series[worker.name].noisy += not quiet
    return series


def undisturbed(
    measure: Callable[[], float],
    own: Callable[[], float],
    busy: Callable[[], float | None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
    pause: float = 0.5,
) -> tuple[float, bool]:
    """Measures until other programs use little of the machine meanwhile.

    Args:
      measure: what is repeated.
      own: processor seconds that our processes have used so far.
      busy: those that all have; None if that cannot be known.
      clock: seconds.
      pause: seconds between tries.

    Returns:
      (the measurement, whether others were quiet): of the quietest try if none was.
    """
    busy = busy or all_busy
    best = None
    for attempt in range(TRIES):
        if attempt:
            time.sleep(pause)
        before, mine, start = busy(), own(), clock()
        value = measure()
        passed = clock() - start
        after = busy()
        if before is None or after is None:
            return value, True
        others = (after - before - (own() - mine)) / passed
        if others <= NOISE:
            return value, True
        if best is None or others < best[0]:
            best = others, value
    return best[1], False


def all_busy() -> float | None:
    """Processor seconds that all programs (and other guests) have used; None if not
    on Linux."""
    try:
        fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    except OSError:
        return None
    user, nice, system, _, _, irq, softirq, steal = map(int, fields)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def used_by(pids: Sequence[int]) -> float:
    """Processor seconds of processes and of those that they started; 0 where that cannot
    be known."""
    family, times = {}, {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = place.read_text()
        except OSError:
            continue
        # The name in parentheses may hold spaces.
        fields = text.rsplit(")", 1)[1].split()
        pid = int(place.parent.name)
        family.setdefault(int(fields[1]), []).append(pid)
        # Its own, and that of children that have ended.
        times[pid] = sum(map(int, fields[11:15]))
    ticks, todo = 0, [p for p in pids if p in times]
    while todo:
        pid = todo.pop()
        ticks += times[pid]
        todo += family.get(pid, ())
    return ticks / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def started(
    names: Sequence[str], folder: Path, runners: Mapping[str, Runner] = RUNNERS
) -> Iterator[list[Worker]]:
    """Workers of these runners, ended whatever happens."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Worker(n, folder, runners[n])) for n in names]
