"""Video files: h264 `.mp4` written and any video read, frame by frame, through PyAV."""

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.files import atomic_path, unwritable

_AAC_RATES = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
# In pictures that are narrower or lower than this, x264 plans its B-frames by what happens
# to lie beyond the edge: of 64 x 64 pixels, one file in thirty was another. None was from
# 192 on, and none without B-frames.
_SMALL = 256


def write_video(
    path: str | Path,
    frames: Iterable[np.ndarray],
    *,
    fps: float | int,
    quality: int = 18,
    audio: str | Path | None = None,
    audio_start_s: float = 0.0,
    comment: str = "",
) -> Path:
    """Encodes frames as h264 (yuv420p) while they come, in constant memory.

    On one machine, the same frames give the same file, to the bit.

    Args:
      path: an `.mp4`; written whole or not at all.
      frames: uint8 RGB `[height, width, 3]`, all of one even size.
      fps: frames per second.
      quality: x264's constant rate factor, 0 (lossless) to 51; 18 looks lossless.
      audio: a video or sound file whose sound goes along (as AAC), as long as there
        are frames.
      audio_start_s: what time of that file the first frame is, counted from its own
        first frame.
      comment: text for the container's metadata.

    Raises:
      GazeheadError: no frames, frames that are odd, of another kind or of several
        sizes, fps not positive, another suffix, PyAV or an encoder missing, `audio`
        missing, unreadable or silent, or the place cannot be written (a folder,
        missing rights, disk full).
    """
    path = Path(path)
    check_video_path(path)
    require(bool(np.isfinite(fps)) and fps > 0, f"fps must be positive, got {fps}.")
    require(0 <= quality <= 51, f"quality (x264 crf) must be 0 to 51, got {quality}.")
    av = import_av()
    with contextlib.ExitStack() as stack:
        # Before the first frame is asked for, as that may take long.
        sound = audio and stack.enter_context(_Sound(av, Path(audio), audio_start_s))
        _encode(av, path, iter(frames), fps, quality, sound, comment)
    return path


def check_video_path(path: str | Path) -> None:
    """Raises GazeheadError unless a video can have this name."""
    path = Path(path)
    require(
        path.suffix.lower() == ".mp4",
        f"{path}: videos are written as .mp4, got {path.suffix or 'no suffix'!r}.",
    )
    require(
        not path.is_dir(), f"{path} is a folder; give the name of a video to write."
    )


def _encode(av, path, frames, fps, quality, sound, comment) -> None:
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
            if comment:
                container.metadata["comment"] = comment
            rate = Fraction(fps).limit_denominator(60_000)
            stream = _add_stream(av, container, "libx264", rate=rate)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.options = {"crf": str(quality), "preset": "veryfast"}
            if min(height, width) < _SMALL:
                stream.options |= {"bf": "0"}
            if sound:
                sound.join(container)
            for index, frame in enumerate(itertools.chain([first], frames)):
                _check_frame(frame, index, first)
                picture = av.VideoFrame.from_ndarray(
                    np.ascontiguousarray(frame), format="rgb24"
                )
                picture.pts, picture.time_base = index, 1 / rate
                container.mux(stream.encode(picture))
                if sound:
                    sound.write(container, (index + 1) / rate)
            container.mux(stream.encode())
            if sound:
                sound.finish(container)


def _add_stream(av, container, codec: str, **options):
    try:
        return container.add_stream(codec, **options)
    except av.codec.codec.UnknownCodecError as error:
        raise GazeheadError(
            f"this PyAV was built without the encoder {codec}; install the wheel from "
            "PyPI: pip install --force-reinstall av."
        ) from error


class _Sound:
    """The sound of a file, decoded and encoded again as the pictures go on."""

    def __init__(self, av, path: Path, start_s: float):
        require(path.is_file(), f"{path}: there is no such file.")
        self._av, self._path = av, path
        with _av_errors(av, path, reading=True):
            self._source = av.open(str(path))
        if not self._source.streams.audio:
            self._source.close()
            raise GazeheadError(
                f"{path}: there is no sound in this file; give one with sound, or none."
            )
        self._stream = self._source.streams.audio[0]
        first = next(iter(_pictures(av, self._source)), self._stream)
        self._zero = float((first.start_time or 0) * first.time_base) + start_s
        rate, channels = self._stream.rate, min(self._stream.channels, 2)
        self._rate = rate if rate in _AAC_RATES else 48_000
        self._layout = "mono" if channels == 1 else "stereo"
        self._blocks = self._read()
        self._waiting = np.zeros((channels, 0), np.float32)
        self._written = 0

    def __enter__(self) -> "_Sound":
        return self

    def __exit__(self, *_) -> None:
        self._source.close()

    def _read(self) -> Iterator[np.ndarray]:
        """Blocks `[channels, samples]` without gaps from time `_zero` on."""
        resampler = self._av.AudioResampler("fltp", self._layout, self._rate)
        position = 0
        with _av_errors(self._av, self._path, reading=True):
            if self._zero > 1:
                self._source.seek(int((self._zero - 1) * 1e6))
            for frame in self._source.decode(self._stream):
                for block in resampler.resample(frame):
                    samples = block.to_ndarray()
                    place = round((block.time - self._zero) * self._rate)
                    # Stamps jitter; a step of more than 20 ms is meant.
                    if place < position - 0.02 * self._rate:
                        samples = samples[:, position - place :]
                    elif place > position + 0.02 * self._rate:
                        gap = place - position
                        yield np.zeros((len(samples), gap), np.float32)
                        position += gap
                    position += samples.shape[1]
                    yield samples

    def join(self, container) -> None:
        """Makes a track, before anything is written."""
        self._encoder = _add_stream(
            self._av, container, "aac", rate=self._rate, layout=self._layout
        )

    def write(self, container, until_s) -> None:
        """Brings the sound up to a time."""
        due = round(until_s * self._rate) - self._written
        while self._waiting.shape[1] < due:
            block = next(self._blocks, None)
            if block is None:
                break
            self._waiting = np.concatenate([self._waiting, block], axis=1)
        block, self._waiting = self._waiting[:, :due], self._waiting[:, due:]
        if block.shape[1]:
            frame = self._av.AudioFrame.from_ndarray(
                np.ascontiguousarray(block), format="fltp", layout=self._layout
            )
            frame.rate, frame.pts = self._rate, self._written
            frame.time_base = Fraction(1, self._rate)
            self._written += block.shape[1]
            container.mux(self._encoder.encode(frame))

    def finish(self, container) -> None:
        container.mux(self._encoder.encode())


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
    # The format counts in hundredths: frames differ by one of them so that none is lost.
    ends = np.round(100 / fps * np.arange(len(pictures) + 1)).astype(int)
    options = {"save_all": True, "append_images": rest, "loop": 0, "optimize": True}
    with atomic_path(path) as temporary:
        first.save(temporary, duration=(10 * np.diff(ends)).tolist(), **options)
    return path


def read_video(
    path: str | Path, *, longest: int | None = None, height: int | None = None
) -> Iterator[tuple[float, np.ndarray]]:
    """Yields (seconds since the first frame, RGB uint8 `[height, width, 3]`), in order.

    Times are the container's, so a variable frame rate is told truly; frames that repeat
    a time are left out. Pictures are upright (the rotation flag is applied), have square
    pixels, all have the size of the first, and are C-contiguous: PyAV's own rows may be
    padded, which other libraries misread without a word.

    Args:
      path: any file that FFmpeg reads.
      longest: larger pictures are shrunk to this many pixels on their longer side.
      height: pictures are scaled to this height, and an even width.

    Raises:
      GazeheadError: the file is missing, is no video or has no picture; or, after the
        frames before that place, the video breaks off.
    """
    path = Path(path)
    require(path.is_file(), f"{path}: there is no such file.")
    require(
        path.stat().st_size > 0, f"{path}: the file is empty; give a whole video file."
    )
    av = import_av()
    with _av_errors(av, path, reading=True), av.open(str(path)) as container:
        streams = _pictures(av, container)
        require(
            bool(streams),
            f"{path}: there is no video in this file, only "
            f"{'sound' if container.streams.audio else 'other data'}; give a video.",
        )
        stream = streams[0]
        stream.thread_type = "AUTO"
        start, last, size = None, -np.inf, None
        # One for all frames: a frame of its own would set a converter up each time.
        convert = av.video.reformatter.VideoReformatter()
        for frame in container.decode(stream):
            # Broken files repeat times.
            if frame.time is None or frame.time < last + 1e-3:
                continue
            last = frame.time
            start = last if start is None else start
            size = size or _square_size(
                frame, stream.sample_aspect_ratio, longest, height
            )
            picture = convert.reformat(frame, *size, "rgb24").to_ndarray()
            picture = np.rot90(picture, round(frame.rotation / 90))
            yield float(last - start), np.ascontiguousarray(picture)
        require(
            start is not None,
            f"{path}: the video has no frame that can be decoded; give a whole file.",
        )


def read_comment(path: str | Path) -> str:
    """The comment in the container's metadata, empty if there is none.

    Raises:
      GazeheadError: the file is missing or cannot be read, or PyAV is missing.
    """
    path = Path(path)
    require(path.is_file(), f"{path}: there is no such file.")
    av = import_av()
    with _av_errors(av, path, reading=True), av.open(str(path)) as container:
        return container.metadata.get("comment", "")


def _pictures(av, container) -> list:
    """The video streams; cover art of an audio file is one of a single picture."""
    cover = av.stream.Disposition.attached_pic
    return [s for s in container.streams.video if not s.disposition & cover]


def _square_size(
    frame, aspect, longest: int | None, upright_height: int | None
) -> tuple[int, int]:
    """(width, height) of a frame with square pixels, before it is turned upright."""
    width, height = frame.width * float(aspect or 1), float(frame.height)
    if upright_height and round(frame.rotation / 90) % 2:
        return upright_height, 2 * max(1, round(upright_height * height / width / 2))
    if upright_height:
        return 2 * max(1, round(upright_height * width / height / 2)), upright_height
    shrink = min(1.0, longest / max(width, height)) if longest else 1.0
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def import_av():
    """The module `av`.

    Raises:
      GazeheadError: PyAV is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise GazeheadError(
            "reading and writing pictures and video needs PyAV, which is not installed; "
            "pip install av."
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
