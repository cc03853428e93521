"""Whether a model is after hours what it was after a minute.

Many samples follow each of `driving_gaze`'s sources in one chunked rollout. Minute 0
lets the start fade. Minute 1 is the reference: every later minute's mean pose, variance,
jerk, gaze-head correlation and Fréchet distance are set against it, sample by sample.

A change is counted in units that make a tenth mean the same for all: of a mean pose in
standard deviations of the reference, of variance and jerk as a share of the reference's,
of a correlation as it is, and the Fréchet distance as √(d / number of features) of
features in the reference's standard deviations, less what chance alone would give.

Samples differ, and a minute of few samples says little. Minutes are therefore averaged
into ten blocks, and a block's change is

  steady   within a tenth
  drifts   beyond a tenth even after three standard errors are taken off
  unclear  between: more samples would tell
"""

import dataclasses
import datetime
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import jax
import numpy as np

from gazehead_jax import driving_gaze
from gazehead_jax.build import load_split
from gazehead_jax.checkpoint import Checkpoint
from gazehead_jax.drift_features import QUANTITIES
from gazehead_jax.drift_record import TOLERANCE, Curve, block_minutes, follow
from gazehead_jax.rollout import initial_state, rollout, sample_keys
from gazehead_jax.tables import OneTable, number

SAMPLES = 256

# Heading of the table → the quantities that it joins.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "mean": QUANTITIES[:3],
    "variance": QUANTITIES[3:6],
    "jerk": ("jerk",),
    "correlation": QUANTITIES[7:],
    "Fréchet": ("frechet",),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Drift(OneTable):
    """What a drift test found: `about` it, and a `Curve` for each gaze."""

    about: Mapping
    curves: Mapping[str, Curve]

    @property
    def holds(self) -> bool:
        return all(curve.holds for curve in self.curves.values())

    def values(self) -> Mapping:
        """What the JSON holds, with the verdicts."""
        curves = {
            name: dataclasses.asdict(c) | {"verdicts": c.verdicts, "holds": c.holds}
            for name, c in self.curves.items()
        }
        return {"about": self.about, "holds": self.holds, "curves": curves}

    def caption(self) -> str:
        """One line: what ran, on what, for how long."""
        a = self.about
        return (
            f"{a['model']} for {a['minutes']} minutes at {a['fps']:g} fps, "
            f"{a['num_samples']} samples of each gaze; recorded gaze from {a['dataset']}, "
            f"{a['split']} split; {a['date']}. Greatest change of a block of "
            f"{a['block_minutes']} min against minute 1; of those beyond "
            f"{TOLERANCE:.0%}, "
            '"drifts" is certain and "?" is not.'
        )

    def table(self) -> tuple[str, list[str], list[list[str]]]:
        """Title, headings and rows of text."""
        rows = []
        for name, curve in self.curves.items():
            cells = [_cell(curve, group) for group in GROUPS.values()]
            faults = [str(curve.stuck), str(curve.diverged)]
            verdict = "holds" if curve.holds else "FAILS"
            rows.append([name.replace("_", " "), *cells, *faults, verdict])
        return "Drift", ["gaze", *GROUPS, "stuck", "diverged", ""], rows


def _cell(curve: Curve, quantities: Collection[str]) -> str:
    known = [q for q in quantities if curve.verdict(q) != "–"]
    if not known:
        return "–"
    worst = max(known, key=lambda q: abs(curve.worst(q)))
    mark = ""
    if any(curve.verdict(q) == "drifts" for q in known):
        mark = " drifts"
    elif any(curve.verdict(q) == "unclear" for q in known):
        mark = " ?"
    return f"{number(100 * curve.worst(worst), 1)} %{mark}"


def drift(
    checkpoint: Checkpoint,
    seconds: float | int,
    dataset: str | Path,
    split: str = "test",
    *,
    data_dir: str | Path | None = None,
    conversation: str | Path | None = None,
    num_samples: int = SAMPLES,
    seed: int = 0,
    live: bool = False,
    progress: Callable[[str], None] = lambda gaze: None,
) -> Drift:
    """Runs a model for hours under every kind of gaze.

    Args:
      checkpoint: the model, of any rate.
      seconds: how long, see `driving_gaze.parse_duration`; whole minutes count.
      dataset: name or prepared directory; its gaze is replayed.
      split: which part of it.
      data_dir: where datasets are prepared.
      conversation: folder of fixations, see `driving_gaze.conversational`.
      num_samples: of each gaze.
      seed: of the samples and of the order of what is replayed.
      live: hide gaze that is to come from the model.
      progress: told the gaze that is about to run.

    Raises:
      GazeheadError: less than three minutes, too few samples, or unusable data.
    """
    fps = checkpoint.config.data.fps
    replayed = driving_gaze.replayed(load_split(dataset, split, data_dir), fps, seed)
    gazes = [
        driving_gaze.looped(replayed, fps),
        replayed,
        driving_gaze.synthetic(fps, min(float(seconds), driving_gaze.LONGEST_S), seed),
        driving_gaze.constant(fps),
        driving_gaze.saturated(fps),
        driving_gaze.out_of_range(fps),
    ]
    if conversation is not None:
        gazes.insert(2, driving_gaze.conversational(conversation, fps))

    def roll(gaze: np.ndarray, valid: np.ndarray) -> Iterator[np.ndarray]:
        state = initial_state(checkpoint, sample_keys(seed, len(gaze)))
        return rollout(checkpoint, state, gaze, valid, live=live)

    curves = {}
    for gaze in gazes:
        progress(gaze.name)
        curves[gaze.name] = follow(roll, gaze, fps, seconds, num_samples)
    minutes = int(seconds // 60)
    about = {
        "model": checkpoint.name + (", live" if live else ""),
        "dataset": str(dataset),
        "split": split,
        "fps": fps,
        "minutes": minutes,
        "block_minutes": block_minutes(minutes),
        "num_samples": num_samples,
        "seed": seed,
        "date": datetime.date.today().isoformat(),
        "hardware": f"{jax.device_count()} × {jax.devices()[0].device_kind}",
    }
    return Drift(about, curves)
