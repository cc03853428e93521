"""What every measure of a sequence rests on: runs of valid frames, no turns, correlation."""

import numpy as np
from jaxtyping import Bool, Float

from gazehead_jax.motion import Array


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


def without_turns(gaze: Array, head: Array, valid: Array) -> tuple[np.ndarray, ...]:
    """Gaze, head (float64, see `unwrap_turns`) and valid as NumPy arrays."""
    gaze, head = np.asarray(gaze, np.float64), np.asarray(head, np.float64)
    valid = np.asarray(valid, bool)
    return unwrap_turns(gaze, valid), unwrap_turns(head, valid), valid
