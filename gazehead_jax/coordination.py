"""How gaze and head move together: lag, head share of gaze shifts, main sequence.

All angles are radians in the camera frame, so `gaze` is eye and head together. The
measures describe one sequence, real or generated; compare their distributions.

- Lag: the delay τ at which head velocity (t + τ) best correlates with gaze velocity
  (t); positive when the head follows.
- Head share: Δhead / Δgaze of each gaze shift (see `gaze_shifts`), and the hinge
  Δhead = slope · max(0, |Δgaze| - θ0) · sign(Δgaze): below θ0 the eye goes alone
  (Stahl 1999; Freedman 2008).
- Main sequence: how peak head speed grows with head amplitude.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from gazehead_jax.errors import require
from gazehead_jax.gaze_shifts import MIN_AMPLITUDE, Shifts
from gazehead_jax.motion import GAZE_CHANNELS, Array
from gazehead_jax.sequence_arithmetic import pearson, runs, without_turns

# Below this rate a frame is longer than the lag of a head (50 to 140 ms).
COARSE_BELOW_FPS = 20.0
# Fewer pairs than this make a correlation of ±1 by chance.
_MIN_PAIRS = 5

# Velocity is taken over a fixed time, not a frame: differences of single frames at
# 120 fps are all noise. Both sides of a lag are smoothed alike, which moves no peak.
_LAG_BASE_S = 0.1
SHARE_EDGES_DEG = (0.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 60.0, 90.0)


# --- lag ---------------------------------------------------------------------------


class Lag(NamedTuple):
    """Head behind gaze, per sample and axis (pitch, yaw).

    Attributes:
      seconds: positive when the head follows; NaN where there is no peak inside the
        range (or a side never moves).
      correlation: of the velocities at the best frame.
      coarse: the frame rate is too low to see a natural lag; read `seconds` as such.
    """

    seconds: Float[np.ndarray, "*b 2"]
    correlation: Float[np.ndarray, "*b 2"]
    coarse: bool


def lag(
    gaze: Float[Array, "t 2"],
    head: Float[Array, "*b t d"],
    valid: Bool[Array, " t"],
    fps: float,
    max_lag_s: float = 0.6,
) -> Lag:
    """The delay of head velocity behind gaze velocity, to a fraction of a frame.

    Args:
      gaze: radians, camera frame.
      head: radians; leading axes (samples) are measured one by one.
      valid: frames that count; velocities across an invalid frame are not used.
      fps: frames per second.
      max_lag_s: delays from minus to plus this are tried.
    """
    gaze, head, valid = without_turns(gaze, head, valid)
    base = max(1, round(_LAG_BASE_S * fps))
    moves = runs(valid, base + 1)
    gaze = gaze[base:] - gaze[:-base]
    head = head[..., base:, :2] - head[..., :-base, :2]
    reach = max(1, round(max_lag_s * fps))
    delays = np.arange(-reach, reach + 1)
    found = np.full((len(delays), *head.shape[:-2], 2), np.nan)
    for i, delay in enumerate(delays):
        first = np.arange(max(0, -delay), len(moves) - max(0, delay))
        first = first[moves[first] & moves[first + delay]] if len(first) else first
        if len(first) >= _MIN_PAIRS:
            found[i] = pearson(head[..., first + delay, :], gaze[first])
    best = np.argmax(np.where(np.isnan(found), -np.inf, found), axis=0)[None]
    inside = np.clip(best, 1, len(delays) - 2)
    before, peak, after = (np.take_along_axis(found, inside + j, 0) for j in (-1, 0, 1))
    bend = before - 2 * peak + after
    is_peak = (inside == best) & (bend < 0)
    shift = np.where(is_peak, (before - after) / np.where(is_peak, 2 * bend, 1), np.nan)
    return Lag(
        ((delays[inside] + shift) / fps)[0],
        np.where(is_peak, peak, np.nan)[0],
        bool(fps < COARSE_BELOW_FPS),
    )


# --- laws --------------------------------------------------------------------------


class Hinge(NamedTuple):
    """y = slope · max(0, |x| - theta0) · sign(x) + offset; NaN when not determined."""

    slope: float
    theta0: float
    offset: float

    def __call__(self, x: Float[np.ndarray, "*b"]) -> Float[np.ndarray, "*b"]:
        beyond = np.maximum(0, np.abs(x) - self.theta0)
        return self.slope * beyond * np.sign(x) + self.offset


def fit_hinge(
    x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], *, offset: bool = False
) -> Hinge:
    """The hinge of least squares, exactly.

    Between two neighbouring |x| the squared error is a ratio of quadratics in θ0 whose
    best point has a closed form, so every θ0 is tried, at the cost of a sort, as long
    as it leaves a tenth of the points, and three, beyond it.

    Args:
      x: Δgaze, or gaze from its middle; radians.
      y: Δhead or head.
      offset: fit a constant as well; otherwise it is 0.
    """
    reach = np.abs(x)
    if len(x) < 3 or reach.max() == 0:
        return Hinge(np.nan, np.nan, np.nan)
    order = np.argsort(reach)
    u, sign = reach[order], np.sign(x)[order]
    centre = y.mean() if offset else 0.0
    w = sign * (y[order] - centre)
    # Sums over the points beyond each θ0: suffixes of the sorted points.
    suffix = lambda v: np.cumsum(v[::-1])[::-1]
    a, b = suffix(u * w), suffix(w)
    c, d, n = suffix(u * u), suffix(u), suffix(np.ones_like(u))
    p, q = (suffix(u * sign), suffix(sign)) if offset else (0 * u, 0 * u)
    # With a constant beside it, only the hinge's deviation from its mean explains y.
    c, d, n = c - p * p / len(u), d - p * q / len(u), n - q * q / len(u)
    low = np.concatenate([[0.0], u[:-1]])
    with np.errstate(divide="ignore", invalid="ignore"):
        stationary = (b * c - a * d) / (b * d - a * n)
    inner = np.clip(np.nan_to_num(stationary, posinf=0, neginf=0), low, u)
    theta = np.stack([low, inner])
    above = a - theta * b
    below = c - 2 * theta * d + theta**2 * n
    # A few far points alone would be fitted by any slope.
    enough = np.arange(len(u), 0, -1) >= max(3, 0.1 * len(u))
    usable = enough & (below > 1e-12 * c[0])
    gain = np.where(usable, above**2 / np.where(usable, below, 1), -1)
    best = np.unravel_index(np.argmax(gain), gain.shape)
    if gain[best] < 0:
        return Hinge(np.nan, np.nan, np.nan)
    slope, theta0 = above[best] / below[best], theta[best]
    rest = 0.0
    if offset:
        rest = centre - slope * (p[best[1]] - theta0 * q[best[1]]) / len(u)
    return Hinge(float(slope), float(theta0), float(rest))


class HeadShare(NamedTuple):
    """Head share of gaze shifts along one axis.

    Attributes:
      hinge: Δhead against Δgaze, radians.
      edges: `[m + 1]` bounds of |Δgaze|, radians.
      share: `[m]` median Δhead / Δgaze in each bin; NaN in an empty one.
      count: `[m]` shifts in each bin.
    """

    hinge: Hinge
    edges: Float[np.ndarray, " m1"]
    share: Float[np.ndarray, " m"]
    count: Int[np.ndarray, " m"]


def head_share(
    shifts: Shifts,
    axis: str,
    edges_deg: Sequence[float] = SHARE_EDGES_DEG,
    *,
    settled_only: bool = True,
) -> HeadShare:
    """Head share along "pitch" or "yaw" of the settled shifts of at least 2° there.

    In free behaviour the head rarely comes to rest between two shifts. Over all shifts
    (`settled_only=False`) the share is lower than what the head meant to do, but it
    rests on many, and is lower alike for real and for generated heads.
    """
    gaze, head, _ = _along(shifts, axis, settled_only)
    keep = np.abs(gaze) >= MIN_AMPLITUDE
    gaze, head = gaze[keep], head[keep]
    edges = np.deg2rad(np.asarray(edges_deg, np.float64))
    index = np.digitize(np.abs(gaze), edges) - 1
    ratio = [head[index == k] / gaze[index == k] for k in range(len(edges) - 1)]
    return HeadShare(
        fit_hinge(gaze, head),
        edges,
        np.array([np.median(r) if len(r) else np.nan for r in ratio]),
        np.array([len(r) for r in ratio]),
    )


def main_sequence(shifts: Shifts, axis: str, *, settled_only: bool = True) -> float:
    """Slope of peak head speed against head amplitude along an axis, 1/s.

    Least squares with a constant over settled head movements of 1° and more; NaN for
    fewer than three.
    """
    _, head, speed = _along(shifts, axis, settled_only)
    amplitude = np.abs(head)
    keep = amplitude >= np.deg2rad(1.0)
    if keep.sum() < 3 or np.ptp(amplitude[keep]) == 0:
        return np.nan
    return float(np.polyfit(amplitude[keep], speed[keep], 1)[0])


def _along(shifts: Shifts, axis: str, settled_only: bool):
    require(
        axis in GAZE_CHANNELS,
        f"coordination: axis must be one of {GAZE_CHANNELS}, got {axis!r}.",
    )
    i = GAZE_CHANNELS.index(axis)
    keep = shifts.settled if settled_only else slice(None)
    return tuple(x[keep, i] for x in (shifts.gaze, shifts.head, shifts.peak_speed))
