"""From the times of frames to a uniform rate."""

import numpy as np
from jaxtyping import Bool, Float

from gazehead_jax.motion import wrap


def frame_rate(time_s: Float[np.ndarray, " t"]) -> tuple[float, bool]:
    """(frames per second, whether all frames keep it) of at least two frame times."""
    step = np.diff(time_s)
    usual = float(np.median(step))
    span = float(time_s[-1] - time_s[0])
    # Containers round times to milliseconds.
    if np.abs(step - usual).max() <= max(2e-3, 0.1 * usual):
        return near_whole((len(time_s) - 1) / span, span), True
    return near_whole(1 / usual, span), False


def uniform(
    time_s: Float[np.ndarray, " t"],
    values: Float[np.ndarray, "t d"],
    valid: Bool[np.ndarray, " t"],
    fps: float,
) -> tuple[Float[np.ndarray, "n d"], Bool[np.ndarray, " n"]]:
    """Angles and their validity at times 1/fps apart, from the first frame on.

    A time between two frames is valid when both are and none is missing between them.
    """
    grid = np.arange(time_s[0], time_s[-1] + 1e-6, 1 / fps)
    right = np.clip(np.searchsorted(time_s, grid - 1e-6), 1, len(time_s) - 1)
    left = right - 1
    part = np.clip((grid - time_s[left]) / (time_s[right] - time_s[left]), 0, 1)
    # The short way round, for heads that roll past 180°.
    turn = wrap(values[right] - values[left])
    between = wrap(values[left] + part[:, None] * turn)
    # A grid time on a frame needs that frame only.
    on_left, on_right = part < 0.01, part > 0.99
    near = time_s[right] - time_s[left] < 2.5 / fps
    usable = (valid[left] | on_right) & (valid[right] | on_left)
    between = np.where(on_left[:, None], values[left], between)
    between = np.where(on_right[:, None], values[right], between)
    return between, usable & (near | on_left | on_right)


def near_whole(fps: float, span_s: float) -> float:
    """The whole number that a rate read off rounded times over `span_s` is meant to be."""
    near = abs(fps - round(fps)) < 5e-4 * fps * max(1.0, 1 / span_s)
    return float(round(fps)) if near else float(fps)
