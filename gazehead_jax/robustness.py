"""What a model makes of gaze that an estimator has spoilt.

The gaze of each sequence is brought to a webcam's 30 fps, spoilt in one way, resampled to
the model's rate by the project's own `resample`, and followed over windows of 2.4 s. The
context before them is the true one and the real head is the target as it was, so that
what a row loses against the clean one owes to the gaze alone.

  noise     independent from frame to frame, in degrees
  bias      a constant offset, in a direction of its own for each sequence
  dropped   frames that are lost one by one
  blinks    gaps of 0.1 to 0.4 s
  fps       another rate than 30, from the recording itself; between slow frames gaze is
            interpolated, which looks one of them ahead
  latency   gaze that comes late
"""

import dataclasses
import datetime
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from gazehead_jax import averages, metrics
from gazehead_jax.build import load_split
from gazehead_jax.checkpoint import Checkpoint
from gazehead_jax.errors import require
from gazehead_jax.evaluation import MIN_PEOPLE, WINDOW_S
from gazehead_jax.motion import Motion, resample, wrap
from gazehead_jax.predictors import Predictor, model_predictor, predict_all
from gazehead_jax.tables import OneTable, number

INPUT_FPS = 30.0
# Coverage of a 90 % interval needs 19.
SAMPLES = 20
MAX_WINDOWS = 200
BLINK_S = (0.1, 0.4)

# Degradation → its unit as written after a level, and the levels.
LEVELS: Mapping[str, tuple[str, tuple[float | int, ...]]] = {
    "noise": ("°", (0.5, 1, 2, 4, 8)),
    "bias": ("°", (2, 5, 10, 15)),
    "dropped": (" %", (5, 10, 20, 50)),
    "blinks": ("/min", (15, 30, 60)),
    "fps": (" fps", (5, 10, 15, 60, 120)),
    "latency": (" ms", (100, 200, 400)),
}

# Heading of the table → (metrics shown in one cell, digits).
COLUMNS: Mapping[str, tuple[tuple[str, ...], int]] = {
    "energy score ° ↓": (("energy_score_deg",), 2),
    "corr. yaw": (("correlation_yaw",), 2),
    "jerk / real → 1": (("jerk_ratio",), 2),
    "variance / real, pitch / yaw → 1": (
        ("variance_ratio_pitch", "variance_ratio_yaw"),
        2,
    ),
    "in 90 % band, pitch / yaw → .90": (("coverage90_pitch", "coverage90_yaw"), 2),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Robustness(OneTable):
    """What was found.

    Attributes:
      about: model, data, counts, settings.
      clean: metric → value without any degradation, see `metrics.sequence_metrics`.
      rows: degradation → level → metric → value.
      intervals: degradation → level → metric → (low, high), 95 %, over people; empty
        for fewer than five people. "clean" → 0 holds those of `clean`.
    """

    about: Mapping
    clean: Mapping[str, float]
    rows: Mapping[str, Mapping[float | int, Mapping[str, float]]]
    intervals: Mapping[str, Mapping[float | int, Mapping[str, tuple[float, float]]]]

    def values(self) -> Mapping:
        """What the JSON holds."""
        return dataclasses.asdict(self)

    def caption(self) -> str:
        """One line: model, data, protocol."""
        a = self.about
        return (
            f"{a['model']} on {a['dataset']}, {a['split']} split: {a['windows']} windows "
            f"of {a['window_s']:g} s at {a['fps']:g} fps from {a['people']} people, "
            f"{a['num_samples']} samples each; gaze spoilt at {INPUT_FPS:g} fps; "
            f"{a['date']}."
        )

    def table(self) -> tuple[str, list[str], list[list[str]]]:
        """Title, headings and rows of text."""
        rows = [["clean", *_cells(self.clean)]]
        for name, levels in self.rows.items():
            rows += [
                [_condition(name, level), *_cells(row)] for level, row in levels.items()
            ]
        return "Robustness to the gaze estimator", ["gaze", *COLUMNS], rows


def _condition(name: str, level: float | int) -> str:
    text = f"{level:g}{LEVELS[name][0]}"
    return text if name == "fps" else f"{name} {text}"


def _cells(row: Mapping[str, float]) -> list[str]:
    return [
        " / ".join(number(row.get(key), digits) for key in keys)
        for keys, digits in COLUMNS.values()
    ]


def robustness(
    checkpoint: Checkpoint,
    dataset: str | Path,
    split: str = "test",
    *,
    data_dir: str | Path | None = None,
    num_samples: int = SAMPLES,
    max_windows: int = MAX_WINDOWS,
    seed: int = 0,
    live: bool = False,
    predictor: Predictor | None = None,
    progress: Callable[[str], None] = lambda condition: None,
) -> Robustness:
    """Scores a checkpoint on clean gaze and on each of `LEVELS`.

    Args:
      checkpoint: the model, of any rate.
      dataset: name or prepared directory.
      split: what to score on.
      data_dir: where datasets are prepared.
      num_samples: a window.
      max_windows: of all windows so many are used, evenly spread.
      seed: of samples and degradations.
      live: hide gaze that is to come from the model.
      predictor: follows gaze in the checkpoint's stead.
      progress: told the condition that is about to be scored.

    Raises:
      GazeheadError: no window is valid, or a count below 1.
    """
    require(
        num_samples >= 1 and max_windows >= 1,
        f"num_samples and max_windows must be ≥ 1, got {num_samples} and {max_windows}.",
    )
    predictor = predictor or model_predictor(checkpoint, live=live)
    c, fps = checkpoint.config, checkpoint.config.data.fps
    context, length = max(1, c.model.context), max(2, round(WINDOW_S * fps))
    motions = load_split(dataset, split, data_dir)
    places = _places(motions, fps, context, length)
    require(
        bool(places),
        f"{dataset} {split}: no valid window of {context} + {length} frames at "
        f"{fps:g} fps.",
    )
    places = places[:: -(-len(places) // max_windows)]
    recordings = {i: motions[i] for i in dict.fromkeys(i for i, _ in places)}
    truth_of = {i: resample(motion, fps) for i, motion in recordings.items()}
    truths = [truth_of[i][start : start + context + length] for i, start in places]
    people = [truth.subject for truth in truths]

    def score(name: str, level: float | int) -> tuple[dict, dict]:
        spoilt = {
            i: _spoilt(motion, name, level, fps, np.random.default_rng((seed, i)))
            for i, motion in recordings.items()
        }
        first = [start + context for _, start in places]
        ahead = [
            spoilt[i][a : a + length] for (i, _), a in zip(places, first, strict=True)
        ]
        pasts = [truth[:context] for truth in truths]
        made = predict_all(predictor, pasts, ahead, num_samples, seed)
        scores = []
        for truth, heads in zip(truths, made, strict=True):
            target = truth[context:]
            real = target.require_head()[:, : heads.shape[-1]]
            # Lost gaze is the model's trouble: the target's own valid frames count.
            scores.append(
                metrics.sequence_metrics(heads, real, target.gaze, target.valid, fps)
            )
        enough = len(set(people)) >= MIN_PEOPLE
        between = averages.bootstrap(scores, people) if enough else {}
        return averages.aggregate(scores), between

    progress("clean")
    clean, between = score("clean", 0)
    rows, intervals = {}, {"clean": {0: between}}
    for name, (_, levels) in LEVELS.items():
        rows[name], intervals[name] = {}, {}
        for level in levels:
            progress(_condition(name, level))
            rows[name][level], intervals[name][level] = score(name, level)
    about = {
        "model": checkpoint.name + (", live" if live else ""),
        "dataset": str(dataset),
        "split": split,
        "people": len(set(people)),
        "windows": len(places),
        "window_s": length / fps,
        "fps": fps,
        "input_fps": INPUT_FPS,
        "num_samples": num_samples,
        "seed": seed,
        "date": datetime.date.today().isoformat(),
        "hardware": f"{jax.device_count()} × {jax.devices()[0].device_kind}",
    }
    return Robustness(about, clean, rows, intervals)


def _places(
    motions: Sequence[Motion], fps: float, context: int, length: int
) -> list[tuple[int, int]]:
    """Sequence and first frame of windows end to end: valid in their context, mostly
    valid after it."""
    found = []
    for i, motion in enumerate(motions):
        valid = resample(motion, fps).valid
        start = 0
        while start + context + length <= len(valid):
            ahead = valid[start + context : start + context + length]
            fits = valid[start : start + context].all() and ahead.mean() >= 0.8
            if fits:
                found.append((i, start))
            start += length if fits else 1
    return found


def _spoilt(
    motion: Motion, name: str, level: float | int, fps: float, rng: np.random.Generator
) -> Motion:
    """The gaze that the model gets, at its rate, as long as the recording is there."""
    given = motion.replace(head=None)
    given = resample(given, level if name == "fps" else INPUT_FPS)
    given = resample(spoil(given, name, level, rng), fps)
    missing = len(resample(motion, fps)) - len(given)
    if missing <= 0:
        return given
    # A slower rate can end earlier: there the eyes count as shut.
    return given.replace(
        gaze=np.concatenate([given.gaze, np.repeat(given.gaze[-1:], missing, 0)]),
        valid=np.concatenate([given.valid, np.zeros(missing, bool)]),
    )


def spoil(
    motion: Motion, name: str, level: float | int, rng: np.random.Generator
) -> Motion:
    """One degradation of gaze at the rate of `motion`.

    Args:
      motion: gaze.
      name: "noise", "bias", "dropped", "blinks" or "latency"; others change nothing.
      level: in the unit of `LEVELS`.
      rng: of everything random.
    """
    gaze, valid, n = motion.gaze.astype(np.float64), motion.valid.copy(), len(motion)
    if name == "noise":
        gaze = gaze + np.deg2rad(level) * rng.standard_normal(gaze.shape)
    elif name == "bias":
        direction = rng.uniform(0, 2 * np.pi)
        offset = [np.sin(direction), np.cos(direction)]
        gaze = gaze + np.deg2rad(level) * np.array(offset)
    elif name == "dropped":
        valid &= rng.random(n) >= level / 100
    elif name == "blinks":
        time = np.arange(n) / motion.fps
        for begin in rng.uniform(0, n / motion.fps, rng.poisson(level * time[-1] / 60)):
            valid &= (time < begin) | (time >= begin + rng.uniform(*BLINK_S))
    elif name == "latency":
        late = min(round(level / 1000 * motion.fps), n)
        gaze = np.concatenate([np.repeat(gaze[:1], late, 0), gaze[: n - late]])
        valid = np.concatenate([np.zeros(late, bool), valid[: n - late]])
    pitch = np.clip(gaze[:, 0], -np.pi / 2, np.pi / 2)
    return motion.replace(gaze=np.stack([pitch, wrap(gaze[:, 1])], -1), valid=valid)
