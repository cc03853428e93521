"""The stages of extraction, each alone, on the clip in a folder."""

from pathlib import Path

import numpy as np


def _frames(folder: str) -> list[tuple[float, np.ndarray]]:
    from gazehead_jax.extraction.clip import LONGEST
    from gazehead_jax.video import read_video

    return list(read_video(Path(folder) / "clip.mp4", longest=LONGEST))


class Decoding:
    """`video.read_video`, as extraction reads."""

    def __init__(self, folder: str):
        self._folder = folder

    def run(self) -> list[tuple[float, np.ndarray]]:
        return _frames(self._folder)

    def shown(self, frames) -> np.ndarray:
        return np.stack([image for _, image in frames])

    def settle(self) -> None:
        """There is nothing to choose."""


class Stage:
    """What comes after decoding, on frames in memory; or all.

    Args:
      folder: with `clip.mp4`.
      name: one of `extract.STAGES` after the first.
    """

    def __init__(self, folder: str, name: str):
        from gazehead_jax import weights

        self._clip = Path(folder) / "clip.mp4"
        if name == "all together":
            from gazehead_jax.extraction.clip import ClipExtractor

            self._extract = ClipExtractor()
            self.run = self._all
            return
        self._images = [image for _, image in _frames(folder)]
        if name == "cuts":
            self.run = self._cuts
            return
        self._task = weights.locate("face_landmarker", fetch=True).read_bytes()
        self.run = self._landmarks
        if name == "head and gaze":
            self._points = self._landmarks()
            self.run = self._gaze

    def _cuts(self) -> np.ndarray:
        from gazehead_jax.extraction.shots import ShotDetector

        shots = ShotDetector()
        return np.array([shots.see(image) for image in self._images])

    def _landmarks(self) -> np.ndarray:
        """With a net of its own for each run, as extraction has it for each video."""
        from gazehead_jax.extraction.landmarks import LandmarkNet

        with LandmarkNet(self._task) as net:
            found = [net.detect(image, i / 30) for i, image in enumerate(self._images)]
        return np.concatenate(found)

    def _gaze(self) -> np.ndarray:
        from gazehead_jax.extraction import track
        from gazehead_jax.face_geometry import likely_camera
        from gazehead_jax.gaze import make_estimator
        from gazehead_jax.gaze.estimator import CHUNK

        points, n = self._points, len(self._points)
        size = self._images[0].shape[1::-1]
        camera = likely_camera(points[:CHUNK], size)
        (iris,) = estimators = [make_estimator("iris")]
        parts = []
        for start in range(0, n, CHUNK):
            frames = np.arange(start, min(start + CHUNK, n))
            parts.append(
                track.observe(
                    0,
                    camera,
                    frames,
                    frames / 30,
                    np.zeros(len(frames), bool),
                    [self._images[i] for i in frames],
                    points[frames],
                    estimators,
                    np.zeros(0, int),
                )
            )
        seen = track.join(parts)
        opened = np.ones(n, bool)
        return iris.resolve(seen.measured["iris"], seen.head, opened)

    def _all(self) -> np.ndarray:
        motions = self._extract(self._clip).motions
        return np.concatenate([m.gaze[m.valid] for m in motions] or [np.zeros((0, 2))])

    def settle(self) -> None:
        """There is nothing to choose."""
