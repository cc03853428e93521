"""Face video → Motion: MediaPipe landmarks, then the geometry of `face_geometry`.

Nothing is smoothed. MediaPipe itself smooths (and delays) landmarks when it is asked
for one face; asked for two it does not, and it also tells when two are there.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.face_geometry import LANDMARKS, gaze_and_head, likely_focal_px
from gazehead_jax.motion import Motion, wrap

# Mean of both eyes' eyeBlink score; above it the lids hide the iris.
BLINK = 0.5
MODEL_URL = (
    "https://storage.googleapis.com/mediapipe-models/face_landmarker/"
    "face_landmarker/float16/1/face_landmarker.task"
)


@dataclasses.dataclass(frozen=True, eq=False)
class FaceTrack:
    """What the landmark net saw in one video.

    Attributes:
      time_s: `[t]` presentation times of the frames.
      landmarks: `[t, 478, 3]` in pixels (see `face_geometry`); NaN without a face.
      faces: `[t]` number of faces found, 0, 1 or 2 ("several").
      blink: `[t]` eyeBlink score, 0 to 1, mean of both eyes.
      size: (width, height) of the frames in square pixels.
    """

    time_s: np.ndarray
    landmarks: np.ndarray
    faces: np.ndarray
    blink: np.ndarray
    size: tuple[int, int]


def extract_motion(
    video_path: str | os.PathLike,
    task_path: str | os.PathLike,
    *,
    focal_px: float | None = None,
    subject: str = "",
    source: str = "",
) -> Motion:
    """Gaze and head of the one person in a video, at the video's own frame rate.

    Frames are invalid in blinks and one frame around them, without a face, with several
    faces, or with an impossible iris. A variable frame rate is made uniform.

    Args:
      video_path: any video that FFmpeg reads.
      task_path: MediaPipe's `face_landmarker.task`.
      focal_px: focal length of the full frame in pixels; guessed when left out, see
        `face_geometry.likely_focal_px`.
      subject: who is seen; data are split by it.
      source: where it comes from; the file's name without its suffix when left out.

    Raises:
      GazeheadError: a file is missing or unreadable, there is no video stream, no frame
        with exactly one face and open eyes, or mediapipe or av is not installed.
    """
    require(
        focal_px is None or (np.isfinite(focal_px) and focal_px > 0),
        f"focal_px must be a positive number of pixels, got {focal_px}.",
    )
    track = track_face(video_path, task_path)
    name = Path(video_path).name
    require(
        bool((track.faces > 0).any()),
        f"{name}: no face was found in any of {len(track.faces)} frames; the face "
        "must be frontal and at least about a tenth of the frame wide.",
    )
    width, height = track.size
    seen = track.faces == 1
    require(
        bool(seen.any()),
        f"{name}: every frame with a face shows several; crop the video to one person.",
    )
    focal_px = float(focal_px or likely_focal_px(track.landmarks[seen], track.size))
    open_eyes = ~_widened(track.blink > BLINK)
    gaze = np.full((len(seen), 2), np.nan)
    head = np.full((len(seen), 3), np.nan)
    gaze[seen], head[seen] = gaze_and_head(
        track.landmarks[seen], open_eyes[seen], (width / 2, height / 2), focal_px
    )
    valid = seen & open_eyes & np.isfinite(gaze).all(-1)
    fps, values, valid = _uniform(
        track.time_s, np.concatenate([gaze, head], 1), valid, name
    )
    require(
        bool(valid.any()),
        f"{name}: a motion needs frames with one face and open eyes, got none.",
    )
    return Motion(
        gaze=values[:, :2],
        head=values[:, 2:],
        fps=fps,
        valid=valid,
        source=source or Path(video_path).stem,
        subject=subject,
        meta={"width": width, "height": height, "focal_px": round(focal_px, 1)},
    )


def track_face(
    video_path: str | os.PathLike, task_path: str | os.PathLike
) -> FaceTrack:
    """Landmarks and blinks of the face in a video; raises as `extract_motion`."""
    video_path, task_path = Path(video_path), Path(task_path)
    require(video_path.is_file(), f"{video_path}: there is no such file.")
    require(
        task_path.is_file(),
        f"{task_path}: MediaPipe's face_landmarker.task is not there; download it from "
        f"{MODEL_URL}.",
    )
    try:
        import av  # noqa: F401  (used by _frames; missed here, before the model loads)
        import mediapipe as mp
        from mediapipe.tasks import python as tasks
        from mediapipe.tasks.python import vision
    except ImportError as error:
        raise GazeheadError(
            f"extraction needs mediapipe and av ({error}): pip install mediapipe av."
        ) from error
    options = vision.FaceLandmarkerOptions(
        # As bytes: MediaPipe then never looks for the file elsewhere.
        base_options=tasks.BaseOptions(model_asset_buffer=task_path.read_bytes()),
        running_mode=vision.RunningMode.VIDEO,
        num_faces=2,
        output_face_blendshapes=True,
    )
    times, points, faces, blinks = [], [], [], []
    with _quiet_stderr():
        try:
            net = vision.FaceLandmarker.create_from_options(options)
        except (RuntimeError, ValueError, OSError) as error:
            raise GazeheadError(
                f"{task_path}: not a MediaPipe face_landmarker.task ({error}); "
                f"download it from {MODEL_URL}."
            ) from error
        with net:
            for time, image in _frames(video_path):
                stamp = round((time - (times[0] if times else time)) * 1000)
                result = net.detect_for_video(
                    mp.Image(image_format=mp.ImageFormat.SRGB, data=image), stamp
                )
                height, width = image.shape[:2]
                times.append(time)
                faces.append(len(result.face_landmarks))
                points.append(_pixels(result, width, height))
                blinks.append(_blink(result))
    require(bool(times), f"{video_path}: the video has no frame.")
    return FaceTrack(
        np.array(times),
        np.array(points),
        np.array(faces),
        np.array(blinks),
        (width, height),
    )


def _pixels(result, width: int, height: int) -> np.ndarray:
    if not result.face_landmarks:
        return np.full((LANDMARKS, 3), np.nan)
    # z comes in the scale of x.
    return np.array(
        [(p.x * width, p.y * height, p.z * width) for p in result.face_landmarks[0]]
    )


def _blink(result) -> float:
    if not result.face_blendshapes:
        return 0.0
    shapes = {shape.category_name: shape.score for shape in result.face_blendshapes[0]}
    return (shapes["eyeBlinkLeft"] + shapes["eyeBlinkRight"]) / 2


def _frames(path: Path) -> Iterator[tuple[float, np.ndarray]]:
    """(time in s, `[h, w, 3]` RGB uint8) of a video: upright, with square pixels."""
    import av

    try:
        with av.open(str(path)) as container:
            require(
                bool(container.streams.video),
                f"{path}: there is no video stream in this file.",
            )
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            wide = float(stream.sample_aspect_ratio or 1)
            last = -np.inf
            for frame in container.decode(stream):
                # Broken files repeat times; MediaPipe needs them to grow.
                if frame.time is None or frame.time < last + 1e-3:
                    continue
                last = frame.time
                image = frame.to_ndarray(
                    format="rgb24",
                    width=round(frame.width * wide),
                    height=frame.height,
                )
                image = np.rot90(image, round(frame.rotation / 90))
                # Rows of FFmpeg frames are padded, and MediaPipe reads padding as
                # picture: it then finds no face and says nothing.
                yield last, np.ascontiguousarray(image)
    except av.error.FFmpegError as error:
        raise GazeheadError(
            f"{path}: not a readable video ({error.strerror or error})."
        ) from error


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Hides what C++ writes to stderr: MediaPipe has no switch for its log."""
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _widened(flags: np.ndarray) -> np.ndarray:
    """Flags with their neighbours: lids move before and after a blink is scored."""
    out = flags.copy()
    out[1:] |= flags[:-1]
    out[:-1] |= flags[1:]
    return out


def _uniform(
    time_s: np.ndarray, values: np.ndarray, valid: np.ndarray, name: str
) -> tuple[float, np.ndarray, np.ndarray]:
    """fps, values and valid on a uniform time grid; as they are if they are uniform."""
    require(
        len(time_s) > 1,
        f"{name}: the frame rate is read off the frame times, which takes at least two "
        f"frames, got {len(time_s)}.",
    )
    step = np.diff(time_s)
    usual = float(np.median(step))
    # Containers round times to milliseconds.
    if np.abs(step - usual).max() <= max(2e-3, 0.1 * usual):
        fps = (len(time_s) - 1) / (time_s[-1] - time_s[0])
        return _near_whole(fps), values, valid
    fps = _near_whole(1 / usual)
    grid = np.arange(time_s[0], time_s[-1] + 1e-6, 1 / fps)
    right = np.clip(np.searchsorted(time_s, grid - 1e-6), 1, len(time_s) - 1)
    left = right - 1
    part = np.clip((grid - time_s[left]) / (time_s[right] - time_s[left]), 0, 1)
    # The short way round, for heads that roll past 180°.
    turn = wrap(values[right] - values[left])
    values = wrap(values[left] + part[:, None] * turn)
    near = time_s[right] - time_s[left] < 2.5 * usual
    # A grid time on a frame needs that frame only.
    valid = (valid[left] | (part > 0.99)) & (valid[right] | (part < 0.01))
    return fps, values, valid & (near | (part < 0.01) | (part > 0.99))


def _near_whole(fps: float) -> float:
    return float(round(fps)) if abs(fps - round(fps)) < 5e-4 * fps else float(fps)
