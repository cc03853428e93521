"""Landmarks of every face in a frame: MediaPipe's face landmarker.

MediaPipe smooths (and delays) landmarks when it is asked for one face; asked for two it
does not, and it also tells when two are there. So it is never asked for fewer.
"""

import contextlib
import os
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from gazehead_jax.errors import GazeheadError


class LandmarkNet:
    """A face landmarker for the frames of one video, in order.

    It follows faces from frame to frame; a new one for each video keeps every video's
    result its own.

    Args:
      task: the bytes of MediaPipe's `face_landmarker.task`.
      max_faces: how many faces to look for, at least 2.

    Raises:
      GazeheadError: mediapipe is not installed, or the bytes are something else.
    """

    def __init__(self, task: bytes, max_faces: int = 2):
        try:
            import mediapipe as mp
            from mediapipe.tasks import python as tasks
            from mediapipe.tasks.python import vision
        except ImportError as error:
            raise GazeheadError(
                "extraction needs mediapipe, which is not installed; "
                "pip install -e '.[extract]' in the clone."
            ) from error
        options = vision.FaceLandmarkerOptions(
            base_options=tasks.BaseOptions(model_asset_buffer=task),
            running_mode=vision.RunningMode.VIDEO,
            num_faces=max(2, max_faces),
        )
        self._mp = mp
        self._stamp = -1
        with quiet_stderr():
            try:
                self._net = vision.FaceLandmarker.create_from_options(options)
            except (RuntimeError, ValueError, OSError) as error:
                raise GazeheadError(
                    "the landmark weights are not a MediaPipe face_landmarker.task "
                    f"({str(error).splitlines()[0][:120]}); see `gazehead weights`."
                ) from error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with quiet_stderr():
            self._net.close()

    def detect(
        self, image: np.ndarray, time_s: float
    ) -> Float[np.ndarray, "faces 478 3"]:
        """Landmarks in pixels (x right, y down, z away, in the scale of x).

        Args:
          image: RGB uint8 `[height, width, 3]`, C-contiguous.
          time_s: since the video's start; later than that of the call before.
        """
        # In milliseconds, and they must grow, which those of 2,000 fps would not.
        self._stamp = max(self._stamp + 1, round(1000 * time_s))
        picture = self._mp.Image(image_format=self._mp.ImageFormat.SRGB, data=image)
        found = self._net.detect_for_video(picture, self._stamp).face_landmarks
        height, width = image.shape[:2]
        points = np.array([[(p.x, p.y, p.z) for p in face] for face in found])
        # z comes in the scale of x.
        return points.reshape(-1, 478, 3) * np.array([width, height, width], float)


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hides what C++ writes to stderr: MediaPipe has no switch for its log."""
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
