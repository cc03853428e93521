"""Video files: h264 `.mp4` written and any video read, frame by frame, through PyAV."""

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.files import atomic_path, unwritable


def write_video(
    path: str | Path,
    frames: Iterable[np.ndarray],
    *,
    fps: float | int,
    quality: int = 18,
) -> Path:
    """Encodes frames as h264 (yuv420p) while they come, in constant memory.

    Args:
      path: an `.mp4`; written whole or not at all.
      frames: uint8 RGB `[height, width, 3]`, all of one even size.
      fps: frames per second.
      quality: x264's constant rate factor, 0 (lossless) to 51; 18 looks lossless.

    Raises:
      GazeheadError: no frames, frames that are odd, of another kind or of several
        sizes, fps not positive, another suffix, PyAV missing, or the place cannot be
        written (missing rights, disk full).
    """
    path = Path(path)
    require(
        path.suffix.lower() == ".mp4",
        f"{path}: videos are written as .mp4, got {path.suffix or 'no suffix'!r}.",
    )
    require(bool(np.isfinite(fps)) and fps > 0, f"fps must be positive, got {fps}.")
    require(0 <= quality <= 51, f"quality (x264 crf) must be 0 to 51, got {quality}.")
    av = _av()
    frames = iter(frames)
    first = next(frames, None)
    require(first is not None, f"{path}: a video needs at least one frame, got none.")
    _check_frame(first, 0, first)
    height, width, _ = first.shape
    require(
        height % 2 == 0 and width % 2 == 0,
        f"{path}: h264 needs an even width and height, got {width} x {height}; choose "
        "an even size.",
    )
    with atomic_path(path) as temporary, _av_errors(av, path):
        with av.open(str(temporary), "w", format="mp4") as container:
            rate = Fraction(fps).limit_denominator(60_000)
            stream = container.add_stream("libx264", rate=rate)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.options = {"crf": str(quality), "preset": "veryfast"}
            for index, frame in enumerate(itertools.chain([first], frames)):
                _check_frame(frame, index, first)
                picture = av.VideoFrame.from_ndarray(
                    np.ascontiguousarray(frame), format="rgb24"
                )
                picture.pts, picture.time_base = index, 1 / rate
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
    return path


def write_gif(
    path: str | Path, frames: Iterable[np.ndarray], *, fps: float | int
) -> Path:
    """Writes a looping `.gif`, for pages that play no video; a few seconds at most.

    Args:
      path: a `.gif`; written whole or not at all.
      frames: uint8 RGB `[height, width, 3]`; all are held in memory.
      fps: frames per second; players manage up to about 25.

    Raises:
      GazeheadError: no frames, another suffix, Pillow missing, or the place cannot be
        written.
    """
    path = Path(path)
    require(path.suffix == ".gif", f"{path}: must end in .gif, got {path.suffix!r}.")
    try:
        from PIL import Image
    except ImportError as error:
        raise GazeheadError(
            "writing a .gif needs Pillow: pip install pillow."
        ) from error
    pictures = [
        Image.fromarray(frame).quantize(128, dither=Image.Dither.NONE)
        for frame in frames
    ]
    require(bool(pictures), f"{path}: a .gif needs at least one frame, got none.")
    first, *rest = pictures
    options = {"save_all": True, "append_images": rest, "loop": 0, "optimize": True}
    with atomic_path(path) as temporary:
        first.save(temporary, duration=round(1000 / fps), **options)
    return path


def read_video(
    path: str | Path, *, longest: int | None = None
) -> Iterator[tuple[float, np.ndarray]]:
    """Yields (seconds since the first frame, RGB uint8 `[height, width, 3]`), in order.

    Times are the container's, so a variable frame rate is told truly; frames that repeat
    a time are left out. Pictures are upright (the rotation flag is applied), have square
    pixels, all have the size of the first, and are C-contiguous: PyAV's own rows may be
    padded, which other libraries misread without a word.

    Args:
      path: any file that FFmpeg reads.
      longest: larger pictures are shrunk to this many pixels on their longer side.

    Raises:
      GazeheadError: the file is missing, is no video or has no picture; or, after the
        frames before that place, the video breaks off.
    """
    path = Path(path)
    require(path.is_file(), f"{path}: there is no such file.")
    require(
        path.stat().st_size > 0, f"{path}: the file is empty; give a whole video file."
    )
    av = _av()
    with _av_errors(av, path, reading=True), av.open(str(path)) as container:
        # Cover art of an audio file is a video stream of one picture.
        streams = [
            s
            for s in container.streams.video
            if not s.disposition & av.stream.Disposition.attached_pic
        ]
        require(
            bool(streams),
            f"{path}: there is no video in this file, only "
            f"{'sound' if container.streams.audio else 'other data'}; give a video.",
        )
        stream = streams[0]
        stream.thread_type = "AUTO"
        start, last, size = None, -np.inf, None
        for frame in container.decode(stream):
            # Broken files repeat times.
            if frame.time is None or frame.time < last + 1e-3:
                continue
            last = frame.time
            start = last if start is None else start
            size = size or _square_size(frame, stream.sample_aspect_ratio, longest)
            picture = frame.to_ndarray(format="rgb24", width=size[0], height=size[1])
            picture = np.rot90(picture, round(frame.rotation / 90))
            yield float(last - start), np.ascontiguousarray(picture)
        require(
            start is not None,
            f"{path}: the video has no frame that can be decoded; give a whole file.",
        )


def _square_size(frame, aspect, longest: int | None) -> tuple[int, int]:
    """(width, height) of a frame with square pixels, before it is turned upright."""
    width, height = frame.width * float(aspect or 1), float(frame.height)
    shrink = min(1.0, longest / max(width, height)) if longest else 1.0
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def _av():
    try:
        import av
    except ImportError as error:
        raise GazeheadError(
            "video needs PyAV, which is not installed; pip install av."
        ) from error
    return av


def _check_frame(frame, index: int, first) -> None:
    require(
        isinstance(frame, np.ndarray)
        and frame.dtype == np.uint8
        and frame.ndim == 3
        and frame.shape[2] == 3
        and frame.size > 0,
        f"frame {index} must be a uint8 array [height, width, 3], got "
        f"{getattr(frame, 'dtype', type(frame).__name__)} "
        f"{getattr(frame, 'shape', '')}.",
    )
    require(
        frame.shape == first.shape,
        f"all frames of a video have one size: frame 0 is {first.shape[:2]}, frame "
        f"{index} is {frame.shape[:2]}.",
    )


@contextlib.contextmanager
def _av_errors(av, path: Path, reading: bool = False):
    """PyAV's errors as sentences. Some of them are OSErrors, some are not."""
    try:
        yield
    except av.error.FFmpegError as error:
        if reading:
            raise GazeheadError(
                f"{path}: this is not a video that can be read ({error.strerror}); "
                "give a whole video file."
            ) from error
        raise unwritable(
            path, OSError(error.errno, error.strerror or str(error))
        ) from error
