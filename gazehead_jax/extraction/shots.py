"""Where a video cuts, and where its picture stands still, frame by frame."""

import numpy as np

from gazehead_jax.errors import GazeheadError

# Frames are looked at this many pixels wide; PySceneDetect's own default is about as
# much, and its thresholds are meant for it.
WIDTH = 256
# Frames that differ by no more than this many grey levels anywhere are the same frame:
# encoders refine a still picture by less.
STILL = 2


class ShotDetector:
    """PySceneDetect's content detector, fed while the video is read.

    Raises:
      GazeheadError: PySceneDetect is not installed.
    """

    def __init__(self):
        try:
            import cv2
            from scenedetect import ContentDetector, FrameTimecode
        except ImportError as error:
            raise GazeheadError(
                "extraction needs scenedetect, which is not installed; "
                "pip install -e '.[extract]' in the clone."
            ) from error
        self._cv2, self._timecode = cv2, FrameTimecode
        # A clip of two faces that alternate quickly is two shots each time.
        self._detector = ContentDetector(min_scene_len=1)
        self._frame = -1
        self._before = None

    def see(self, image: np.ndarray) -> tuple[bool, bool]:
        """(whether a new shot starts here, whether this is the last frame again)."""
        self._frame += 1
        height, width = image.shape[:2]
        size = (WIDTH, max(1, round(height * WIDTH / width)))
        small = self._cv2.resize(image, size, interpolation=self._cv2.INTER_AREA)
        before, self._before = self._before, small
        still = before is not None and int(self._cv2.absdiff(small, before).max())
        # It takes no times but frame numbers; any rate will do.
        cuts = self._detector.process_frame(
            self._timecode(self._frame, 25.0),
            self._cv2.cvtColor(small, self._cv2.COLOR_RGB2BGR),
        )
        return bool(cuts) and self._frame > 0, still is not False and still <= STILL
