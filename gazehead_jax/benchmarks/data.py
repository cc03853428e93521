"""Feeding training: windows a second, resident and streamed, against the usual loaders."""

import dataclasses
import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gazehead_jax.benchmarks import contest
from gazehead_jax.benchmarks.contest import OURS, Contest, Limit, Result
from gazehead_jax.benchmarks.report import Report
from gazehead_jax.benchmarks.worker import RIVALS, Runner

HERE, LOADERS = "gazehead_jax.benchmarks.data", f"{RIVALS}.window_rivals"


def _runner(module: str, kind: str, *arguments, needs: str = "numpy") -> Runner:
    return Runner(module, kind, arguments, needs, "run", case=False)


RUNNERS = {
    OURS: _runner(HERE, "Resident", needs="jax"),
    "gazehead_jax, streamed by grain": _runner(HERE, "Streamed", needs="grain"),
    "NumPy index": _runner(LOADERS, "NumpyIndex"),
    "torch DataLoader": _runner(LOADERS, "TorchLoader", 0, needs="torch"),
    "torch DataLoader, 2 workers": _runner(LOADERS, "TorchLoader", 2, needs="torch"),
    "torch DataLoader, by batch": _runner(LOADERS, "TorchBatches", needs="torch"),
}
# What --check holds us to: (contest, rival) → least ratio of its time to ours.
FLOORS = {
    ("training windows", "torch DataLoader"): 1.5,
    ("training windows", "NumPy index"): 2.0,
}


def benchmark(
    people: int = 16,
    seconds_each: float = 60.0,
    batch: int = 256,
    steps: int = 20,
    count: int = 5,
    seconds: float = 0.3,
    progress: Callable[[str], None] = lambda line: None,
) -> Report:
    """Times everything that hands out batches, on simulated people.

    Args:
      people, seconds_each: size of the split; of each person there are two sequences.
      batch: windows of a step.
      steps: of one call, as training scans several steps in one.
      count: rounds.
      seconds: of each measurement.
      progress: told what is going on.

    Raises:
      GazeheadError: a loader gives other windows than ours.
    """
    progress("preparing simulated people")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        facts = write_case(folder, people, seconds_each, batch, steps)
        limit = Limit(
            "copying the same batches in memory",
            {"memory": _runner(HERE, "Copy")},
            need=1.0,
        )
        work = Contest("training windows", "windows", batch * steps, RUNNERS)
        work = dataclasses.replace(work, limit=limit)
        result = contest.hold(work, folder, count, seconds, progress)
    return _report(result, facts)


def _report(result: Result, facts: dict) -> Report:
    about = (
        f"Batches of {facts['batch']} windows, {facts['length']} frames of gaze, head and "
        f"validity each, out of {facts['windows']:,} ({facts['frames']:,} frames of "
        f"simulated people), {facts['steps']} steps a call, windows of the shipped model's "
        "training. Ours decides which windows a step sees and gathers them inside a "
        "compiled step; `streamed` reads records of a prepared dataset as for splits that "
        "do not fit on the device; all others are handed the order and have the split in "
        "memory, resampled and normalised. All give the same bits."
    )
    return Report(
        "Data",
        about,
        [contest.table(result)],
        {"case": facts, "results": [dataclasses.asdict(result)]},
        contest.failures([result], FLOORS),
        contest.notes([result]),
        [result.key()],
    )


def write_case(
    folder: Path, people: int, seconds_each: float, batch: int, steps: int
) -> dict:
    """Prepares simulated people and tells rivals which windows are wanted.

    Returns:
      JSON-able: `batch`, `steps`, `length`, `windows`, `frames`, `split` (its folder).
    """
    from gazehead_jax import build

    builder = build.prepare(
        "gazehead_synthetic",
        folder / "tfds",
        train_people=people,
        validation_people=1,
        test_people=1,
        sequences=2,
        seconds=seconds_each,
    )
    facts = {"batch": batch, "steps": steps, "split": str(builder.data_dir)}
    (folder / "case.json").write_text(json.dumps(facts))
    table = _table(folder)
    parts = [table.normalised(i) for i in range(len(table.motions))]
    gaze, head, valid = (np.concatenate(x) for x in zip(*parts, strict=True))
    starts, mirrored = [], []
    for step in range(steps):
        sequence, start, mirror = table.locate(table.order(0, step, batch))
        starts.append(table.offsets[sequence] + start)
        mirrored.append(mirror)
    np.savez(
        folder / "split.npz",
        gaze=gaze,
        head=head,
        valid=valid,
        start=np.array(starts),
        mirrored=np.array(mirrored),
        length=table.length,
    )
    return facts | {
        "length": table.length,
        "windows": len(table),
        "frames": table.frames,
    }


def _case(folder: str | Path) -> dict:
    return json.loads((Path(folder) / "case.json").read_text())


def _table(folder: str | Path):
    """The windows of the shipped model's training, of the simulated people."""
    from gazehead_jax import build
    from gazehead_jax.config import load_experiment
    from gazehead_jax.data import WindowTable

    config = load_experiment("natural")
    data = dataclasses.replace(config.data, mirror=True, stride=1)
    motions = build.open_split(_case(folder)["split"], "train")
    return WindowTable(motions, data, config.model)


def as_rows(gaze, head, valid) -> np.ndarray:
    """`[steps, b, t, 6]` of batches: gaze, head and whether it is valid."""
    gaze, head, valid = (np.asarray(x, np.float32) for x in (gaze, head, valid))
    return np.concatenate([gaze, head, valid[..., None]], -1)


class Resident:
    """`data.ResidentWindows`, as training uses it: several steps in one compiled call."""

    def __init__(self, folder: str):
        import jax

        from gazehead_jax.data import ResidentWindows

        case, table = _case(folder), _table(folder)
        self._order = functools.partial(_order, table, case["batch"])
        self._steps, self._reader = range(case["steps"]), ResidentWindows(table)
        self._split = jax.device_put(self._reader.constants)
        make = ResidentWindows.materialise
        self._gather = jax.jit(
            lambda split, all_places: jax.lax.map(
                lambda places: make(split, places, table.length), all_places
            )
        )

    def run(self):
        import jax

        batches = self._reader.batches(self._order, self._steps)
        places = jax.tree.map(lambda *x: np.stack(x), *batches)
        return jax.block_until_ready(self._gather(self._split, places))

    def shown(self, windows) -> np.ndarray:
        return as_rows(windows.gaze, windows.head, windows.valid)

    def settle(self) -> None:
        """There is nothing to choose."""


class Streamed:
    """`data.StreamedWindows`: grain over a prepared dataset, one process."""

    def __init__(self, folder: str):
        from gazehead_jax.data import StreamedWindows

        case, table = _case(folder), _table(folder)
        self._order = functools.partial(_order, table, case["batch"])
        self._steps, self._reader = range(case["steps"]), StreamedWindows(table)

    def run(self):
        return list(self._reader.batches(self._order, self._steps))

    def shown(self, batches) -> np.ndarray:
        parts = ([getattr(b, n) for b in batches] for n in ("gaze", "head", "valid"))
        return as_rows(*parts)

    def settle(self) -> None:
        """Has read what it keeps in memory."""
        self.run()


def _order(table, batch: int, step: int) -> np.ndarray:
    return table.order(0, step, batch)


class Copy:
    """The limit: the same batches, ready in memory, copied once; one core."""

    def __init__(self, folder: str):
        with np.load(Path(folder) / "split.npz") as file:
            split = {name: file[name] for name in file.files}
        frames = split["start"][..., None] + np.arange(split["length"])
        self._made = [split[name][frames] for name in ("gaze", "head", "valid")]
        self._to = [np.empty_like(x) for x in self._made]
        self.work = split["start"].size

    def run(self) -> int:
        for place, windows in zip(self._to, self._made, strict=True):
            np.copyto(place, windows)
        return self.work

    def settle(self) -> None:
        """There is nothing to choose."""
