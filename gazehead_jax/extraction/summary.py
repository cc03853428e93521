"""What a run of extraction tells while it goes and when it is done."""

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from gazehead_jax.extraction.folder import Progress
from gazehead_jax.extraction.settings import ExtractSettings
from gazehead_jax.gaze import ESTIMATORS
from gazehead_jax.weight_catalogue import WEIGHTS

# Where no bar can be drawn (a log file), a line every so often.
EVERY_S = 10.0


class Reporter:
    """A context manager that is called after every clip: a bar, or lines in a log.

    A clip that gave no motion is named with its reason.
    """

    def __init__(self):
        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._bar = Bar(
            BarColumn(),
            TextColumn("{task.description}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = None
        self._told = time.monotonic()

    def __enter__(self):
        self._bar.start()
        return self

    def __exit__(self, *_):
        self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        row = progress.row
        if not row["motions"]:
            words = ", ".join(row["rejected"]) or "no motion"
            note = f" ({row['message']})" if row["message"] else ""
            self._console.print(f"{row['video']}: {words}{note}", soft_wrap=True)
        if self._task is None:
            self._task = self._bar.add_task("", total=progress.total)
        self._bar.update(self._task, completed=progress.done, description=str(progress))
        now = time.monotonic()
        last = progress.done == progress.total
        if not self._console.is_terminal and (last or now - self._told > EVERY_S):
            self._told = now
            print(progress, file=sys.stderr, flush=True)


def licences(settings: ExtractSettings) -> list[str]:
    """A line about each network that is used, with its terms."""
    names = ["face_landmarker", ESTIMATORS[settings.gaze].weights]
    return [f"{name}: {WEIGHTS[name].terms}" for name in names if name]


def print_summary(summary: dict, out: str) -> None:
    """The sums of a manifest, for a reader."""
    frames = max(1, summary["frames"])
    seconds = 3600 * summary["hours_valid"]
    length = f"{seconds / 60:.1f} min" if seconds > 100 else f"{seconds:.1f} s"
    print(
        f"{out}: {summary['motions']} motion{'s' * (summary['motions'] != 1)} from "
        f"{summary['videos_kept']} of {summary['videos']} videos; {summary['valid']} of "
        f"{summary['frames']} frames valid ({100 * summary['valid'] / frames:.0f} %), "
        f"{length}"
    )
    for title, key in (
        ("left out", "rejected"),
        ("frames marked invalid", "frame_reasons"),
    ):
        if summary[key]:
            parts = ", ".join(f"{name} {n}" for name, n in summary[key].items())
            print(f"{title}: {parts}")
