"""The One-Euro filter of Casiez, Roussel and Vogel (CHI 2012): causal smoothing whose
cutoff rises with speed, so that slow movement loses its jitter and fast its lag least."""

import numpy as np
from jaxtyping import Bool, Float

from gazehead_jax.motion import wrap

# Of the speed that sets the cutoff; the authors' value.
SPEED_CUTOFF_HZ = 1.0


def one_euro(
    angles: Float[np.ndarray, "t d"],
    valid: Bool[np.ndarray, " t"],
    fps: float,
    cutoff_hz: float,
    beta: float,
) -> Float[np.ndarray, "t d"]:
    """Smoothed angles in radians; each frame depends on those before it alone.

    Invalid frames are passed over, and the filter starts anew behind them.

    Args:
      cutoff_hz: of movement that is nearly still.
      beta: how much the cutoff rises, Hz for each rad/s.
    """
    out = np.array(angles, float)
    before = speed = None
    for now in range(len(out)):
        if not valid[now]:
            before = None
            continue
        if before is None:
            before, speed = out[now], np.zeros(out.shape[1])
            continue
        change = wrap(out[now] - before)
        speed = speed + _share(SPEED_CUTOFF_HZ, fps) * (change * fps - speed)
        share = _share(cutoff_hz + beta * np.abs(speed), fps)
        before = out[now] = wrap(before + share * change)
    return out


def _share(cutoff_hz, fps: float):
    """How much of a change a first-order filter lets through at once."""
    return 1 / (1 + fps / (2 * np.pi * cutoff_hz))
