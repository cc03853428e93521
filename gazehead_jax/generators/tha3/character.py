"""A character of our own for THA3, in the layout that its networks were trained for.

    python -m gazehead_jax.generators.tha3.character character.png

The art that comes with the original may not be used commercially; this picture is free
of all rights (CC0). It is drawn here, by curves through the points below.
"""

import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8

from gazehead_jax.files import atomic_path
from gazehead_jax.generators.tha3.portrait import SIZE

_SAMPLES = 4  # per pixel and axis
_MIDDLE = SIZE / 2

# Colours, sRGB.
_LINE = (74, 46, 52)
_SKIN, _SKIN_SHADE, _BLUSH = (255, 229, 211), (241, 196, 178), (253, 208, 192)
_HAIR, _HAIR_SHADE, _HAIR_LIGHT = (150, 92, 70), (111, 64, 56), (190, 130, 98)
_WHITE, _WHITE_SHADE = (252, 250, 250), (214, 210, 224)
_IRIS, _IRIS_SHADE, _IRIS_LIGHT = (62, 142, 148), (24, 66, 84), (134, 214, 204)
_WOOL, _WOOL_SHADE, _SHIRT = (74, 104, 158), (54, 78, 126), (246, 246, 248)
_MOUTH = (176, 84, 84)

Points = Float[np.ndarray, "_ 2"]


def draw_character() -> UInt8[np.ndarray, "512 512 4"]:
    """The picture: sRGB and alpha."""
    canvas = _Canvas()
    _draw_back_hair(canvas)
    _draw_body(canvas)
    _draw_face(canvas)
    for side in (-1, 1):
        _draw_eye(canvas, side)
    _draw_front_hair(canvas)
    for side in (-1, 1):
        _draw_eyebrow(canvas, side)
    return canvas.picture()


def _draw_back_hair(canvas):
    shape = _both([(256, 62), (290, 68), (312, 94), (318, 130), (316, 170), (306, 206)])
    canvas.fill(shape, _HAIR_SHADE)
    canvas.outline(shape, _LINE)


def _draw_body(canvas):
    sleeve = _both(
        [
            (276, 214),
            (304, 222),
            (332, 236),
            (350, 270),
            (362, 340),
            (366, 430),
            (364, 530),
        ]
    )
    canvas.fill(sleeve, _WOOL)
    canvas.outline(sleeve, _LINE)
    for side in (-1, 1):
        arm = _side([(318, 300), (322, 360), (324, 430), (326, 520)], side)
        canvas.stroke(arm, 2.0, _WOOL_SHADE)
        fold = _side([(340, 262), (330, 280), (320, 300)], side)
        canvas.stroke(fold, 2.2, _WOOL_SHADE)
    for y in (500, 488):
        canvas.stroke(np.array([(190.0, y), (256, y + 3), (322, y)]), 1.6, _WOOL_SHADE)
    neck = _both([(270, 180), (270, 204), (276, 216), (284, 224)])
    canvas.fill(neck, _SKIN)
    canvas.fill(_both([(270, 182), (270, 198), (262, 202)]), _SKIN_SHADE)
    canvas.outline(neck, _LINE)
    for side in (-1, 1):
        collar = _side(
            [(273, 204), (286, 216), (284, 240), (256, 222), (262, 218)], side
        )
        canvas.fill(collar, _SHIRT, smooth=False)
        canvas.outline(collar, _LINE, smooth=False)


def _draw_face(canvas):
    for side in (-1, 1):
        ear = _side([(295, 138), (303, 134), (305, 146), (300, 158), (294, 160)], side)
        canvas.fill(ear, _SKIN)
        canvas.outline(ear, _LINE)
    face = _both(
        [
            (256, 84),
            (284, 92),
            (297, 116),
            (298, 142),
            (293, 162),
            (279, 180),
            (263, 191),
        ]
    )
    canvas.fill(face, _SKIN)
    # The shade that the fringe throws.
    shade = _both(
        [(256, 84), (284, 92), (297, 116), (298, 130), (284, 126), (256, 122)]
    )
    canvas.fill(shade, _SKIN_SHADE, clip=face)
    canvas.outline(face, _LINE)
    for side in (-1, 1):
        canvas.fill(_ellipse(_MIDDLE + side * 31, 163.0, 9.0, 4.5), _BLUSH, clip=face)
    canvas.stroke(np.array([(257.5, 159.0), (258.6, 161), (256.4, 162.4)]), 1.3, _MOUTH)
    canvas.stroke(
        np.array(
            [(248.0, 173.6), (252, 175.4), (256, 176), (260, 175.4), (264, 173.6)]
        ),
        1.5,
        _MOUTH,
    )
    canvas.stroke(
        np.array([(253.5, 180.4), (256, 180.8), (258.5, 180.4)]), 1.0, _SKIN_SHADE
    )


def _draw_eye(canvas, side):
    white = _side(
        [
            (268, 146),
            (272, 138),
            (280, 133.5),
            (288, 136),
            (292.5, 143),
            (289, 150),
            (281, 153.5),
            (273, 152),
        ],
        side,
    )
    canvas.fill(white, _WHITE)
    canvas.fill(
        _side([(266, 143), (280, 137), (294, 142), (294, 130), (266, 130)], side),
        _WHITE_SHADE,
        clip=white,
    )
    x, y = _MIDDLE + side * 24.0, 143.6
    canvas.fill(_ellipse(x, y, 7.3, 9.6), _IRIS_SHADE, clip=white)
    canvas.fill(_ellipse(x, y + 1.2, 6.2, 8.0), _IRIS, clip=white)
    canvas.fill(_ellipse(x, y + 5.2, 4.6, 3.6), _IRIS_LIGHT, clip=white)
    canvas.fill(_ellipse(x, y - 0.6, 2.9, 4.4), _IRIS_SHADE, clip=white)
    canvas.fill(_ellipse(x - 2.8, y - 4.4, 2.1, 2.5), _WHITE, clip=white)
    canvas.fill(_ellipse(x + 2.8, y + 4.6, 1.1, 1.3), _WHITE, clip=white)
    lash = [
        (266.5, 146),
        (271, 137.6),
        (280, 132.6),
        (288.6, 135),
        (294, 141.5),
        (296.5, 141),
    ]
    canvas.stroke(_side(lash, side), 3.4, _LINE)
    canvas.stroke(_side([(276, 154), (282, 154.6), (288, 152.2)], side), 1.1, _LINE)
    canvas.stroke(
        _side([(271, 130.6), (280, 127.6), (289, 130)], side), 1.0, _SKIN_SHADE
    )


def _draw_eyebrow(canvas, side):
    brow = _side([(270, 122.5), (280, 119), (291, 122)], side)
    canvas.stroke(brow, 2.0, _HAIR_SHADE)


def _draw_front_hair(canvas):
    for side in (-1, 1):
        lock = _side(
            [
                (290, 84),
                (308, 104),
                (313, 136),
                (311, 168),
                (303, 194),
                (297, 180),
                (299, 150),
                (296, 122),
            ],
            side,
        )
        canvas.fill(lock, _HAIR)
        canvas.outline(lock, _LINE)
    tips = [(304, 134), (286, 117), (267, 123), (247, 119), (229, 121), (208, 134)]
    roots = [(297, 108), (281, 101), (261, 99), (240, 100), (223, 103)]
    # Corners at tips and roots: every piece between two of them is a curve of its own.
    corners = [(314, 108), tips[0]]
    for root, tip in zip(roots, tips[1:], strict=True):
        corners += [root, tip]
    pieces = []
    for (x0, y0), (x1, y1) in zip(corners, corners[1:], strict=False):
        bend = ((x0 + x1) / 2 + 1.5, (y0 + y1) / 2 + 1.5)
        pieces.append(_through(np.array([(x0, y0), bend, (x1, y1)], float), False))
    crown = [
        tips[-1],
        (198, 108),
        (206, 82),
        (228, 65),
        (256, 60),
        (284, 65),
        (306, 82),
    ]
    pieces.append(_through(np.array([*crown, corners[0]], float), False))
    fringe = np.concatenate([piece[:-1] for piece in pieces])
    canvas.fill(fringe, _HAIR, smooth=False)
    canvas.outline(fringe, _LINE, smooth=False)
    shine = [
        (212, 92),
        (232, 82),
        (256, 79),
        (280, 82),
        (300, 92),
        (282, 87),
        (256, 85),
        (230, 87),
    ]
    canvas.fill(np.array(shine, float), _HAIR_LIGHT)
    for tip, root in zip(tips[1:5], (282, 265, 248, 231), strict=True):
        strand = [(root, 90), ((root + tip[0]) / 2 + 1, 100), (tip[0], tip[1] - 5)]
        canvas.stroke(np.array(strand, float), 1.1, _HAIR_SHADE)


class _Canvas:
    def __init__(self):
        size = SIZE * _SAMPLES
        self._colour = np.zeros((size, size, 3), np.float32)
        self._there = np.zeros((size, size), bool)

    def fill(self, shape: Points, colour, clip: Points | None = None, smooth=True):
        self._paint(_smoothed(shape) if smooth else shape, colour, clip)

    def outline(self, shape: Points, colour, width: float = 1.5, smooth=True):
        line = _smoothed(shape) if smooth else np.concatenate([shape, shape[:1]])
        for a, b in zip(line, np.roll(line, -1, 0), strict=True):
            self.stroke(np.stack([a, b]), width, colour, taper=False)

    def stroke(self, line: Points, width: float, colour, taper: bool = True):
        """A brush that is thickest in the middle of the line."""
        line = _through(line, closed=False) if len(line) > 2 else line
        along = np.linspace(0, 1, len(line))
        half = np.full(len(line), width / 2)
        if taper:
            half *= 0.35 + 0.65 * np.sqrt(np.sin(np.pi * along))
        step = np.gradient(line, axis=0)
        across = step[:, ::-1] * (-1, 1) / np.maximum(np.hypot(*step.T), 1e-9)[:, None]
        sides = [line + across * half[:, None], (line - across * half[:, None])[::-1]]
        self._paint(np.concatenate(sides), colour)
        if not taper:
            # Round joints, where the next piece goes elsewhere.
            self._paint(_ellipse(*line[0], width / 2, width / 2), colour)

    def _paint(self, shape, colour, clip=None):
        low = np.clip(np.floor(shape.min(0)), 0, SIZE - 1).astype(int)
        high = np.clip(np.ceil(shape.max(0)) + 1, 1, SIZE).astype(int)
        mask = _inside(shape, low, high)
        if clip is not None:
            mask &= _inside(_smoothed(clip), low, high)
        (x0, y0), (x1, y1) = low * _SAMPLES, high * _SAMPLES
        self._colour[y0:y1, x0:x1][mask] = colour
        self._there[y0:y1, x0:x1] |= mask

    def picture(self) -> UInt8[np.ndarray, "512 512 4"]:
        cells = (SIZE, _SAMPLES, SIZE, _SAMPLES)
        alpha = self._there.reshape(cells).mean((1, 3))[..., None]
        colour = self._colour * self._there[..., None]
        colour = colour.reshape(*cells, 3).mean((1, 3)) / np.maximum(alpha, 1e-9)
        return np.concatenate([colour, 255 * alpha], -1).round().astype(np.uint8)


def _side(points, side: int) -> Points:
    """Points of the picture's right half, or mirrored."""
    points = np.array(points, float)
    points[:, 0] = _MIDDLE + side * (points[:, 0] - _MIDDLE)
    return points


def _both(points) -> Points:
    """A closed shape out of its right half."""
    return np.concatenate([_side(points, 1), _side(points[::-1], -1)])


def _ellipse(x, y, across, down) -> Points:
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    return np.stack([x + across * np.cos(turn), y + down * np.sin(turn)], -1)


def _smoothed(shape: Points) -> Points:
    return _through(shape, closed=True)


def _through(points: Points, closed: bool, steps: int = 12) -> Points:
    """Catmull and Rom's curve through points."""
    points = np.asarray(points, float)
    if closed:
        a, b, c, d = (np.roll(points, n, 0) for n in (1, 0, -1, -2))
    else:
        ends = np.concatenate([points[:1], points, points[-1:]])
        a, b, c, d = ends[:-3], ends[1:-2], ends[2:-1], ends[3:]
    t = np.linspace(0, 1, steps, endpoint=False)[:, None, None]
    curve = b + t / 2 * (
        c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a))
    )
    curve = curve.transpose(1, 0, 2).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, points[-1:]])


def _inside(shape: Points, low, high) -> Bool[np.ndarray, "h w"]:
    """The samples of a part of the picture within a closed shape (even-odd rule)."""
    width, height = (high - low) * _SAMPLES
    crossings = np.zeros((height, width + 1), np.int32)
    shape = (shape - low) * _SAMPLES - 0.5
    for (x0, y0), (x1, y1) in zip(shape, np.roll(shape, -1, 0), strict=True):
        if y0 > y1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        rows = np.arange(max(np.ceil(y0), 0), min(np.ceil(y1), height)).astype(int)
        if len(rows):
            columns = x0 + (rows - y0) * (x1 - x0) / (y1 - y0)
            columns = np.clip(np.ceil(columns), 0, width).astype(int)
            crossings[rows, columns] += 1
    return crossings.cumsum(1)[:, :width] % 2 == 1


def write_png(path: str | Path, picture: UInt8[np.ndarray, "h w 4"]) -> None:
    """Writes RGBA losslessly.

    Raises:
      GazeheadError: the place cannot be written.
    """
    height, width, _ = picture.shape
    # Differences to the row above compress best here (filter 2, Up).
    above = np.concatenate([np.zeros_like(picture[:1]), picture[:-1]])
    rows = (picture - above).reshape(height, -1)
    rows = np.concatenate([np.full((height, 1), 2, np.uint8), rows], 1)
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in (
        (b"IHDR", header),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    ):
        check = struct.pack(">I", zlib.crc32(kind + body))
        data += struct.pack(">I", len(body)) + kind + body + check
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


if __name__ == "__main__":
    write_png(sys.argv[1], draw_character())
