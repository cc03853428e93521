"""How near generated heads come to real ones, and whether they move alike.

Samples are `[s, t, d]`: s generated heads for one gaze, d = 2 (pitch, yaw) or 3 (and
roll), radians. The target is the one real head `[t, d]`, `valid` `[t]` says which
frames count. Whatever stands at an invalid frame, NaN too, changes nothing, and
differences (velocity, jerk) are only taken across runs of valid frames.

Functions of arrays return the unit of their input. `sequence_metrics` is the edge
where degrees begin, and its keys name them. Measures that join the axes (angular
error, jerk, APD, energy score) are of the head's direction, pitch and yaw, so that a
model without roll and one with it can be compared; the others are per axis.

What is undefined (the correlation of a constant, the spread of one sample) is NaN
here and a dash in a table.

"Best of s" always means the sample with the least error. Picking the best
*correlation* instead rewards noise: the best of 30 unrelated random walks over 12
frames correlates at .77 on average. `correlation_*_max` shows what it would give.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from gazehead_jax.averages import nanmean, with_ratios
from gazehead_jax.coordination import lag
from gazehead_jax.errors import require
from gazehead_jax.motion import HEAD_CHANNELS, Array, angles_to_vector
from gazehead_jax.sequence_arithmetic import pearson, runs, unwrap_turns

Samples = Float[Array, "s t d"]
Target = Float[Array, "t d"]
Valid = Bool[Array, " t"]


# --- error -------------------------------------------------------------------------


def angular_errors(
    samples: Samples, target: Target, valid: Valid
) -> Float[np.ndarray, " s"]:
    """Mean angle over time between generated and real head directions, per sample."""
    samples, target, valid = _checked(samples, target, valid)
    return _angle(samples[:, valid], target[valid]).mean(-1)


def centred_angular_errors(
    samples: Samples, target: Target, valid: Valid
) -> Float[np.ndarray, " s"]:
    """`angular_errors` after each sequence's mean pose was taken off both sides.

    A static offset of the head's pose dominates the plain error; this is what is left
    of it for the motion.
    """
    samples, target, valid = _checked(samples, target, valid)
    samples, target = samples[:, valid], target[valid]
    return _angle(
        samples - samples.mean(1, keepdims=True), target - target.mean(0)
    ).mean(-1)


def _angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = angles_to_vector(a[..., :2]), angles_to_vector(b[..., :2])
    # Not acos(a·b): it is off by 1e-8 for equal vectors.
    return np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(-1))


# --- likeness ----------------------------------------------------------------------


class Correlations(NamedTuple):
    """Pearson correlation over time per sample and axis; NaN where one is constant."""

    position: Float[np.ndarray, "s d"]
    velocity: Float[np.ndarray, "s d"]


def correlations(samples: Samples, target: Target, valid: Valid) -> Correlations:
    """Correlation of generated and real angles and of their velocities.

    For the shuffled-gaze control, give samples made from *another* sequence's gaze
    (`shuffle_pairs`) and the frames valid in both: what is found then is chance.
    """
    samples, target, valid = _checked(samples, target, valid)
    moves = runs(valid, 2)
    return Correlations(
        pearson(samples[:, valid], target[valid]),
        pearson(np.diff(samples, axis=1)[:, moves], np.diff(target, axis=0)[moves]),
    )


def shuffle_pairs(n: int, seed: int) -> Int[np.ndarray, " n"]:
    """A random order of n sequences in which none keeps its place (one cycle).

    Raises:
      GazeheadError: there are fewer than two sequences.
    """
    require(
        n >= 2,
        f"the shuffled-gaze control needs at least two sequences, got {n}; evaluate "
        "more or leave the control out.",
    )
    order = np.random.default_rng(seed).permutation(n)
    pairs = np.empty(n, int)
    pairs[order] = np.roll(order, 1)
    return pairs


def variances(angles: Float[Array, "*b t d"], valid: Valid) -> Float[np.ndarray, "..."]:
    """`[*b, d]` variance over valid time (divisor t - 1); NaN for a single frame."""
    angles, valid = _angles(angles, valid)
    angles = angles[..., valid, :]
    if angles.shape[-2] < 2:
        return np.full(angles.shape[:-2] + angles.shape[-1:], np.nan)
    return angles.var(axis=-2, ddof=1)


def jerk(angles: Float[Array, "*b t d"], valid: Valid) -> Float[np.ndarray, "..."]:
    """`[*b]` mean ‖Δ³(pitch, yaw)‖ over time, per frame³; times fps³ for per s³.

    NaN if there are nowhere four valid frames in a row.
    """
    angles, valid = _angles(angles, valid)
    third = np.diff(angles[..., :2], n=3, axis=-2)[..., runs(valid, 4), :]
    if third.shape[-2] == 0:
        return np.full(third.shape[:-2], np.nan)
    return np.asarray(np.linalg.norm(third, axis=-1).mean(-1))


# --- distribution ------------------------------------------------------------------


class Diversity(NamedTuple):
    """Average pairwise distance (APD) of samples; NaN for a single sample.

    Both are per frame, so that windows of any length compare: `distance` is
    ‖x_i - x_j‖₂ / √t (DLow's distance of whole trajectories is √t times it), `squared`
    is ‖x_i - x_j‖₂² / t.
    """

    distance: float
    squared: float


def diversity(samples: Samples, valid: Valid) -> Diversity:
    """How far samples for the same gaze lie apart, in pitch and yaw."""
    samples, valid = _angles(samples, valid)
    squared = _pairwise(samples[:, valid, :2])
    if not len(squared):
        return Diversity(np.nan, np.nan)
    return Diversity(float(np.sqrt(squared).mean()), float(squared.mean()))


def _pairwise(x: np.ndarray) -> np.ndarray:
    """Squared distance per frame of every pair i < j of `[s, t, d]`."""
    return np.concatenate(
        [((x[i + 1 :] - x[i]) ** 2).sum(-1).mean(-1) for i in range(len(x))]
    )


def energy_score(samples: Samples, target: Target, valid: Valid) -> float:
    """E‖x - y‖ - ½ E‖x - x'‖ of whole trajectories (pitch, yaw), / √t; less is better.

    A proper score: least when samples are distributed as the real heads are, in value
    and over time. It is the fair estimate (i ≠ j), so the number of samples does not
    shift it; for one sample, or equal ones, it is the distance to the target.
    (Gneiting & Raftery 2007; Ferro 2014.)
    """
    samples, target, valid = _checked(samples, target, valid)
    samples, target = samples[:, valid, :2], target[valid, :2]
    distance = np.sqrt(((samples - target) ** 2).sum(-1).mean(-1)).mean()
    spread = np.sqrt(_pairwise(samples)).mean() if len(samples) > 1 else 0
    return float(distance - spread / 2)


def crps(samples: Samples, target: Target, valid: Valid) -> Float[np.ndarray, " d"]:
    """Continuous ranked probability score per axis, mean over frames; less is better.

    E|x - y| - ½ E|x - x'| at each frame, in its fair form; the absolute error for one
    sample.
    """
    samples, target, valid = _checked(samples, target, valid)
    samples, target = np.sort(samples[:, valid], axis=0), target[valid]
    s = len(samples)
    distance = np.abs(samples - target).mean(0)
    # Σ_{i<j} |x_i - x_j| of sorted x is Σ_i (2i - s + 1) x_i.
    weights = 2 * np.arange(s) - s + 1
    spread = np.einsum("s,std->td", weights, samples) / max(s * (s - 1), 1)
    return (distance - spread).mean(0)


def coverage(
    samples: Samples, target: Target, valid: Valid, level: float = 0.9
) -> Float[np.ndarray, " d"]:
    """Share of frames, per axis, whose real angle lies in the central interval.

    The bounds are the quantiles i / (s + 1) of the samples, which makes the expected
    coverage of a perfect model `level` itself, and not less, at any s. Too few samples
    for them (fewer than 19 for 90 %) give NaN.
    """
    samples, target, valid = _checked(samples, target, valid)
    samples, target = samples[:, valid], target[valid]
    tail = (1 - level) / 2
    if tail * (len(samples) + 1) < 1 - 1e-9:
        return np.full(target.shape[-1], np.nan)
    low, high = np.quantile(samples, [tail, 1 - tail], axis=0, method="weibull")
    # Equal samples give low = high up to rounding.
    slack = 1e-12
    return ((low - slack <= target) & (target <= high + slack)).mean(0)


# --- all of them -------------------------------------------------------------------


# The names of the fields of `Correlations` in a table of metrics.
_CORRELATIONS = ("correlation", "velocity_correlation")


def sequence_metrics(
    samples: Samples,
    target: Target,
    gaze: Float[Array, "t 2"],
    valid: Valid,
    fps: float,
) -> dict[str, float]:
    """Every metric of one sequence, in degrees and seconds as the keys say.

    Returns:
      A flat dict; `A` stands for pitch, yaw and, with d = 3, roll; `real` for the
      target itself; a plain name for the average over samples.

      - `angular_error_deg`, `angular_error_best_deg`, and both as `centred_error_*`,
        without each sequence's mean pose (best: least error of its own kind).
      - `correlation_A`, `velocity_correlation_A`; with `_best` of the sample of least
        angular error; with `_max` the highest one, which flatters.
      - `ave_A_deg2`: |Var(generated) - Var(real)|; `ave_deg2`: mean of pitch and yaw.
      - `variance_A_deg2`, `variance_A_real_deg2`, `variance_ratio_A`.
      - `smoothness_deg`: jerk per frame³, `smoothness_real_deg`; `jerk_deg_s3`,
        `jerk_real_deg_s3`: per s³; `jerk_ratio`: to the real one; 1 is right.
      - `apd_deg`, `apd_deg2`, `energy_score_deg`, `crps_A_deg`, `coverage90_A`.
      - `lag_A_s`, `lag_A_real_s` of pitch and yaw: head behind gaze.
      - `num_frames`: valid frames.

    Raises:
      GazeheadError: shapes differ, a number at a valid frame is not finite, or no frame
        is valid.
    """
    samples, target, valid = _checked(samples, target, valid)
    axes = HEAD_CHANNELS[: target.shape[-1]]
    degrees, degrees2 = np.rad2deg(1.0), np.rad2deg(1.0) ** 2

    error = angular_errors(samples, target, valid)
    centred = centred_angular_errors(samples, target, valid)
    best = int(np.argmin(error))
    out = {
        "num_frames": float(valid.sum()),
        "angular_error_deg": error.mean() * degrees,
        "angular_error_best_deg": error[best] * degrees,
        "centred_error_deg": centred.mean() * degrees,
        "centred_error_best_deg": centred.min() * degrees,
    }
    found = correlations(samples, target, valid)
    out |= mean_correlations(found, axes)
    for name, value in zip(_CORRELATIONS, found, strict=True):
        out |= _per_axis(f"{name}_{{}}_best", axes, value[best])
        out |= _per_axis(
            f"{name}_{{}}_max", axes, np.fmax.reduce(value, axis=0, initial=np.nan)
        )

    generated, real = variances(samples, valid), variances(target, valid)
    ave = np.abs(generated - real).mean(0) * degrees2
    out |= _per_axis("ave_{}_deg2", axes, ave)
    out["ave_deg2"] = ave[:2].mean()
    out |= _per_axis("variance_{}_deg2", axes, generated.mean(0) * degrees2)
    out |= _per_axis("variance_{}_real_deg2", axes, real * degrees2)

    out["smoothness_deg"] = jerk(samples, valid).mean() * degrees
    out["smoothness_real_deg"] = float(jerk(target, valid)) * degrees
    out["jerk_deg_s3"] = out["smoothness_deg"] * fps**3
    out["jerk_real_deg_s3"] = out["smoothness_real_deg"] * fps**3

    apart = diversity(samples, valid)
    out["apd_deg"] = apart.distance * degrees
    out["apd_deg2"] = apart.squared * degrees2
    out["energy_score_deg"] = energy_score(samples, target, valid) * degrees
    out |= _per_axis("crps_{}_deg", axes, crps(samples, target, valid) * degrees)
    out |= _per_axis("coverage90_{}", axes, coverage(samples, target, valid))

    out |= _per_axis(
        "lag_{}_s", axes[:2], nanmean(lag(gaze, samples, valid, fps).seconds)
    )
    out |= _per_axis("lag_{}_real_s", axes[:2], lag(gaze, target, valid, fps).seconds)
    return with_ratios({key: float(value) for key, value in out.items()})


def mean_correlations(
    found: Correlations, axes: Sequence[str], suffix: str = ""
) -> dict[str, float]:
    """`correlation_A` and `velocity_correlation_A` of each axis, plus a suffix: the mean
    over the samples where it is defined."""
    return {
        key: value
        for name, values in zip(_CORRELATIONS, found, strict=True)
        for key, value in _per_axis(
            f"{name}_{{}}{suffix}", axes, nanmean(values)
        ).items()
    }


def _per_axis(key: str, axes: Sequence[str], values) -> dict[str, float]:
    return {key.format(a): float(v) for a, v in zip(axes, values, strict=True)}


# --- input -------------------------------------------------------------------------


def _angles(angles: Array, valid: Array) -> tuple[np.ndarray, np.ndarray]:
    """float64 angles without turns and with zeros at invalid frames, and valid."""
    angles, valid = np.asarray(angles, np.float64), np.asarray(valid, bool)
    require(
        angles.shape[-1] in (2, 3),
        "metrics: heads must have 2 (pitch, yaw) or 3 (pitch, yaw, roll) channels, "
        f"got {angles.shape[-1]}.",
    )
    require(
        len(valid) == angles.shape[-2] and bool(valid.any()),
        f"metrics: valid must mark at least one of {angles.shape[-2]} frames, got "
        f"{valid.sum()} of {len(valid)}.",
    )
    require(
        bool(np.isfinite(angles[..., valid, :]).all()),
        "metrics: heads must be finite at valid frames, got NaN or infinity.",
    )
    return unwrap_turns(angles, valid), valid


def _checked(samples: Array, target: Array, valid: Array):
    require(
        len(samples) > 0 and samples.shape[1:] == target.shape,
        "metrics: samples must be [s, t, d] with s > 0 and the target's t and d, got "
        f"samples {samples.shape} and target {target.shape}.",
    )
    target, valid = _angles(target, valid)
    samples, _ = _angles(samples, valid)
    # A sample a whole turn away is the same pose.
    apart = (samples[:, valid] - target[valid]).mean(1, keepdims=True)
    turns = 2 * np.pi * np.round(apart / (2 * np.pi))
    turns[..., 0] = 0  # pitch does not turn
    return np.where(valid[:, None], samples - turns, 0), target, valid
