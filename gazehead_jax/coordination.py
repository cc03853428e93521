"""How gaze and head move together: lag, head share of gaze shifts, main sequence.

All angles are radians in the camera frame, so `gaze` is eye and head together. The
measures describe one sequence, real or generated; compare their distributions.

- Lag: the delay τ at which head velocity (t + τ) best correlates with gaze velocity
  (t); positive when the head follows.
- Head share: Δhead / Δgaze of each gaze shift (saccade with the head turn that goes
  with it), and the hinge Δhead = slope · max(0, |Δgaze| - θ0) · sign(Δgaze): below θ0
  the eye goes alone (Stahl 1999; Freedman 2008).
- Main sequence: how peak head speed grows with head amplitude.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from gazehead_jax.errors import require
from gazehead_jax.motion import GAZE_CHANNELS, Array, Motion, angles_to_vector

# Below this rate a frame is longer than the lag of a head (50 to 140 ms).
COARSE_BELOW_FPS = 20.0
# Fewer pairs than this make a correlation of ±1 by chance.
_MIN_PAIRS = 5

# Velocity is taken over a fixed time, not a frame: differences of single frames at
# 120 fps are all noise. Both sides of a lag are smoothed alike, which moves no peak.
_LAG_BASE_S = 0.1
_BASE_S = 0.04
_MIN_SPEED = np.deg2rad(30.0)
_NOISE_FACTOR = 6.0  # Engbert & Kliegl 2003
_MERGE_S = 0.05
_MIN_AMPLITUDE = np.deg2rad(2.0)
# In natural tasks the head often starts before the eye (Vision Res 41:3307).
_HEAD_LEAD_S = 0.1
_HEAD_WINDOW_S = 1.0
_HEAD_MIN_WINDOW_S = 0.3
_HEAD_STILL = np.deg2rad(3.0)
_POSE_S = 0.1
SHARE_EDGES_DEG = (0.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 60.0, 90.0)


# --- shared arithmetic -------------------------------------------------------------


def runs(valid: Bool[np.ndarray, " t"], length: int) -> Bool[np.ndarray, " n"]:
    """`[t - length + 1]` (or empty): frame i starts `length` valid frames in a row."""
    if len(valid) < length:
        return np.zeros(0, bool)
    return np.lib.stride_tricks.sliding_window_view(valid, length).all(-1)


def unwrap_turns(
    angles: Float[np.ndarray, "*b t d"], valid: Bool[np.ndarray, " t"]
) -> Float[np.ndarray, "*b t d"]:
    """Angles whose yaw and roll do not jump by a turn; zeros at invalid frames."""
    known = angles[..., valid, :]
    out = np.zeros(angles.shape)
    out[..., valid, :] = np.concatenate(
        [known[..., :1], np.unwrap(known[..., 1:], axis=-2)], axis=-1
    )
    return out


def pearson(
    a: Float[np.ndarray, "... n d"], b: Float[np.ndarray, "... n d"]
) -> Float[np.ndarray, "... d"]:
    """Correlation along n; NaN where a side is constant or n < 3."""
    shape = np.broadcast_shapes(a.shape, b.shape)
    if shape[-2] < 3:
        return np.full(shape[:-2] + shape[-1:], np.nan)
    # The mean of a constant is off by its rounding; that is not variation.
    least = [1e-12 * (1 + np.abs(x).max(-2)) for x in (a, b)]
    a, b = (x - x.mean(-2, keepdims=True) for x in (a, b))
    size = [np.sqrt((x**2).mean(-2)) for x in (a, b)]
    defined = (size[0] > least[0]) & (size[1] > least[1])
    scale = np.where(defined, size[0] * size[1], 1)
    return np.where(defined, np.clip((a * b).mean(-2) / scale, -1, 1), np.nan)


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
    gaze, head, valid = _floats(gaze, head, valid)
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


# --- gaze shifts -------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Shifts:
    """Gaze shifts and the head movement of each; n shifts, axes (pitch, yaw).

    Attributes:
      onset, offset: first and last frame of the gaze's movement.
      gaze: Δgaze, radians.
      head: Δhead from shortly before onset until the next shift or 1 s, radians.
      peak_speed: greatest head speed meanwhile, radians per second.
      settled: the head came to rest before the next shift; only such shifts show how
        far the head meant to go.
    """

    onset: Int[np.ndarray, " n"]
    offset: Int[np.ndarray, " n"]
    gaze: Float[np.ndarray, "n 2"]
    head: Float[np.ndarray, "n 2"]
    peak_speed: Float[np.ndarray, "n 2"]
    settled: Bool[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.onset)

    @classmethod
    def join(cls, parts: Iterable["Shifts"]) -> "Shifts":
        """The shifts of several sequences together."""
        parts = [*parts, cls.none()]
        return cls(
            *(
                np.concatenate([getattr(part, field.name) for part in parts])
                for field in dataclasses.fields(cls)
            )
        )

    @classmethod
    def none(cls) -> "Shifts":
        """No shift at all."""
        index, angle = np.zeros(0, int), np.zeros((0, 2))
        return cls(index, index, angle, angle, angle, np.zeros(0, bool))


def find_shifts(
    gaze: Float[Array, "t 2"],
    head: Float[Array, "t d"],
    valid: Bool[Array, " t"],
    fps: float,
) -> Shifts:
    """The gaze shifts of a sequence, found in the gaze alone, and their head movements.

    A shift is a stretch in which gaze is faster than 30°/s and than six times the
    noise of its speed (read off the median), from and to where it is a third of that,
    with gaps up to 50 ms closed; shifts under 2° are dropped. Good from 25 to 120 fps;
    slower gaze blurs neighbouring shifts.
    """
    gaze, head, valid = _floats(gaze, head, valid)
    base = max(1, round(_BASE_S * fps))
    whole = runs(valid, base + 1)
    if not whole.any():
        return Shifts.none()
    speed = _speed(gaze, base, fps)
    # The median of a Rayleigh distribution is 1.18 standard deviations.
    noise = np.median(speed[whole]) / 1.1774
    peak_speed = max(_MIN_SPEED, _NOISE_FACTOR * noise)
    # A shift begins and ends at a lower speed than it takes to be one.
    moving = whole & (speed > peak_speed / 3)
    stretches = [
        (first, last)
        for first, last in _merged(_stretches(moving), round(_MERGE_S * fps), whole)
        if speed[first : last + 1].max() > peak_speed
    ]

    head = head[:, :2]
    head_velocity = (head[base:] - head[:-base]) * fps / base
    lead, window = round(_HEAD_LEAD_S * fps), round(_HEAD_WINDOW_S * fps)
    pose = max(1, round(_POSE_S * fps))
    still = max(_HEAD_STILL, 3 * _noise(head, valid) * np.sqrt(2 / pose) * fps / pose)
    found = []
    previous = 0
    for k, (first, last) in enumerate(stretches):
        onset, offset = first, last + base
        following = stretches[k + 1][0] if k + 1 < len(stretches) else len(valid) - 1
        # Gaze rests before and after: a few frames each, none of another shift.
        before = gaze[_back(valid, onset, max(previous, onset - pose + 1)) : onset + 1]
        end = _forward(valid, offset, max(offset, min(following, offset + pose - 1)))
        after = gaze[offset : end + 1]
        turn = np.median(after, axis=0) - np.median(before, axis=0)
        start = _back(valid, onset, max(previous, onset - lead))
        stop = _forward(valid, offset, max(offset, min(following, onset + window)))
        previous = offset
        if np.linalg.norm(turn) < _MIN_AMPLITUDE:
            continue
        # Velocity i is that of frames i to i + base.
        velocity = head_velocity[start : stop - base + 1]
        # The head's pose at the end is the mean of a few frames, and it rests if the
        # pose just before is the same.
        enough = stop - offset >= max(_HEAD_MIN_WINDOW_S * fps, 2 * pose - 1)
        middle = stop + 1 - pose if enough else stop
        end_pose = head[middle : stop + 1].mean(0)
        drift = np.linalg.norm(end_pose - head[max(0, middle - pose) : middle].mean(0))
        peak = np.linalg.norm(velocity, axis=-1).max()
        found.append(
            (
                onset,
                offset,
                turn,
                end_pose - head[start],
                np.abs(velocity).max(0),
                enough and drift * fps / pose <= max(0.1 * peak, still),
            )
        )
    if not found:
        return Shifts.none()
    return Shifts(*(np.array(column) for column in zip(*found, strict=True)))


def shifts_of(motions: Iterable[Motion]) -> Shifts:
    """The shifts of several motions together, see `find_shifts`."""
    return Shifts.join(
        find_shifts(m.gaze, m.require_head(), m.valid, m.fps) for m in motions
    )


def _noise(angles: np.ndarray, valid: np.ndarray) -> float:
    """Standard deviation of frame noise, from the median second difference."""
    second = np.diff(angles, n=2, axis=0)[runs(valid, 3)]
    if not len(second):
        return 0.0
    return float(1.4826 * np.median(np.abs(second)) / np.sqrt(6))


def _speed(angles: np.ndarray, base: int, fps: float) -> np.ndarray:
    """`[t - base]` angular speed of a direction between frames i and i + base."""
    a, b = angles_to_vector(angles[:-base]), angles_to_vector(angles[base:])
    angle = np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(-1))
    return angle * fps / base


def _stretches(flags: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2)]


def _merged(stretches, gap: int, whole: np.ndarray) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for first, last in stretches:
        if out and first - out[-1][1] - 1 <= gap and whole[out[-1][1] : first].all():
            out[-1] = (out[-1][0], last)
        else:
            out.append((first, last))
    return out


def _back(valid: np.ndarray, frame: int, least: int) -> int:
    """The earliest frame ≥ least from which all are valid up to `frame`."""
    bad = np.flatnonzero(~valid[least:frame])
    return least + int(bad[-1]) + 1 if len(bad) else least


def _forward(valid: np.ndarray, frame: int, most: int) -> int:
    bad = np.flatnonzero(~valid[frame : most + 1])
    return frame + int(bad[0]) - 1 if len(bad) else most


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
    keep = np.abs(gaze) >= _MIN_AMPLITUDE
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


def _floats(gaze: Array, head: Array, valid: Array):
    gaze, head = np.asarray(gaze, np.float64), np.asarray(head, np.float64)
    valid = np.asarray(valid, bool)
    return unwrap_turns(gaze, valid), unwrap_turns(head, valid), valid
