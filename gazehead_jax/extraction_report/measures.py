"""Numbers that say how well one signal follows another."""

import numpy as np
from jaxtyping import Bool, Float

# Fewer frames, or less movement than this, say nothing.
LEAST_FRAMES = 20
LEAST_MOVEMENT = np.deg2rad(0.2)
# What is slower than this is posture, and drifts of an estimator.
SLOW_S = 4.0
VELOCITY_S = 0.2


def against_truth(
    estimated: Float[np.ndarray, " t"], true: Float[np.ndarray, " t"]
) -> dict[str, float | int]:
    """How an estimate in radians follows the truth.

    Returns:
      `frames`, `correlation`, `gain` (slope), `offset_deg` (mean error) and `mae_deg`;
      without the first where there are none of the others to be had.
    """
    known = np.isfinite(estimated)
    estimated, true = estimated[known], true[known]
    found = {"frames": len(true)}
    if len(true) < 3:
        return found
    error = np.rad2deg(estimated - true)
    found |= {"offset_deg": float(error.mean()), "mae_deg": float(np.abs(error).mean())}
    if true.std() > LEAST_MOVEMENT:
        found["gain"] = slope(estimated, true)
        found["correlation"] = correlation(estimated, true, least=3)
    return found


def agreement(
    one: Float[np.ndarray, " t"], other: Float[np.ndarray, " t"]
) -> dict[str, float]:
    """How two estimates in radians of the same thing agree: `correlation`, `bias_deg`
    (median of other - one) and `spread` (standard deviation of other over that of one)."""
    known = np.isfinite(one) & np.isfinite(other)
    one, other = one[known], other[known]
    if len(one) < LEAST_FRAMES:
        return {}
    return {
        "correlation": correlation(one, other),
        "bias_deg": float(np.rad2deg(np.median(other - one))),
        "spread": float(other.std() / max(one.std(), 1e-9)),
    }


def correlation(
    a: Float[np.ndarray, " t"], b: Float[np.ndarray, " t"], least: int = LEAST_FRAMES
) -> float:
    """Pearson's, of the frames where both are finite; NaN if either hardly moves."""
    known = np.isfinite(a) & np.isfinite(b)
    a, b = a[known], b[known]
    if len(a) < least or min(a.std(), b.std()) < LEAST_MOVEMENT:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def slope(of: Float[np.ndarray, " t"], on: Float[np.ndarray, " t"]) -> float:
    """Least squares; both finite."""
    on = on - on.mean()
    return float((of - of.mean()) @ on / (on @ on))


def slope_through(
    of: Float[np.ndarray, " t"],
    on: Float[np.ndarray, " t"],
    instrument: Float[np.ndarray, " t"],
) -> float:
    """The slope of `of` on `on` that only what `instrument` also sees can make.

    An instrumental variable: errors that `of` and `on` share, and noise of `on`, drop
    out as long as the instrument does not share them. NaN if it hardly sees `on` move.
    """
    known = np.isfinite(of) & np.isfinite(on) & np.isfinite(instrument)
    of, on, instrument = of[known], on[known], instrument[known]
    r = correlation(on, instrument)
    if not r > 0.5:
        return float("nan")
    instrument = instrument - instrument.mean()
    return float((of @ instrument) / (on @ instrument))


def without_slow(
    values: Float[np.ndarray, "t d"], valid: Bool[np.ndarray, " t"], fps: float
) -> Float[np.ndarray, "t d"]:
    """Less the mean of the valid frames within `SLOW_S` about each; NaN if not valid."""
    half = max(1, round(SLOW_S * fps / 2))
    window = np.ones(2 * half + 1)
    near = lambda x: np.convolve(np.pad(x, half), window, "valid")
    count = np.maximum(near(valid.astype(float)), 1)
    whole = np.where(valid[:, None], np.nan_to_num(values), 0)
    slow = np.stack([near(column) / count for column in whole.T], axis=1)
    return np.where(valid[:, None], values - slow, np.nan)


def velocity(
    values: Float[np.ndarray, "t d"], valid: Bool[np.ndarray, " t"], fps: float
) -> Float[np.ndarray, "t d"]:
    """Change over `VELOCITY_S`, radians; NaN where it meets a frame that is not valid."""
    step = max(1, round(VELOCITY_S * fps))
    out = np.full(values.shape, np.nan)
    whole = np.where(valid[:, None], values, np.nan)
    out[step:] = whole[step:] - whole[:-step]
    return out


def quartiles(values) -> dict[str, float | int]:
    """`median`, `low` and `high` quartile, and `count` of what is finite."""
    values = np.array([v for v in values if v is not None], float)
    values = values[np.isfinite(values)]
    if not len(values):
        return {"count": 0}
    low, median, high = np.percentile(values, [25, 50, 75])
    return {
        "median": float(median),
        "low": float(low),
        "high": float(high),
        "count": len(values),
    }
