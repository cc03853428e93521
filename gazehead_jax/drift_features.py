"""What a drift test measures of one minute of many samples, and how far two minutes lie
apart.

Dims: s samples, t frames of a minute, f features.
"""

import math

import numpy as np
from jaxtyping import Bool, Float

from gazehead_jax import metrics
from gazehead_jax.motion import HEAD_CHANNELS, wrap

QUANTITIES = (
    *(f"mean_{a}" for a in HEAD_CHANNELS),
    *(f"variance_{a}" for a in HEAD_CHANNELS),
    "jerk",
    *(f"correlation_{a}" for a in HEAD_CHANNELS[:2]),
)

_STEP_S = 0.2
_LAGS = (0, 1, 2, 4)

# Mean and covariance of features.
Moments = tuple[np.ndarray, np.ndarray]


def minute_values(
    gaze: Float[np.ndarray, "s t 2"],
    valid: Bool[np.ndarray, "s t"],
    heads: Float[np.ndarray, "s t 3"],
    centre: float,
) -> Float[np.ndarray, "s q"]:
    """`QUANTITIES` of each sample, radians and frames; NaN where undefined.

    Args:
      gaze, valid: what was followed.
      heads: finite.
      centre: yaw from which the mean yaw is counted.
    """
    pose = np.stack([heads[..., 0], wrap(heads[..., 1] - centre), heads[..., 2]], -1)
    always = np.ones(heads.shape[1], bool)
    out = np.empty((len(heads), len(QUANTITIES)))
    out[:, :3] = pose.mean(1)
    out[:, 3:6] = pose.var(1)
    out[:, 6] = metrics.jerk(heads[..., :2], always)
    out[:, 7:] = _correlation(
        _unwrapped(held(gaze, valid)), _unwrapped(heads[..., :2]), valid
    )
    return out


def held(
    gaze: Float[np.ndarray, "s t 2"], valid: Bool[np.ndarray, "s t"]
) -> Float[np.ndarray, "s t 2"]:
    """Gaze in which a lost one stays where it was last."""
    last = np.maximum.accumulate(np.where(valid, np.arange(valid.shape[1]), 0), axis=1)
    return np.take_along_axis(gaze, last[..., None], axis=1).astype(np.float64)


def _unwrapped(angles: np.ndarray) -> np.ndarray:
    """Without jumps by a turn; most minutes have none, and looking is cheap."""
    if np.abs(np.diff(angles, axis=1)).max(initial=0) <= np.pi:
        return angles
    return np.unwrap(angles, axis=1)


def _correlation(a: np.ndarray, b: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """`[s, 2]` Pearson correlation over each sample's valid frames; NaN for a constant
    and for less than half a minute."""
    known = valid[..., None]
    count = np.maximum(known.sum(1), 1)
    centred = lambda x: np.where(
        known, x - (np.where(known, x, 0).sum(1) / count)[:, None], 0
    )
    a, b = centred(a), centred(b)
    size = np.sqrt((a**2).sum(1) * (b**2).sum(1)) / count
    defined = (size > 1e-10) & (2 * count >= valid.shape[1])
    return np.where(
        defined, (a * b).sum(1) / count / np.where(defined, size, 1), np.nan
    )


def minute_features(
    gaze: Float[np.ndarray, "s t 2"],
    valid: Bool[np.ndarray, "s t"],
    heads: Float[np.ndarray, "s t 3"],
    centre: float,
    fps: float,
) -> Float[np.ndarray, "s n f"]:
    """`[s, n, 12]`, five a second: pose, velocity, and where gaze was about the head
    now and up to 0.8 s before."""
    step = max(1, round(_STEP_S * fps))
    first = step * max(_LAGS)
    gaze = held(gaze, valid)
    now = heads[:, first::step, :2]
    n = now.shape[1]
    back = lambda x, lag: x[:, first - lag * step :: step][:, :n]
    pose = np.stack([now[..., 0], wrap(now[..., 1] - centre)], -1)
    parts = [pose, wrap(now - back(heads[..., :2], 1))]
    parts += [wrap(back(gaze, lag) - now) for lag in _LAGS]
    return np.concatenate(parts, -1)


def moments(
    features: Float[np.ndarray, "s n f"], unit: Float[np.ndarray, " f"]
) -> Moments | None:
    """Mean and covariance of features over `unit`; None for fewer than two."""
    flat = features.reshape(-1, features.shape[-1])
    if len(flat) < 2:
        return None
    return (flat / unit).mean(0), np.cov(flat / unit, rowvar=False)


def frechet(a: Moments | None, b: Moments | None) -> float:
    """Squared Fréchet distance of normal distributions (Dowson & Landau 1982)."""
    if a is None or b is None:
        return math.nan
    (centre_a, cov_a), (centre_b, cov_b) = a, b
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cov_b @ root), 0)).sum()
    apart = ((centre_a - centre_b) ** 2).sum()
    distance = apart + np.trace(cov_a) + np.trace(cov_b) - 2 * cross
    # Rounding can leave it below 0. (NaN stays NaN.)
    return float(np.maximum(distance, 0))


def frechet_noise(
    features: Float[np.ndarray, "s n f"], unit: Float[np.ndarray, " f"]
) -> float:
    """What two minutes of as many samples differ by when nothing has changed, a
    feature: half of what two halves of the samples differ by."""
    if len(features) < 4:
        return math.nan
    rng, found = np.random.default_rng(0), []
    for _ in range(8):
        order = rng.permutation(len(features))
        halves = np.array_split(features[order], 2)
        found.append(frechet(*(moments(half, unit) for half in halves)))
    return float(np.mean(found)) / 2 / features.shape[-1]


def mean(values: np.ndarray) -> np.ndarray:
    """Mean over samples of where it is defined; NaN (and no warning) if nowhere."""
    known = np.isfinite(values)
    count = known.sum(0)
    total = np.where(known, values, 0).sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def deviation(values: np.ndarray) -> np.ndarray:
    """Standard deviation over samples of where it is defined."""
    return np.sqrt(np.maximum(mean((values - mean(values)) ** 2), 0))
