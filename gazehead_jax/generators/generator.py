"""What a face generator gets and gives: one protocol for drawings and networks."""

import dataclasses
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8


@dataclasses.dataclass(frozen=True)
class Reach:
    """How far a generator turns head and eyes: largest |angle| in radians; 0 where it
    does not honour the angle at all.

    The eyes' are relative to the head.
    """

    eye_pitch: float
    eye_yaw: float
    head_pitch: float
    head_yaw: float
    head_roll: float


@runtime_checkable
class Generator(Protocol):
    """A face that can be drawn in many poses.

    Attributes:
      name: as on the command line.
      licence: of code, weights and picture, one line; printed when used.
      photo_real: whether its pictures could be taken for a recording of a person.
      size: (height, width) of its pictures, both even.
      reach: motion beyond it is bent towards it before `draw` sees it.
      batch: how many frames `draw` wants at once; always as many.
    """

    name: str
    licence: str
    photo_real: bool
    size: tuple[int, int]
    reach: Reach
    batch: int

    def draw(
        self,
        gaze: Float[np.ndarray, "n 2"],
        head: Float[np.ndarray, "n 3"],
        shut: Float[np.ndarray, " n"],
    ) -> UInt8[np.ndarray, "n height width 3"]:
        """RGB pictures.

        Args:
          gaze, head: in the camera frame, radians, finite.
          shut: how far the lids are shut, 0 to 1.
        """
        ...
