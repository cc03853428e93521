"""One video → motions, with a reason for everything that was left out."""

import dataclasses
import functools
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gazehead_jax import weights
from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.extraction import checks
from gazehead_jax.extraction.landmarks import LandmarkNet
from gazehead_jax.extraction.one_euro import one_euro
from gazehead_jax.extraction.settings import VERSION, ExtractSettings
from gazehead_jax.extraction.shots import ShotDetector
from gazehead_jax.extraction.track import Track, join, observe
from gazehead_jax.extraction.tracks import Tracker
from gazehead_jax.face_geometry import Camera, likely_camera
from gazehead_jax.gaze import make_estimator
from gazehead_jax.gaze.estimator import CHUNK, FaceMeter
from gazehead_jax.motion import Motion, resample
from gazehead_jax.timing import frame_rate, uniform
from gazehead_jax.video import read_video

# Larger frames are shrunk to this; the landmark net sees 256 pixels of a face.
LONGEST = 1280
# Slower video shows where people look, but not how they get there.
SLOWEST_FPS = 5.0
# Two people, and not a flicker of the detector.
TOGETHER_S = 0.5
MAX_FACES = {"reject": 2, "split": 6}


@dataclasses.dataclass(frozen=True, eq=False)
class ClipResult:
    """What became of one video.

    Attributes:
      motions: one of each person and shot that passed the checks.
      tracks: theirs, in the same order: for comparisons and drawing.
      reasons: theirs; `[t]` index into `checks.FRAME_REASONS`, or `checks.OK`.
      report: JSON-able: `frames`, `seconds`, `fps`, `size`, `kept` (frames in motions),
        `valid` (of those), `rejected` (reason → how many tracks, or 1 for the clip),
        `frame_reasons` (reason → frames in motions), `message` (a sentence, or "").
    """

    motions: list[Motion]
    tracks: list[Track]
    reasons: list[np.ndarray]
    report: dict


class ClipExtractor:
    """Turns videos into motions, one after the other, with the nets held between.

    Args:
      settings: what is wanted.
      outline: landmarks to keep for drawing.
      also: what else to measure of every face, for comparisons; it goes into
        `Track.measured`, and `gaze_of` knows those that are gaze estimators.

    Raises:
      GazeheadError: weights or packages are missing. What is wrong with a *video* is
        told in its result instead.
    """

    def __init__(
        self,
        settings: ExtractSettings | None = None,
        *,
        outline: tuple[int, ...] = (),
        also: Sequence[FaceMeter] = (),
    ):
        self.settings = settings or ExtractSettings()
        self._outline = np.array(outline, int)
        self._task = weights.locate(
            "face_landmarker", self.settings.weights, fetch=True
        ).read_bytes()
        names = dict.fromkeys((self.settings.gaze, *self.settings.compare))
        self._meters = [make_estimator(n, self.settings.weights) for n in names]
        self._meters += also
        # A missing package is told now, not in the middle of the first video.
        LandmarkNet(self._task).__exit__()
        ShotDetector()

    def __call__(
        self, path: str | os.PathLike, *, subject: str = "", source: str = ""
    ) -> ClipResult:
        """The motions of one video; never raises for what is wrong with it.

        Args:
          path: any file that FFmpeg reads.
          subject: who is seen; the file's name without suffix when left out.
          source: where it comes from; likewise.
        """
        path = Path(path)
        seen = _Seen()
        message = ""
        try:
            tracks = self._observe(path, seen)
        except GazeheadError as error:
            # What came before the place where a file breaks off is as good as any.
            message, tracks = str(error), seen.finish()
        report = {
            "frames": len(seen.times),
            "seconds": round(seen.times[-1], 3) if seen.times else 0.0,
            "fps": 0.0,
            "size": list(seen.size),
            "kept": 0,
            "valid": 0,
            "rejected": {},
            "frame_reasons": {},
            "message": message,
        }
        rejected = self._clip_reason(seen, tracks, report)
        if rejected:
            return ClipResult([], [], [], report | {"rejected": {rejected: 1}})
        fps, _ = seen.rate
        kept = ClipResult([], [], [], report)
        for number, track in tracks.items():
            gaze = self.gaze_of(track, self.settings.gaze)
            reasons = checks.frame_reasons(track, gaze, self.settings)
            missing = checks.FRAME_REASONS.index("no face")
            whole = np.full(track.frame[-1] - track.frame[0] + 1, missing)
            whole[track.frame - track.frame[0]] = reasons
            reason = checks.track_reason(whole, fps, self.settings)
            if reason:
                rejections = report["rejected"]
                rejections[reason] = rejections.get(reason, 0) + 1
                continue
            motion = self._motion(track, gaze, whole, seen)
            meta = self._meta(track, seen, number)
            kept.motions.append(
                motion.replace(
                    subject=subject or path.stem, source=source or path.stem, meta=meta
                )
            )
            kept.tracks.append(track)
            kept.reasons.append(reasons)
            report["kept"] += len(motion)
            report["valid"] += int(motion.valid.sum())
            for name, n in checks.count(whole).items():
                total = report["frame_reasons"]
                total[name] = total.get(name, 0) + n
        return kept

    def gaze_of(self, track: Track, name: str) -> np.ndarray:
        """`[t, 2]` gaze of a track by one of the estimators, camera frame, radians."""
        (estimator,) = [e for e in self._meters if e.name == name]
        open_eyes = ~checks.closed_eyes(track.openness)
        return estimator.resolve(track.measured[name], track.head, open_eyes)

    def _observe(self, path: Path, seen: "_Seen") -> dict[int, Track]:
        """Reads the video a few frames at a time; memory does not grow with pictures."""
        shots = ShotDetector()
        tracker = Tracker()
        chunk: list[_Frame] = []
        faces = MAX_FACES[self.settings.faces]
        with LandmarkNet(self._task, faces) as net:
            try:
                for time, image in read_video(path, longest=LONGEST):
                    cut, still = shots.see(image)
                    if cut:
                        self._measure(chunk, seen)
                        chunk, seen.camera = [], None
                        seen.shot += 1
                        tracker.reset()
                    landmarks = net.detect(image, time)
                    people = tracker.assign(landmarks, time)
                    number = len(seen.times)
                    seen.times.append(time)
                    seen.size = image.shape[1], image.shape[0]
                    chunk.append(_Frame(number, time, still, image, landmarks, people))
                    if len(chunk) == CHUNK:
                        self._measure(chunk, seen)
                        chunk = []
            finally:
                self._measure(chunk, seen)
        return seen.finish()

    def _measure(self, chunk: list["_Frame"], seen: "_Seen") -> None:
        """Adds a few frames of one shot to the tracks of the people in them."""
        found = [f for f in chunk if len(f.people)]
        if not found:
            return
        seen.camera = seen.camera or self._camera(found, seen.size)
        for person in sorted({int(p) for f in found for p in f.people}):
            with_them = [f for f in found if person in f.people]
            part = observe(
                seen.shot,
                seen.camera,
                np.array([f.number for f in with_them]),
                np.array([f.time_s for f in with_them]),
                np.array([f.still for f in with_them]),
                [f.image for f in with_them],
                np.array([f.landmarks[f.people == person][0] for f in with_them]),
                self._meters,
                self._outline,
            )
            seen.parts.setdefault(person, []).append(part)

    def _camera(self, frames: list["_Frame"], size: tuple[int, int]) -> Camera:
        """Of a shot, from the first few frames that show somebody."""
        if self.settings.fov_deg:
            half = np.deg2rad(self.settings.fov_deg) / 2
            return Camera(*size, float(max(size) / 2 / np.tan(half)))
        landmarks = np.concatenate([f.landmarks for f in frames])
        return likely_camera(landmarks, size)

    def _clip_reason(self, seen: "_Seen", tracks, report: dict) -> str | None:
        if not seen.times:
            return "unreadable"
        if len(seen.times) < 2:
            return "too short"
        fps, _ = seen.rate
        report["fps"] = round(fps, 3)
        report["seconds"] = round(len(seen.times) / fps, 3)
        if fps < SLOWEST_FPS:
            return "slow frame rate"
        if self.settings.shots == "reject" and seen.shot:
            return "cut"
        if not tracks:
            return "no face"
        if self.settings.faces == "reject":
            if checks.several_at_once(tracks, TOGETHER_S):
                return "several faces"
        return None

    def _motion(self, track: Track, gaze, reasons, seen: "_Seen") -> Motion:
        """On a uniform grid, and smoothed if that was asked for."""
        first, last = int(track.frame[0]), int(track.frame[-1])
        values = np.full((last - first + 1, 5), np.nan)
        values[track.frame - first] = np.concatenate([gaze, track.head], axis=1)
        valid = reasons == checks.OK
        fps, even = seen.rate
        if not even:
            times = np.array(seen.times[first : last + 1])
            values, valid = uniform(times, values, valid, fps)
        if self.settings.one_euro:
            values = one_euro(values, valid, fps, *self.settings.one_euro)
        motion = Motion(gaze=values[:, :2], head=values[:, 2:], fps=fps, valid=valid)
        return resample(motion, self.settings.fps) if self.settings.fps else motion

    def _meta(self, track: Track, seen: "_Seen", number: int) -> dict:
        meta = {
            "width": seen.size[0],
            "height": seen.size[1],
            "focal_px": round(track.camera.focal_px, 1),
            "gaze": self.settings.gaze,
            "extraction": VERSION,
            "start_s": round(float(track.time_s[0]), 3),
            "shot": track.shot,
            "person": number,
        }
        if self.settings.one_euro:
            meta["one_euro"] = list(self.settings.one_euro)
        return meta


def extract_clip(
    path: str | os.PathLike,
    settings: ExtractSettings | None = None,
    *,
    subject: str = "",
    source: str = "",
) -> ClipResult:
    """The motions of one video.

    Raises:
      GazeheadError: there is no such file; or as `ClipExtractor`.
    """
    require(Path(path).is_file(), f"{path}: there is no such file.")
    return ClipExtractor(settings)(path, subject=subject, source=source)


@dataclasses.dataclass(frozen=True, eq=False)
class _Frame:
    number: int
    time_s: float
    still: bool
    image: np.ndarray
    landmarks: np.ndarray
    people: np.ndarray


@dataclasses.dataclass(eq=False)
class _Seen:
    """What is known of a video so far."""

    times: list[float] = dataclasses.field(default_factory=list)
    size: tuple[int, int] = (0, 0)
    shot: int = 0
    camera: Camera | None = None
    parts: dict[int, list[Track]] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def rate(self) -> tuple[float, bool]:
        """See `timing.frame_rate`; of a video that has been read."""
        return frame_rate(np.array(self.times))

    def finish(self) -> dict[int, Track]:
        return {person: join(parts) for person, parts in self.parts.items()}
