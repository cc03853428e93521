"""Motions as pictures: a 3-D head that turns and looks as the numbers say.

The head is drawn at every instant exactly as the motion says: eyes point along the
gaze in the camera frame whatever the head does. Only frames that are not valid are
made up: the head moves on between its neighbours with the eyes shut.
"""

import itertools
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np

from gazehead_jax import overlay
from gazehead_jax.errors import require
from gazehead_jax.head3d import make_renderer
from gazehead_jax.motion import Motion, resample, wrap
from gazehead_jax.video import write_video

BATCH = 8
MAX_SIZE = 1024
MIN_REACH = np.deg2rad(15.0)  # of the yaw traces
BLINK_S = 0.08  # the time in which the lids close or open


def render_frames(
    motion: Motion,
    *,
    size: int = 256,
    fps: float | int | None = None,
    supersample: int = 2,
) -> Iterator[np.ndarray]:
    """The frames of a motion, drawn in fixed batches: constant memory and one
    compilation whatever the length.

    Args:
      motion: with a head.
      size: edge of the square picture, pixels; even, 64 to 1024 (at 2 samples per
        pixel and axis to about 800).
      fps: rate of the video; by default the motion's own between 20 and 60 per
        second, else 30. Other rates are interpolated smoothly.
      supersample: samples per pixel and axis: 1 is about three times as fast as 2,
        with jagged outlines.

    Returns:
      An iterator of uint8 RGB `[size, size, 3]`.

    Raises:
      GazeheadError: no head, no valid frame, or a size, fps or supersample out of
        range. Raised at the call, not at the first frame.
    """
    shown = video_motion(motion, fps)
    return _draw(shown, _renderer(size, supersample))


def render(
    motion: Motion,
    path: str | Path,
    *,
    size: int = 256,
    fps: float | int | None = None,
    supersample: int = 2,
    caption: str | None = None,
) -> Path:
    """Draws a motion into an h264 `.mp4`; see `render_frames`.

    Args:
      caption: a line of text above the picture; needs matplotlib.

    Raises:
      GazeheadError: as `render_frames` and `gazehead_jax.video.write_video`.
    """
    frames = render_frames(motion, size=size, fps=fps, supersample=supersample)
    if caption:
        header = overlay.text_bar(caption, size)
        frames = (np.concatenate([header, frame]) for frame in frames)
    return write_video(path, frames, fps=video_fps(motion, fps))


def render_side_by_side(
    motions: Mapping[str, Motion],
    path: str | Path,
    *,
    size: int = 256,
    fps: float | int | None = None,
    supersample: int = 2,
) -> Path:
    """Draws motions beside each other, each under its label.

    Below each head run the yaw of the gaze (orange) and of the head (blue), so that
    one sees the eyes lead and the head follow: a gauge, left in the picture being left
    in the gauge, and the trace of the last seconds.

    Args:
      motions: label → motion, at least one; all of one fps and length.
      path: an `.mp4`.
      size: edge of one panel; see `render_frames` for this, fps and supersample.

    Raises:
      GazeheadError: as `render`; or no motions, or different fps or lengths.
    """
    require(len(motions) > 0, "side by side needs at least one motion, got none.")
    labels = list(motions)
    base = motions[labels[0]]
    for label, motion in motions.items():
        require(
            abs(motion.fps - base.fps) < 1e-6,
            f"motions side by side need one fps: {labels[0]!r} has {base.fps:g}, "
            f"{label!r} has {motion.fps:g}; resample one of them.",
        )
        require(
            len(motion) == len(base),
            f"motions side by side need one length: {labels[0]!r} has {len(base)} "
            f"frames, {label!r} has {len(motion)}; cut the longer one.",
        )
    draw = _renderer(size, supersample)
    shown = [video_motion(motion, fps) for motion in motions.values()]
    largest = max(
        float(np.abs(yaw).max()) for m in shown for yaw in (m.gaze[:, 1], m.head[:, 1])
    )
    reach = max(MIN_REACH, 1.1 * largest)
    columns = [
        _panel(label, motion, size, draw, reach)
        for label, motion in zip(labels, shown, strict=True)
    ]
    frames = (np.concatenate(row, axis=1) for row in zip(*columns, strict=True))
    return write_video(path, frames, fps=shown[0].fps)


def _panel(
    label: str, motion: Motion, size: int, draw, reach: float
) -> Iterator[np.ndarray]:
    header, footer = overlay.text_bar(label, size), overlay.legend(size)
    strips = overlay.yaw_strips(motion, size, reach)
    for frame, strip in zip(_draw(motion, draw), strips, strict=True):
        yield np.concatenate([header, frame, strip, footer])


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
      GazeheadError: no head, no valid frame, or fps out of range.
    """
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


@lru_cache(maxsize=2)
def _renderer(size: int, supersample: int):
    require(
        isinstance(size, int) and 64 <= size <= MAX_SIZE and size % 2 == 0,
        f"size must be an even number of pixels, 64 to {MAX_SIZE}, got {size!r}.",
    )
    require(
        supersample in (1, 2, 3), f"supersample must be 1, 2 or 3, got {supersample!r}."
    )
    return make_renderer(size, supersample=supersample)


def _draw(motion: Motion, draw) -> Iterator[np.ndarray]:
    shut = blinks(motion.valid, motion.fps)

    def batch(start: int) -> np.ndarray:
        take = lambda a: a[start : start + BATCH]
        parts = [take(motion.gaze), take(motion.head), take(shut)]
        count = len(parts[0])
        # The last batch is filled up, as another size would compile again.
        parts = [
            np.concatenate([p, np.repeat(p[-1:], BATCH - count, 0)]) for p in parts
        ]
        return np.asarray(draw(*parts))[:count]

    # One batch is drawn while the one before is encoded.
    with ThreadPoolExecutor(2) as pool:
        starts = iter(range(0, len(motion), BATCH))
        waiting = [pool.submit(batch, start) for start in itertools.islice(starts, 2)]
        while waiting:
            frames = waiting.pop(0).result()
            waiting += [pool.submit(batch, s) for s in itertools.islice(starts, 1)]
            yield from frames
