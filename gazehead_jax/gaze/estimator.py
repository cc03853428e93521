"""What a gaze estimator gets and gives: one protocol for geometry and networks.

An estimator works in two steps, so that a long video takes constant memory: `measure`
sees a few frames with their pictures and keeps a few numbers of each; `resolve` sees the
numbers of the whole track, when it has ended, and may calibrate itself to the person.
"""

import dataclasses
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from gazehead_jax.face_geometry import Camera, HeadFit


@dataclasses.dataclass(frozen=True, eq=False)
class FaceFrames:
    """A few frames of one face.

    Attributes:
      images: n pictures, RGB uint8 `[height, width, 3]`, C-contiguous, upright, with
        square pixels.
      landmarks: `[n, 478, 3]` in pixels of these pictures, see `face_geometry`; finite.
      fit: the mean face laid onto them.
      head: `[n, 3]` head in the camera frame, radians.
      camera: the full frame's.
    """

    images: Sequence[np.ndarray]
    landmarks: np.ndarray
    fit: HeadFit
    head: np.ndarray
    camera: Camera

    def __len__(self) -> int:
        return len(self.landmarks)


@runtime_checkable
class FaceMeter(Protocol):
    """Numbers from the frames of one face.

    Attributes:
      name: as on the command line.
      licence: of its weights or constants, one line.
      width: how many numbers it keeps of a frame.
    """

    name: str
    licence: str
    width: int

    def measure(self, frames: FaceFrames) -> Float[np.ndarray, "n width"]:
        """The numbers to keep of up to `CHUNK` frames; NaN where there are none."""
        ...


@runtime_checkable
class GazeEstimator(FaceMeter, Protocol):
    """A meter whose numbers, of a whole track, tell the gaze."""

    def resolve(
        self,
        measured: Float[np.ndarray, "t width"],
        head: Float[np.ndarray, "t 3"],
        open_eyes: Bool[np.ndarray, " t"],
    ) -> Float[np.ndarray, "t 2"]:
        """Gaze (pitch, yaw) in the camera frame, radians; NaN where unknown.

        Args:
          measured: what `measure` kept of one person's track.
          head: in the camera frame, radians.
          open_eyes: False in blinks; only the others may calibrate.
        """
        ...


# Frames are measured this many at a time; networks pad to it, so that they compile once.
CHUNK = 32
