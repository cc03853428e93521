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

from gazehead_jax import coordination, metrics
from gazehead_jax.baselines import BASELINES, fit_baseline
from gazehead_jax.build import load_split
from gazehead_jax.checkpoint import Checkpoint
from gazehead_jax.errors import require
from gazehead_jax.files import atomic_path
from gazehead_jax.motion import HEAD_CHANNELS, Motion, resample
from gazehead_jax.sampling import initial_state, rollout, sample_keys

# (context motion, motion to follow, samples, seed) -> heads [s, t, d]
Predictor = Callable[[Motion, Motion, int, int], np.ndarray]

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

        def clean(x):
            if isinstance(x, Mapping):
                return {k: clean(v) for k, v in x.items()}
            if isinstance(x, tuple | list):
                return [clean(v) for v in x]
            return None if isinstance(x, float) and not np.isfinite(x) else x

        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(clean(dataclasses.asdict(self)), indent=1))
        return Path(path)


def model_predictor(checkpoint: Checkpoint) -> Predictor:
    """The checkpoint as a predictor; windows of one length compile once."""

    def predict(context: Motion, motion: Motion, num_samples: int, seed: int):
        c = checkpoint.config.model
        state = initial_state(checkpoint, sample_keys(seed, num_samples), context)
        rows = (num_samples, len(motion))
        gaze = np.broadcast_to(motion.gaze, (*rows, 2))
        valid = np.broadcast_to(motion.valid, rows)
        chunk = min(len(motion), 64)
        heads = list(rollout(checkpoint, state, gaze, valid, chunk))
        return np.concatenate(heads, 1)[..., : c.head_dim]

    return predict


def _baseline_predictor(baseline, d: int) -> Predictor:
    def predict(context: Motion, motion: Motion, num_samples: int, seed: int):
        return baseline.sample(
            motion.gaze,
            motion.valid,
            motion.fps,
            context.require_head()[:, :d],
            num_samples,
            seed,
        )

    return predict


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
    windows = list(_windows(motions, context, length))
    require(
        len(windows) >= 2,
        f"{dataset} {split}: evaluation needs at least two valid windows of "
        f"{context} + {length} frames at {fps:g} fps, got {len(windows)}.",
    )
    whole = [_from_valid_context(m, context) for m in motions]
    whole = [m for m in whole if len(m) > context + length and m.valid[context:].any()]

    predictors: dict[str, Predictor] = {"real": _real(d)}
    for name in BASELINES:
        predictors[name] = _baseline_predictor(fit_baseline(name, train), d)
    predictors |= {name: model_predictor(c) for name, c in checkpoints.items()}

    others = _others(windows, seed)
    rows, intervals = {}, {}
    for name, predictor in predictors.items():
        progress(name)
        k = 1 if name == "real" else num_samples
        scores = _score_windows(predictor, windows, others, context, k, seed, d)
        rows[name] = metrics.aggregate(scores)
        people = [w.subject for w in windows]
        if len(set(people)) >= MIN_PEOPLE:
            intervals[name] = metrics.bootstrap(scores, people)
        rows[name] |= _score_whole(predictor, whole, context, seed)
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


def _real(d: int) -> Predictor:
    return lambda context, motion, num_samples, seed: motion.require_head()[None, :, :d]


def _windows(motions: Sequence[Motion], context: int, length: int) -> Iterator[Motion]:
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


def _from_valid_context(motion: Motion, context: int) -> Motion:
    """The motion from where its first `context` frames are all valid."""
    starts = np.flatnonzero(coordination.runs(motion.valid, context))
    return motion[int(starts[0]) :] if len(starts) else motion[:1]


def _others(windows: Sequence[Motion], seed: int) -> np.ndarray:
    """For each window another one, of another person if there is one."""
    rng = np.random.default_rng(seed)
    people = np.array([w.subject for w in windows])
    if len(set(people.tolist())) == 1:
        return metrics.shuffle_pairs(len(windows), seed)
    return np.array([rng.choice(np.flatnonzero(people != p)) for p in people])


def _score_windows(predictor, windows, others, context, num_samples, seed, d):
    scores = []
    for i, window in enumerate(windows):
        past, target = window[:context], window[context:]
        real = target.require_head()[:, :d]
        heads = predictor(past, target, num_samples, seed + i)
        score = metrics.sequence_metrics(
            heads, real, target.gaze, target.valid, target.fps
        )
        # The control: the same past, someone else's gaze. What is left of the
        # correlation owes nothing to following this gaze.
        foreign = windows[others[i]][context:]
        control_heads = predictor(past, foreign, num_samples, seed + i)
        both = target.valid & foreign.valid
        control = metrics.correlations(control_heads, real, both)
        axes = HEAD_CHANNELS[:d]
        scores.append(score | metrics.mean_correlations(control, axes, "_shuffled"))
    return scores


def _score_whole(predictor, motions, context, seed) -> dict[str, float]:
    shifts, lags = [], [np.full((1, 2), np.nan)]
    fine = all(m.fps >= coordination.COARSE_BELOW_FPS for m in motions)
    for i, motion in enumerate(motions if fine else []):
        past, ahead = motion[:context], motion[context:]
        heads = predictor(past, ahead, WHOLE_SAMPLES, seed + i)
        found = coordination.lag(ahead.gaze, heads, ahead.valid, ahead.fps)
        lags.append(found.seconds.reshape(-1, 2))
        shifts += [
            coordination.find_shifts(ahead.gaze, head, ahead.valid, ahead.fps)
            for head in heads
        ]
    shifts, lags = coordination.Shifts.join(shifts), np.concatenate(lags)
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
