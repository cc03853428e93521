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


def read_video(path: str | Path) -> Iterator[tuple[float, np.ndarray]]:
    """Yields (seconds since the start, RGB uint8 `[height, width, 3]`), in order.

    Frames are C-contiguous: PyAV's own rows may be padded, which other libraries
    misread without a word.

    Raises:
      GazeheadError: the file is missing, is no video, has no picture or breaks off.
    """
    path = Path(path)
    require(path.is_file(), f"{path}: there is no such file.")
    av = _av()
    with _av_errors(av, path, reading=True), av.open(str(path)) as container:
        require(
            len(container.streams.video) > 0,
            f"{path}: the file has no video stream; give a video.",
        )
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        start = None
        for frame in container.decode(stream):
            start = frame.time if start is None else start
            picture = np.ascontiguousarray(frame.to_ndarray(format="rgb24"))
            yield float(frame.time - start), picture
        require(
            start is not None,
            f"{path}: the video has no frame that can be decoded; give a whole file.",
        )


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
