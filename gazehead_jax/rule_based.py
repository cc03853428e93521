"""A hand-written eye-head controller, as animators use: gaze shifts move the head.

After Peters & Qureshi (2010), Pejsa et al. (2015) and Andrist et al. (2012):

  shift      gaze leaves its last goal by more than a threshold
  amplitude  A_min + (A_full - A_min) · align, along each axis; A_full points the head at
             the gaze, A_min is the least turn that keeps the eye in its natural range
  latency    the head sets out this long after the shift
  speed      peak of (4/3)(v/50) A + v/2.5 (degrees), on a minimum-jerk profile

Gaze is given, so while the head still moves after gaze has landed, the eye turns back in
its socket: the vestibulo-ocular reflex needs no rule. A shift that comes before the head
has set out changes the plan; a later one adds a movement to those under way, so that
speed never jumps. Everything is relative to the present head, which may turn full circles.

Plans are made in angles of the camera frame; the eye's angle counts as gaze minus head.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from gazehead_jax.motion import wrap

# The controllers' nominal speed parameter, degrees per second.
SPEED_DEG = 50.0
# Natural range of the eye (LaValle): yaw, up, down.
EYE_YAW = np.deg2rad(35.0)
EYE_UP = np.deg2rad(20.0)
EYE_DOWN = np.deg2rad(25.0)
# A minimum-jerk movement's peak speed, in units of amplitude over duration.
PEAK = 1.875

ALIGN_GRID = np.array([0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.0])
LATENCY_GRID_S = (0.0, 0.05, 0.1, 0.15, 0.2)
THRESHOLD_GRID_DEG = (2.0, 5.0, 10.0)
_PIECE_S = 5.0
_PIECES_OF_EACH = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Settings:
    """What is fitted.

    Attributes:
      latency_s: from the gaze's shift to the head's start.
      threshold: how far gaze leaves its goal before it counts as a shift, radians.
      align: (pitch, yaw) of each training person, 0 (eye-mover) to 1 (head-mover).
    """

    latency_s: float
    threshold: float
    align: Float[np.ndarray, "n 2"]


def follow(
    gaze: Float[np.ndarray, "t 2"],
    fps: float,
    head: Float[np.ndarray, "3"],
    align: Float[np.ndarray, "s 2"],
    latency_s: float,
    threshold: float,
) -> Float[np.ndarray, "s t 3"]:
    """Heads for gaze without gaps, causally; roll is kept.

    Args:
      gaze: radians, camera frame.
      fps: frames per second.
      head: the head just before the first frame.
      align: one row for each head to make.
      latency_s, threshold: see `Settings`.
    """
    s, t = len(align), len(gaze)
    # What is over by a frame goes into `steps`, what is under way into `moving`.
    steps, moving = np.zeros((s, t + 1, 2)), np.zeros((s, t, 2))
    goal = np.tile(head[:2], (s, 1))

    def add(onset, delta):
        amplitude = np.hypot(delta[:, 0], delta[:, 1])
        peak = np.deg2rad(SPEED_DEG / 2.5) + 4 / 3 * SPEED_DEG / 50 * amplitude
        duration = np.maximum(PEAK * amplitude / peak, 1e-6)
        first = int(np.ceil(onset * fps - 1e-9))
        last = min(int(np.ceil((onset + duration.max()) * fps)) + 1, t)
        if first >= t:
            return
        time = np.arange(first, last) / fps - onset
        x = np.clip(time / duration[:, None], 0, 1)
        moving[:, first:last] += delta[:, None] * _min_jerk(x)[..., None]
        steps[:, last] += delta

    planned = None  # (onset, delta) of a movement that has not begun
    for frame, target in zip(*_shifts(gaze, head, threshold), strict=True):
        now = frame / fps
        onset = now + latency_s
        if planned and planned[0] <= now:
            add(*planned)
            goal, planned = goal + planned[1], None
        if planned:
            onset = planned[0]
        away = target - goal
        away[:, 1] = wrap(away[:, 1])
        planned = (onset, _turn(away, align))
    if planned:
        add(*planned)
    out = np.empty((s, t, 3))
    out[..., :2] = head[:2] + np.cumsum(steps[:, :t], axis=1) + moving
    out[..., 0] = np.clip(out[..., 0], -np.pi / 2, np.pi / 2)
    out[..., 1] = wrap(out[..., 1])
    out[..., 2] = head[2]
    return out


def fit(
    pieces: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray, float]],
) -> Settings:
    """The settings of least error, over a grid, with an alignment for each person.

    Every piece of up to 5 s begins at its true head. Latency and threshold are common to
    all; at them each person has the alignment that suits him best.

    Args:
      pieces: (person, gaze `[t, 2]`, head `[t, 3]`, valid `[t]`, fps) of sequences.
    """
    pieces = _chosen(pieces)
    people = {name: i for i, name in enumerate(dict.fromkeys(p[0] for p in pieces))}
    both = np.repeat(ALIGN_GRID[:, None], 2, axis=1)
    best = None
    for threshold in np.deg2rad(THRESHOLD_GRID_DEG):
        for latency in LATENCY_GRID_S:
            error = np.zeros((len(people), len(ALIGN_GRID), 2))
            for name, gaze, head, valid, fps in pieces:
                made = follow(gaze[1:], fps, head[0], both, latency, threshold)
                apart = made[:, valid[1:], :2] - head[1:][valid[1:], :2]
                apart[..., 1] = wrap(apart[..., 1])
                # The root, as in the energy score: a mean of squares would be ruled by
                # the few pieces in which a person turned round.
                error[people[name]] += np.sqrt((apart**2).mean(1))
            chosen = error.argmin(1)
            total = np.take_along_axis(error, chosen[:, None], 1).sum()
            if best is None or total < best[0]:
                best = total, latency, threshold, ALIGN_GRID[chosen]
    return Settings(float(best[1]), float(best[2]), best[3])


def _turn(away: np.ndarray, align: np.ndarray) -> np.ndarray:
    """How far the head goes (`[s, 2]`) towards a gaze that is `away` from it."""
    pitch = np.where(away[:, 0] > 0, EYE_UP, EYE_DOWN)
    limit = np.stack([pitch, np.full(len(away), EYE_YAW)], axis=-1)
    full = np.abs(away)
    least = np.maximum(full - limit, 0)
    return np.sign(away) * (least + (full - least) * align)


def _shifts(gaze, head, threshold) -> tuple[list[int], list[np.ndarray]]:
    """Frames at which gaze has left its goal, and the new goal at each.

    The first goal is that of the first frame itself: whatever the eye looked at before,
    head and eye go for it only once gaze moves, unless the eye could not reach it.
    """
    rows = gaze.tolist()
    pitch, yaw = rows[0]
    frames, targets = [], []
    away = gaze[:1] - head[:2]
    away[:, 1] = wrap(away[:, 1])
    if np.abs(_turn(away, np.zeros((1, 2)))).max() > 0:
        frames.append(0)
        targets.append(gaze[0])
    squared, turn, scale = threshold**2, 2 * np.pi, np.cos(pitch)
    for i, (p, y) in enumerate(rows):
        d = (y - yaw + np.pi) % turn - np.pi
        if (p - pitch) ** 2 + (d * scale) ** 2 > squared:
            pitch, yaw, scale = p, y, np.cos(p)
            frames.append(i)
            targets.append(gaze[i])
    return frames, targets


def _chosen(pieces):
    """Up to a few pieces of each person, spread over what there is."""
    cut: dict[str, list] = {}
    for name, gaze, head, valid, fps in pieces:
        length = max(2, round(_PIECE_S * fps))
        for start in range(0, max(1, len(gaze) - length // 2), length):
            part = slice(start, start + length)
            if valid[start] and valid[part][1:].any():
                cut.setdefault(name, []).append(
                    (name, gaze[part], head[part], valid[part], fps)
                )
    out = []
    for parts in cut.values():
        index = np.linspace(0, len(parts) - 1, min(len(parts), _PIECES_OF_EACH))
        out += [parts[i] for i in index.astype(int)]
    return out


def _min_jerk(x: np.ndarray) -> np.ndarray:
    return x**3 * (10 - 15 * x + 6 * x**2)
