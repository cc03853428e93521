"""What an animator sets on top of a model: how far a head moves, about which pose, and
within which limits. Applied to heads that are done, so that it means the same for every
model and every frame."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from gazehead_jax.errors import require
from gazehead_jax.motion import PITCH_LIMIT, TURN_LIMIT, wrap

# Up to this share of a limit heads are as they are; beyond it they bend towards it.
FREE = 0.7


@dataclasses.dataclass(frozen=True)
class Controls:
    """How heads are changed after sampling.

    Attributes:
      amplitude: 1 leaves movement as it is, 0 holds the head still, 2 doubles it.
      rest_pose: (pitch, yaw, roll) in radians that 0 becomes: a bowed or tilted head.
      limits: largest |pitch|, |yaw|, |roll| in radians, approached softly; None for none.

    Raises:
      GazeheadError: a value that cannot be.
    """

    amplitude: float = 1.0
    rest_pose: tuple[float, float, float] = (0.0, 0.0, 0.0)
    limits: tuple[float, float, float] | None = None

    def __post_init__(self):
        require(
            bool(np.isfinite(self.amplitude)) and self.amplitude >= 0,
            f"amplitude must be 0 (still) or more, got {self.amplitude}.",
        )
        for name in ("rest_pose", "limits"):
            values = getattr(self, name)
            require(
                values is None
                or (len(values) == 3 and bool(np.isfinite(values).all())),
                f"{name} must be (pitch, yaw, roll) in radians, got {values}.",
            )
        require(
            self.limits is None or min(self.limits) > 0,
            f"limits must be above 0, got {self.limits}; to hold a head still, set "
            "amplitude to 0.",
        )
        bounds = (PITCH_LIMIT, TURN_LIMIT, TURN_LIMIT)
        for name in ("rest_pose", "limits"):
            values = getattr(self, name) or (0.0, 0.0, 0.0)
            require(
                all(abs(a) <= b for a, b in zip(values, bounds, strict=True)),
                f"{name} must be in radians, at most a quarter turn of pitch and half a "
                f"turn of yaw and roll, got {tuple(values)}.",
            )

    def apply(self, head: Float[np.ndarray, "*b 3"]) -> Float[np.ndarray, "*b 3"]:
        """Heads in radians under these controls.

        Whoever hands in a movement unwraps it first (`np.unwrap`), or a head that turns
        past ±180° would jump wherever amplitude or limits apply. Yaw and roll come back
        wrapped.
        """
        if self == AS_SAMPLED:
            return head
        out = np.asarray(self.rest_pose) + self.amplitude * head
        if self.limits is not None:
            out = soft_limit(out, self.limits)
        out[..., 0] = np.clip(out[..., 0], -np.pi / 2, np.pi / 2)
        out[..., 1:] = wrap(out[..., 1:])
        return out.astype(head.dtype)


# Nothing is changed.
AS_SAMPLED = Controls()


def soft_limit(
    angles: Float[np.ndarray, "*b d"], limits: Sequence[float]
) -> Float[np.ndarray, "*b d"]:
    """Angles that never pass their limits and meet them without a corner."""
    limits = np.asarray(limits)
    size, room = np.abs(angles), (1 - FREE) * limits
    over = np.maximum(size - FREE * limits, 0)
    bent = FREE * limits + room * np.tanh(over / room)
    return np.where(over > 0, np.sign(angles) * bent, angles)
