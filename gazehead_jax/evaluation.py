"""Judging: a checkpoint beside baselines, ablations and real heads, on one split.

Two protocols, both at the model's frame rate:

  windows   2.4 s (12 frames at 5 fps) after a true context, K samples each: the paper's
            Table 1, and what keeps it honest: centred errors, the shuffled-gaze
            control, jerk and variance against real, energy score, coverage
  whole     each sequence in one rollout from its first frames: lag, head share and main
            sequence, which a window is too short to show

The control of a correlation scores heads made from the same context for *another*
person's gaze. What a correlation says about following the gaze is its distance from that
control.
"""

import dataclasses
import datetime
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from gazehead_jax import averages, coordination, gaze_shifts, metrics
from gazehead_jax.baselines import BASELINES, fit_baseline
from gazehead_jax.build import load_split
from gazehead_jax.checkpoint import Checkpoint
from gazehead_jax.errors import require
from gazehead_jax.files import atomic_path
from gazehead_jax.motion import HEAD_CHANNELS, Motion, resample
from gazehead_jax.predictors import (
    Predictor,
    baseline_predictor,
    model_predictor,
    predict_all,
    real_predictor,
)
from gazehead_jax.sequence_arithmetic import runs

WINDOW_S = 2.4
# Fewer people cannot be resampled into an interval that means anything.
MIN_PEOPLE = 5
# Samples of each whole sequence: lag and head share average over them.
WHOLE_SAMPLES = 4


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """What an evaluation found.

    Attributes:
      about: dataset, split, counts, settings, date, hardware.
      rows: method → metric → value; see `metrics.sequence_metrics` for the names, and
        below for the ones added here.
      intervals: method → metric → (low, high), 95 %, bootstrapped over people.

    Metrics added to those of `metrics.py`:
      `correlation_A_shuffled`, `velocity_correlation_A_shuffled`: the control.
      `whole_lag_A_s`; `share_slope_A`, `share_theta0_A_deg`: the hinge of head share
      over all shifts, settled or not; `main_sequence_A`: 1/s; `num_shifts`. All NaN
      below 20 fps, which is too slow to see them.
    """

    about: Mapping
    rows: Mapping[str, Mapping[str, float]]
    intervals: Mapping[str, Mapping[str, tuple[float, float]]]

    def save(self, path: str | Path) -> Path:
        """Writes it as JSON; undefined numbers become null."""
        return write_json(dataclasses.asdict(self), path)


def write_json(values: Mapping, path: str | Path) -> Path:
    """Writes nested numbers and text as strict JSON; undefined numbers become null."""

    def clean(x):
        if isinstance(x, Mapping):
            return {k: clean(v) for k, v in x.items()}
        if isinstance(x, tuple | list):
            return [clean(v) for v in x]
        return None if isinstance(x, float) and not np.isfinite(x) else x

    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(clean(values), indent=1))
    return Path(path)


def evaluate(
    checkpoints: Checkpoint | Mapping[str, Checkpoint],
    dataset: str | Path,
    split: str = "test",
    *,
    data_dir: str | Path | None = None,
    num_samples: int = 30,
    window_s: float = WINDOW_S,
    seed: int = 0,
    progress: Callable[[str], None] = lambda method: None,
) -> Evaluation:
    """Scores checkpoints, every baseline and the real heads on a split.

    Args:
      checkpoints: the model, or several by name: the first sets the rate and the head
        channels, the others (ablations) must share its rate.
      dataset: name or prepared directory. Baselines are fitted to its train split.
      split: what to score on.
      data_dir: where datasets are prepared.
      num_samples: K.
      window_s: length of a window.
      seed: of samples and shuffling.
      progress: told the method that is about to be scored.

    Raises:
      GazeheadError: models of different rates, too few windows, or unusable data.
    """
    if isinstance(checkpoints, Checkpoint):
        checkpoints = {checkpoints.name: checkpoints}
    require(bool(checkpoints), "evaluate needs at least one checkpoint, got none.")
    require(num_samples >= 1, f"num_samples must be ≥ 1, got {num_samples}.")
    first = next(iter(checkpoints.values()))
    fps, d = first.config.data.fps, first.config.model.head_dim
    for name, other in checkpoints.items():
        require(
            other.config.data.fps == fps,
            f"models scored together must share a frame rate; {name!r} runs at "
            f"{other.config.data.fps:g} fps, the first at {fps:g}.",
        )
        d = min(d, other.config.model.head_dim)
    context = max(1, *(c.config.model.context for c in checkpoints.values()))
    train = [resample(m, fps) for m in load_split(dataset, "train", data_dir)]
    motions = [resample(m, fps) for m in load_split(dataset, split, data_dir)]
    length = max(2, round(window_s * fps))
    windows = list(cut_windows(motions, context, length))
    require(
        len(windows) >= 2,
        f"{dataset} {split}: evaluation needs at least two valid windows of "
        f"{context} + {length} frames at {fps:g} fps, got {len(windows)}.",
    )
    whole = [from_valid_context(m, context) for m in motions]
    whole = [m for m in whole if len(m) > context + length and m.valid[context:].any()]

    predictors: dict[str, Predictor] = {"real": real_predictor(d)}
    single = {"real"}
    for name in BASELINES:
        baseline = fit_baseline(name, train)
        predictors[name] = baseline_predictor(baseline, d)
        single |= {name} if baseline.deterministic else set()
    predictors |= {name: model_predictor(c) for name, c in checkpoints.items()}

    others = other_windows(windows, seed)
    rows, intervals = {}, {}
    for name, predictor in predictors.items():
        progress(name)
        k = 1 if name in single else num_samples
        scores = score_windows(
            predictor,
            windows,
            others,
            context,
            k,
            seed,
            d,
            equal=name in single - {"real"},
        )
        rows[name] = averages.aggregate(scores)
        people = [w.subject for w in windows]
        if len(set(people)) >= MIN_PEOPLE:
            intervals[name] = averages.bootstrap(scores, people)
        rows[name] |= _score_whole(
            predictor, whole, context, 1 if name in single else WHOLE_SAMPLES, seed
        )
    about = {
        "dataset": str(dataset),
        "split": split,
        "sequences": len(motions),
        "people": len({m.subject for m in motions}),
        "windows": len(windows),
        "window_s": length / fps,
        "fps": fps,
        "num_samples": num_samples,
        "seed": seed,
        "head_dim": d,
        "trained_on": {n: c.config.data.dataset for n, c in checkpoints.items()},
        "date": datetime.date.today().isoformat(),
        "hardware": f"{jax.device_count()} × {jax.devices()[0].device_kind}",
    }
    return Evaluation(about, rows, intervals)


def cut_windows(
    motions: Sequence[Motion], context: int, length: int
) -> Iterator[Motion]:
    """Windows end to end, with their context, valid there and mostly valid after."""
    for motion in motions:
        start, step = 0, context + length
        while start + step <= len(motion):
            window = motion[start : start + step]
            if window.valid[:context].all() and window.valid[context:].mean() >= 0.8:
                yield window
                start += length
            else:
                start += 1


def from_valid_context(motion: Motion, context: int) -> Motion:
    """The motion from where its first `context` frames are all valid."""
    starts = np.flatnonzero(runs(motion.valid, context))
    return motion[int(starts[0]) :] if len(starts) else motion[:1]


def other_windows(windows: Sequence[Motion], seed: int) -> np.ndarray:
    """For each window another one, of another person if there is one."""
    rng = np.random.default_rng(seed)
    people = np.array([w.subject for w in windows])
    if len(set(people.tolist())) == 1:
        return metrics.shuffle_pairs(len(windows), seed)
    return np.array([rng.choice(np.flatnonzero(people != p)) for p in people])


def score_windows(
    predictor: Predictor,
    windows: Sequence[Motion],
    others: np.ndarray,
    context: int,
    num_samples: int,
    seed: int,
    d: int,
    *,
    equal: bool = False,
) -> list[dict[str, float]]:
    """`metrics.sequence_metrics` of each window, and its shuffled-gaze control.

    Args:
      predictor: makes the heads.
      windows: with their `context` frames; see `cut_windows`.
      others: see `other_windows`.
      context: frames before a window's target.
      num_samples: K.
      seed: window i has seed + i.
      d: head channels to score.
      equal: all samples would be the same, so that one (`num_samples` 1) tells all.
    """
    pasts = [w[:context] for w in windows]
    targets = [w[context:] for w in windows]
    # The control: the same past, someone else's gaze. What is left of the
    # correlation owes nothing to following this gaze.
    foreign = [targets[i] for i in others]
    made = predict_all(predictor, pasts, targets, num_samples, seed)
    controls = predict_all(predictor, pasts, foreign, num_samples, seed)
    scores = []
    for target, stranger, heads, control_heads in zip(
        targets, foreign, made, controls, strict=True
    ):
        heads, real = heads[..., :d], target.require_head()[:, :d]
        score = metrics.sequence_metrics(
            heads, real, target.gaze, target.valid, target.fps
        )
        if equal:
            covered = metrics.coverage(np.repeat(heads, 19, 0), real, target.valid)
            names = [f"coverage90_{axis}" for axis in HEAD_CHANNELS[:d]]
            score |= {"apd_deg": 0.0, "apd_deg2": 0.0}
            score |= dict(zip(names, covered.tolist(), strict=True))
        both = target.valid & stranger.valid
        control = metrics.correlations(control_heads[..., :d], real, both)
        axes = HEAD_CHANNELS[:d]
        scores.append(score | metrics.mean_correlations(control, axes, "_shuffled"))
    return scores


def _score_whole(predictor, motions, context, num_samples, seed) -> dict[str, float]:
    shifts, lags = [], [np.full((1, 2), np.nan)]
    fine = all(m.fps >= coordination.COARSE_BELOW_FPS for m in motions)
    ahead_of = [m[context:] for m in motions] if fine else []
    pasts = [m[:context] for m in motions] if fine else []
    made = predict_all(predictor, pasts, ahead_of, num_samples, seed)
    for ahead, heads in zip(ahead_of, made, strict=True):
        found = coordination.lag(ahead.gaze, heads, ahead.valid, ahead.fps)
        lags.append(found.seconds.reshape(-1, 2))
        shifts += [
            gaze_shifts.find_shifts(ahead.gaze, head, ahead.valid, ahead.fps)
            for head in heads
        ]
    shifts, lags = gaze_shifts.Shifts.join(shifts), np.concatenate(lags)
    out = {"num_shifts": float(len(shifts))}
    for i, axis in enumerate(("pitch", "yaw")):
        known = lags[np.isfinite(lags[:, i]), i]
        hinge = coordination.head_share(shifts, axis, settled_only=False).hinge
        slope = coordination.main_sequence(shifts, axis, settled_only=False)
        out |= {
            f"whole_lag_{axis}_s": float(np.median(known)) if len(known) else np.nan,
            f"share_slope_{axis}": float(hinge.slope),
            f"share_theta0_{axis}_deg": float(np.rad2deg(hinge.theta0)),
            f"main_sequence_{axis}": float(slope),
        }
    return out
