"""Radians to the units of a network and back."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.motion import Array


@dataclasses.dataclass(frozen=True, eq=False)
class Normaliser:
    """Means and standard deviations that map radians to the model's units and back.

    They travel with the checkpoint: a model without them gives violent heads.

    Attributes:
      gaze_mean, gaze_std: `[2]`, radians.
      head_mean, head_std: `[3]`, radians; a model of 2-d heads uses the first two.
    """

    gaze_mean: np.ndarray
    gaze_std: np.ndarray
    head_mean: np.ndarray
    head_std: np.ndarray

    def __post_init__(self):
        for field, size in zip(dataclasses.fields(self), (2, 2, 3, 3), strict=True):
            value = np.asarray(getattr(self, field.name), np.float32)
            require(
                value.shape == (size,) and bool(np.isfinite(value).all()),
                f"normaliser: {field.name} must be {size} finite numbers, got {value}.",
            )
            object.__setattr__(self, field.name, value)

    @classmethod
    def fit(cls, motions) -> "Normaliser":
        """Statistics of the valid frames of motions (an iterable, read once).

        Raises:
          GazeheadError: there is no valid frame at all.
        """
        count, total, square = 0, np.zeros(5), np.zeros(5)
        for motion in motions:
            x = np.concatenate([motion.gaze, motion.require_head()], 1)[motion.valid]
            x = x.astype(np.float64)
            count, total, square = (
                count + len(x),
                total + x.sum(0),
                square + (x**2).sum(0),
            )
        require(
            count > 0,
            "a normaliser needs at least one valid frame, got zero valid frames.",
        )
        mean = total / count
        # Half a degree at least: a head that never rolled must not blow up noise.
        std = np.maximum(np.sqrt(np.maximum(square / count - mean**2, 0)), 0.0087)
        return cls(mean[:2], std[:2], mean[2:], std[2:])

    def gaze(self, gaze: Float[Array, "*b 2"]) -> Float[Array, "*b 2"]:
        """Radians → model units."""
        return (gaze - self.gaze_mean) / self.gaze_std

    def head(self, head: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
        """Radians → model units, for the first d of (pitch, yaw, roll)."""
        d = head.shape[-1]
        return (head - self.head_mean[:d]) / self.head_std[:d]

    def head_inverse(self, head: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
        """Model units → radians."""
        d = head.shape[-1]
        return head * self.head_std[:d] + self.head_mean[:d]

    def to_dict(self) -> dict:
        return {
            field.name: [float(x) for x in getattr(self, field.name)]
            for field in dataclasses.fields(self)
        }

    @classmethod
    def from_dict(cls, values: Mapping) -> "Normaliser":
        try:
            return cls(**{k: np.asarray(v, np.float32) for k, v in values.items()})
        except TypeError as error:
            raise GazeheadError(
                f"a normaliser needs gaze_mean, gaze_std, head_mean and head_std, got "
                f"{sorted(values)}."
            ) from error
