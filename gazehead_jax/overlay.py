"""What is drawn around a head: a line of text, and gaze and head yaw over time."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.motion import Motion

PAPER = np.uint8([250, 250, 248])
INK = np.uint8([40, 44, 52])
RULE = np.uint8([208, 210, 214])
GAZE = np.uint8([232, 126, 36])
HEAD = np.uint8([44, 108, 188])
SPAN_S = 4.0  # seconds of trace


@lru_cache(maxsize=64)
def text_bar(text: str, width: int) -> np.ndarray:
    """uint8 `[height, width, 3]`: one line of text, centred, shrunk to fit.

    Raises:
      GazeheadError: matplotlib is missing, or the text is not one line.
    """
    require(
        bool(text.strip()) and "\n" not in text,
        f"a label must be one line of text, got {text!r}.",
    )
    return _typeset([(text, INK)], max(20, 2 * round(width / 20)), width)


@lru_cache(maxsize=4)
def legend(width: int) -> np.ndarray:
    """uint8 `[height, width, 3]`: what the colours of `yaw_strips` mean."""
    words = [("gaze yaw", GAZE), ("head yaw", HEAD)]
    return _typeset(words, max(16, 2 * round(width / 28)), width)


def _typeset(words, height: int, width: int) -> np.ndarray:
    """A bar with (text, colour) in equal shares of its width."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise GazeheadError(
            "text in pictures needs matplotlib, which is not installed; "
            "pip install matplotlib."
        ) from error
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor=PAPER / 255)
    canvas = FigureCanvasAgg(figure)
    share, size = 1 / len(words), 0.4 * height + 1
    for index, (text, colour) in enumerate(words):
        line = figure.text(
            share * (index + 0.5),
            0.48,
            text,
            ha="center",
            va="center",
            parse_math=False,
        )
        line.set(color=colour / 255, fontsize=size)
        extent = line.get_window_extent(canvas.get_renderer()).width
        line.set_fontsize(size * min(1, 0.94 * share * width / extent))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def yaw_strips(motion: Motion, width: int, reach: float) -> Iterator[np.ndarray]:
    """For each frame uint8 `[height, width, 3]`: the yaw of gaze and head now, on a
    gauge whose left is the image's left, and over the last `SPAN_S` seconds. `reach` is the
    yaw, in radians, at the ends of the scale."""
    yaws = np.stack([motion.gaze[:, 1], motion.head[:, 1]], axis=1)
    unit = _unit(width)
    gauge, trace = 14 * unit, 44 * unit
    span = max(2, round(SPAN_S * motion.fps))
    blank = np.broadcast_to(PAPER, (strip_height(width), width, 3)).copy()
    blank[gauge // 2 - unit // 2 : gauge // 2 + (unit + 1) // 2] = RULE
    blank[gauge + trace // 2] = RULE
    blank[:gauge, width // 2] = RULE
    # A yaw of +reach lies at the left, and at the top of the trace.
    across = lambda yaw: (width - 1) * (0.5 - 0.47 * yaw / reach)
    up = lambda yaw: gauge + (trace - 1) * (0.5 - 0.46 * yaw / reach)
    margin = 6 * unit
    columns = np.arange(margin, width - margin)
    for now in range(len(motion)):
        strip = blank.copy()
        when = now - span * (1 - (columns - margin) / (len(columns) - 1))
        past = columns[when >= 0]
        for channel, colour in ((1, HEAD), (0, GAZE)):
            if len(past):
                rows = up(
                    np.interp(when[when >= 0], np.arange(len(yaws)), yaws[:, channel])
                )
                _curve(strip, past, rows, colour, unit)
        _disc(strip, across(yaws[now, 1]), gauge / 2, 5 * unit, HEAD)
        _disc(strip, across(yaws[now, 0]), gauge / 2, 3.4 * unit, GAZE)
        yield strip


def strip_height(width: int) -> int:
    """Rows of a strip of `yaw_strips`."""
    return 60 * _unit(width)


def _unit(width: int) -> int:
    return max(1, round(width / 256))


def _curve(image, columns, rows, colour, thick) -> None:
    """A line without gaps through one row per column."""
    before = np.concatenate([rows[:1], rows[:-1]])
    low = np.round(np.minimum(rows, before)).astype(int) - thick // 2
    high = np.round(np.maximum(rows, before)).astype(int) + (thick + 1) // 2
    line = np.arange(len(image))[:, None]
    inside = (line >= low) & (line <= high)
    image[:, columns] = np.where(inside[..., None], colour, image[:, columns])


def _disc(image, x, y, radius, colour) -> None:
    """A disc with soft edges."""
    rows, columns = np.mgrid[: int(y + radius) + 2, : image.shape[1]]
    share = np.clip(radius + 0.5 - np.hypot(columns - x, rows - y), 0, 1)[..., None]
    patch = image[: len(rows)]
    patch[:] = (patch * (1 - share) + colour * share + 0.5).astype(np.uint8)
