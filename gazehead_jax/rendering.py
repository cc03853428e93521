"""Motions as video: a face that turns and looks as the numbers say.

The face comes from a generator (`gazehead_jax.generators`). It is drawn at every instant
as the motion says: eyes point along the gaze in the camera frame whatever the head does.
What a generator cannot reach is bent to what it can, and told. Frames that are not valid
are made up: the head moves on between its neighbours with the eyes shut.
"""

import datetime
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from gazehead_jax import marking, overlay
from gazehead_jax.errors import require
from gazehead_jax.generators import DEFAULT, Generator, make_generator
from gazehead_jax.generators.batches import draw_in_batches
from gazehead_jax.generators.reach import bend_to_reach
from gazehead_jax.motion import Motion, resample, wrap
from gazehead_jax.video import check_video_path, read_video, write_video

MIN_SCALE = np.deg2rad(15.0)  # of the yaw traces
BLINK_S = 0.08  # the time in which the lids close or open
# Where no bar can be drawn (a log file), a line every so often.
EVERY_S = 10.0

Tell = Callable[[str], None]
Faces = str | Generator | Sequence[Generator]


def render_frames(
    motion: Motion,
    *,
    generator: str | Generator = DEFAULT,
    fps: float | int | None = None,
    tell: Tell | None = None,
    **options,
) -> Iterator[np.ndarray]:
    """The frames of a motion, drawn in fixed batches: constant memory and one
    compilation whatever the length.

    Args:
      motion: with a head.
      generator: a name, or what `generators.make_generator` gave.
      fps: rate of the video; by default the motion's own between 20 and 60 per
        second, else 30. Other rates are interpolated smoothly.
      tell: called with one sentence about what the generator could not reach, if
        anything.
      **options: of `generators.make_generator`, such as size, supersample, portrait;
        with a name only.

    Returns:
      An iterator of uint8 RGB `[height, width, 3]`.

    Raises:
      GazeheadError: no head, no valid frame, fps out of range, or as
        `make_generator`. Raised at the call, not at the first frame.
    """
    shown = video_motion(motion, fps)
    (face,) = _faces(generator, options)
    return _drawn("", shown, face, tell)


def render(
    motion: Motion,
    path: str | Path,
    *,
    generator: str | Generator = DEFAULT,
    fps: float | int | None = None,
    caption: str | None = None,
    audio: str | Path | None = None,
    mark: bool | None = None,
    tell: Tell | None = None,
    progress: bool = False,
    **options,
) -> Path:
    """Draws a motion into an h264 `.mp4`; see `render_frames`.

    Args:
      caption: a line of text above the picture; needs matplotlib.
      audio: a video or sound file whose sound goes along. Of the video that the motion
        was extracted from, the motion's own part is taken.
      mark: whether the video carries its provenance, in its metadata and in
        `NAME.mp4.json` (`gazehead_jax.marking`); by default if its pictures are
        photo-real.
      progress: shows on standard error how far it is.

    Raises:
      GazeheadError: as `render_frames` and `gazehead_jax.video.write_video`.
    """
    check_video_path(path)
    shown = video_motion(motion, fps)
    (face,) = _faces(generator, options)
    frames = _drawn("", shown, face, tell)
    if caption:
        header = overlay.text_bar(caption, face.size[1])
        frames = (np.concatenate([header, frame]) for frame in frames)
    return _write(path, frames, shown, [face], {"": motion}, mark, audio, progress)


def render_side_by_side(
    motions: Mapping[str, Motion],
    path: str | Path,
    *,
    generator: Faces = DEFAULT,
    fps: float | int | None = None,
    reference: str | Path | None = None,
    audio: str | Path | None = None,
    mark: bool | None = None,
    tell: Tell | None = None,
    progress: bool = False,
    **options,
) -> Path:
    """Draws motions beside each other, each under its label.

    Below each head run the yaw of the gaze (orange) and of the head (blue), so that
    one sees the eyes lead and the head follow: a gauge, left in the picture being left
    in the gauge, and the trace of the last seconds.

    Args:
      motions: label → motion, at least one; all of one fps and length.
      path: an `.mp4`.
      generator: as for `render`, or several generators of one height: each draws each
        motion.
      reference: the video that the motions were extracted from, or another that starts
        with them; shown at the left at its own times, whatever its frame rate. A
        motion that knows where in the video it begins (`meta["start_s"]`) is met there.

    Raises:
      GazeheadError: as `render`; or no motions, different fps, lengths or heights, or a
        reference that ends before the motions begin.
    """
    check_video_path(path)
    require(len(motions) > 0, "side by side needs at least one motion, got none.")
    _check_alike(motions)
    shown = {label: video_motion(m, fps) for label, m in motions.items()}
    faces = _faces(generator, options)
    heights = {face.name: face.size[0] for face in faces}
    require(
        len(set(heights.values())) == 1,
        "faces side by side need one height, got "
        f"{', '.join(f'{n} {h}' for n, h in heights.items())}; give head3d the size of "
        "the others.",
    )
    largest = max(
        float(np.abs(yaw).max())
        for m in shown.values()
        for yaw in (m.gaze[:, 1], m.head[:, 1])
    )
    scale = max(MIN_SCALE, 1.1 * largest)
    columns = []
    for (label, motion), face in itertools.product(shown.items(), faces):
        title = f"{label}: {face.name}" if len(faces) > 1 else label
        drawn = _drawn(label, motion, face, tell)
        columns.append(_panel(title, drawn, motion, face.size[1], scale))
    first = next(iter(shown.values()))
    if reference:
        height = faces[0].size[0]
        columns.insert(0, _recording(reference, first, height, faces[0].size[1]))
    frames = (np.concatenate(row, axis=1) for row in zip(*columns, strict=True))
    return _write(path, frames, first, faces, motions, mark, audio, progress)


def _check_alike(motions: Mapping[str, Motion]) -> None:
    first, base = next(iter(motions.items()))
    for label, motion in motions.items():
        require(
            abs(motion.fps - base.fps) < 1e-6,
            f"motions side by side need one fps: {first!r} has {base.fps:g}, "
            f"{label!r} has {motion.fps:g}; resample one of them.",
        )
        require(
            len(motion) == len(base),
            f"motions side by side need one length: {first!r} has {len(base)} "
            f"frames, {label!r} has {len(motion)}; cut the longer one.",
        )


def _faces(generator: Faces, options: Mapping) -> list[Generator]:
    if isinstance(generator, str):
        return [make_generator(generator, **options)]
    require(
        not options,
        f"{', '.join(options)}: options of a generator belong to make_generator, where "
        "the generator is made.",
    )
    return list(generator) if isinstance(generator, Sequence) else [generator]


def _drawn(
    label: str, motion: Motion, face: Generator, tell: Tell | None
) -> Iterator[np.ndarray]:
    motion, bent = bend_to_reach(motion, face.reach)
    if tell and bent.shares:
        tell(f"{label or motion.source or 'motion'} on {face.name}: {bent}")
    shut = blinks(motion.valid, motion.fps)
    return draw_in_batches(face, motion.gaze, motion.head, shut)


def _panel(
    title: str, drawn: Iterator[np.ndarray], motion: Motion, width: int, scale: float
) -> Iterator[np.ndarray]:
    header, footer = overlay.text_bar(title, width), overlay.legend(width)
    strips = overlay.yaw_strips(motion, width, scale)
    return (
        np.concatenate([header, frame, strip, footer])
        for frame, strip in zip(drawn, strips, strict=True)
    )


def _recording(
    path: str | Path, motion: Motion, height: int, panel: int
) -> Iterator[np.ndarray]:
    """A panel of a video beside panels `panel` pixels wide, at the motion's times."""
    start_s = motion_start_s(motion)
    header, below = None, None
    frames = frames_at(
        path, start_s + np.arange(len(motion)) / motion.fps, height=height
    )
    for frame in frames:
        if header is None:
            header = overlay.text_bar("recording", frame.shape[1])
            under = overlay.strip_height(panel) + len(overlay.legend(panel))
            top = len(overlay.text_bar("recording", panel))
            below = np.broadcast_to(overlay.PAPER, (under, frame.shape[1], 3))
            header = _at_height(header, top)
        yield np.concatenate([header, frame, below])


def _at_height(bar: np.ndarray, height: int) -> np.ndarray:
    """A bar of text cut or filled to a height."""
    spare = height - len(bar)
    if spare <= 0:
        return bar[-spare // 2 : -spare // 2 + height]
    edges = (spare // 2, spare - spare // 2), (0, 0), (0, 0)
    return np.pad(bar, edges, mode="edge")


def motion_start_s(motion: Motion) -> float:
    """Where in its video a motion begins, seconds; 0 unless extraction noted it."""
    return float(motion.meta.get("start_s", 0.0))


def frames_at(
    path: str | Path, times_s: np.ndarray, *, height: int | None = None
) -> Iterator[np.ndarray]:
    """The pictures of a video that are on the screen at increasing times.

    After the last picture it stays.

    Raises:
      GazeheadError: as `read_video`, or the video ends more than a second before the
        first time.
    """
    coming = read_video(path, height=height)
    since, shown = next(coming)
    following = next(coming, None)
    for time_s in times_s:
        # A time is met if it is off by less than what rounding makes.
        while following is not None and following[0] <= time_s + 1e-3:
            since, shown = following
            following = next(coming, None)
        require(
            following is not None or bool(times_s[0] < since + 1.0),
            f"{path}: the video ends at {since:.1f} s, before the motion begins at "
            f"{times_s[0]:.1f} s; give the video that the motion is from.",
        )
        yield shown


def _write(
    path: str | Path,
    frames: Iterator[np.ndarray],
    shown: Motion,
    faces: list[Generator],
    motions: Mapping[str, Motion],
    mark: bool | None,
    audio: str | Path | None,
    progress: bool,
) -> Path:
    if progress:
        frames = _with_progress(frames, len(shown), Path(path).name)

    def write(comment: str) -> Path:
        return write_video(
            path,
            frames,
            fps=shown.fps,
            audio=audio,
            audio_start_s=motion_start_s(shown),
            comment=comment,
        )

    if mark or (mark is None and any(face.photo_real for face in faces)):
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return marking.write_marked(
            path, marking.provenance(faces, motions, now), write
        )
    written = write("")
    marking.drop_stale_sidecar(path)
    return written


def _with_progress(
    frames: Iterator[np.ndarray], total: int, name: str
) -> Iterator[np.ndarray]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True, highlight=False)
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task, told = bar.add_task(name, total=total), time.monotonic()
        for count, frame in enumerate(frames, 1):
            yield frame
            bar.update(task, completed=count)
            if not console.is_terminal and time.monotonic() - told > EVERY_S:
                told = time.monotonic()
                print(f"{name}: {count} of {total} frames", file=sys.stderr, flush=True)


def video_fps(motion: Motion, fps: float | int | None) -> float:
    """The rate at which a motion is shown."""
    if fps is None:
        return motion.fps if 20 <= motion.fps <= 60 else 30.0
    require(
        bool(np.isfinite(fps)) and 1 <= fps <= 240,
        f"the fps of a video must be 1 to 240, got {fps}.",
    )
    return float(fps)


def video_motion(motion: Motion, fps: float | int | None) -> Motion:
    """The motion at the rate of the video, its invalid frames bridged.

    Raises:
      GazeheadError: no motion, no head, no valid frame, or fps out of range.
    """
    require(
        isinstance(motion, Motion),
        f"a Motion is drawn, as load_motion reads it, got {type(motion).__name__} "
        f"{motion!r:.60}.",
    )
    fps = video_fps(motion, fps)
    motion.require_head()
    known = np.flatnonzero(motion.valid)
    require(
        len(known) > 0,
        f"motion {motion.source!r} has no valid frame to draw; check how it was "
        "extracted.",
    )
    angles = np.concatenate([motion.gaze, motion.head], axis=1).astype(np.float64)
    turns = np.unwrap(angles[known], axis=0)
    bridged = np.stack(
        [np.interp(np.arange(len(motion)), known, turn) for turn in turns.T], axis=1
    )
    bridged[:, [1, 3, 4]] = wrap(bridged[:, [1, 3, 4]])  # pitch never left its range
    whole = motion.replace(gaze=bridged[:, :2], head=bridged[:, 2:], valid=None)
    shown = resample(whole, fps, smooth=True)
    return shown.replace(valid=resample(motion, fps).valid)


def blinks(valid: np.ndarray, fps: float | int) -> np.ndarray:
    """`[time]` how far the lids are shut, 0 to 1: shut where not valid, closing and
    opening in `BLINK_S` before and after."""
    frames = np.arange(len(valid))
    lost = np.flatnonzero(~valid)
    if not len(lost):
        return np.zeros(len(valid), np.float32)
    after = np.searchsorted(lost, frames)
    nearest = np.minimum(
        np.abs(frames - lost[np.maximum(after - 1, 0)]),
        np.abs(frames - lost[np.minimum(after, len(lost) - 1)]),
    )
    return np.clip(1 - nearest / (BLINK_S * fps), 0, 1).astype(np.float32)
