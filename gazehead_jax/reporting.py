"""What a training run writes down: JSON lines, TensorBoard, a progress bar."""

import json
import time
from collections.abc import Mapping
from pathlib import Path

from gazehead_jax.files import atomic_path, unwritable


class Report:
    """Writes one record at a time to `log.jsonl` and TensorBoard, and shows progress.

    Args:
      workdir: where the files go; records after `start_step` that an interrupted
        run left there are dropped.
      start_step: first step of this run.
      total: last step.
      name: shown beside the bar.
      quiet: no progress display.
      active: False for all but one process of a run: nothing is written or shown.
    """

    def __init__(
        self,
        workdir: Path,
        start_step: int,
        total: int,
        name: str,
        quiet: bool = False,
        active: bool = True,
    ):
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )
        from tensorboardX import SummaryWriter

        self._active = active
        if not active:
            return
        self._path = workdir / "log.jsonl"
        self._drop_after(start_step)
        try:
            self._log = self._path.open("a", buffering=1)
        except OSError as error:
            raise unwritable(self._path, error) from error
        self._board = SummaryWriter(
            str(workdir / "tensorboard"), purge_step=start_step, flush_secs=10
        )
        console = Console(stderr=True, markup=False, emoji=False)
        self._live = not quiet and console.is_terminal
        self._print = None if quiet or self._live else console.print
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
            disable=not self._live,
        )
        self._task = self._bar.add_task(
            name, total=total, completed=start_step, note=""
        )
        self._name, self._total = name, total
        self._since = time.perf_counter(), start_step

    def _drop_after(self, step: int) -> None:
        if not self._path.is_file():
            return
        kept = []
        for line in self._path.read_text().splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:  # cut off by a kill
                continue
            if record["step"] <= step and step > 0:
                kept.append(line)
        with atomic_path(self._path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in kept))

    def __enter__(self) -> "Report":
        if self._active:
            self._bar.start()
        return self

    def __exit__(self, *_) -> None:
        if not self._active:
            return
        self._bar.stop()
        self._log.close()
        self._board.close()

    def record(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Appends `{"step", "split", **values}`; training records carry steps/s."""
        if not self._active:
            return
        values = {k: float(v) for k, v in values.items()}
        if split == "train":
            then, step_then = self._since
            now = time.perf_counter()
            if step > step_then:
                values["steps_per_s"] = (step - step_then) / max(now - then, 1e-9)
            self._since = now, step
        record = {"step": step, "split": split, **values}
        try:
            self._log.write(json.dumps(record) + "\n")
        except OSError as error:
            raise unwritable(self._path, error) from error
        for name, value in values.items():
            self._board.add_scalar(f"{split}/{name}", value, step)
        note = f"{split} loss {values['loss']:.3f}"
        self._bar.update(self._task, completed=step, note=note)
        if self._print and split == "validation":
            self._print(
                f"{self._name}: step {step}/{self._total}, {note}", highlight=False
            )
