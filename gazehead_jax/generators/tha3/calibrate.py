"""How many degrees a character turns and looks by THA3's parameters, seen in its pictures.

    python -m gazehead_jax.generators.tha3.calibrate character.png [more.png ...]

THA3 says of no parameter how many degrees it is. Here the eyes are followed from the
picture at rest to pictures with one parameter changed, the irises in the field by which
the network moves them; and what they moved is turned into angles:

- Roll is the angle of the line between the eyes.
- Pitch and yaw: a drawn head is about two eye distances s wide. As a sphere of radius s
  about the neck it carries the eyes at a depth of √(s² - (s/2)²) = 0.87 s, so that they
  move by 0.87 s · sin(angle).
- Irises: in people the centre of the iris is 10.5 mm before the eye's centre, and the
  eye 30 mm wide from corner to corner. They move by 0.35 · width · sin(angle), and drawn
  eyes are as wide, measured by their distance, as people's.

Each angle is the mean of both signs and both eyes, so that a portrait that is drawn a
little from the side does not matter.
"""

import argparse
import dataclasses
from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float

from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.generators.tha3.conversion import read_params
from gazehead_jax.generators.tha3.generator import WEIGHTS
from gazehead_jax.generators.tha3.portrait import read_character, to_linear
from gazehead_jax.generators.tha3.poser import Poser
from gazehead_jax.generators.tha3.poses import Calibration, expression_pose
from gazehead_jax.weights import locate

EYE_DEPTH = np.sqrt(3) / 2  # of the distance between the eyes
IRIS_RADIUS = 10.5 / 30  # of the width of an eye
Point = Float[np.ndarray, "2"]
Picture = Float[np.ndarray, "h w 3"]


@dataclasses.dataclass(frozen=True)
class Eye:
    """Where an eye is at rest, pixels: (x, y) of its middle, corner to corner, height."""

    middle: Point
    width: float
    height: float


def calibrate(poser: Poser) -> Calibration:
    """Measures a character.

    Raises:
      GazeheadError: its eyes are not found, or cannot be followed.
    """
    draw = partial(_drawn, poser)
    rest, eyes = draw(), find_eyes(draw)
    distance = float(np.hypot(*(eyes[1].middle - eyes[0].middle)))
    width = (eyes[0].width + eyes[1].width) / 2

    def places(parameter: str, value: float) -> Float[np.ndarray, "2 2"]:
        after = draw(**{parameter: value})
        return np.stack([eye.middle + follow(rest, after, eye) for eye in eyes])

    def turned(parameter: str, axis: int) -> float:
        far = places(parameter, 1.0) - places(parameter, -1.0)
        return _degrees(far[:, axis].mean() / 2 / (EYE_DEPTH * distance))

    def rolled(parameter: str) -> float:
        return abs(_tilt(places(parameter, 1.0)) - _tilt(places(parameter, -1.0))) / 2

    def looked(parameter: str, axis: int) -> float:
        far = [
            _iris_shift(poser, eye, axis, **{parameter: 1.0})
            - _iris_shift(poser, eye, axis, **{parameter: -1.0})
            for eye in eyes
        ]
        return _degrees(np.mean(far) / 2 / (IRIS_RADIUS * width))

    return Calibration(
        head_x_deg=turned("head_x", 1),
        head_y_deg=turned("head_y", 0),
        neck_z_deg=rolled("neck_z"),
        body_y_deg=turned("body_y", 0),
        body_z_deg=rolled("body_z"),
        iris_x_deg=looked("iris_rotation_x", 1),
        iris_y_deg=looked("iris_rotation_y", 0),
    )


def find_eyes(draw: Callable[..., Picture]) -> tuple[Eye, Eye]:
    """The eyes, the picture's left one first: where shutting one changes the picture.

    Raises:
      GazeheadError: shutting an eye changes nothing.
    """
    rest, found = draw(), []
    for side in ("right", "left"):
        change = np.abs(draw(**{f"eye_wink_{side}": 1.0}) - rest).sum(-1)
        require(
            bool(change.max() > 30),
            "the character's eyes were not found: shutting one changes nothing; it must "
            "face the viewer, eyes open, the head in the middle of the upper half.",
        )
        y, x = np.nonzero(change > 0.25 * change.max())
        # Hair that moves with the lids is not the eye.
        near = (np.abs(x - np.median(x)) < 18) & (np.abs(y - np.median(y)) < 14)
        x, y = x[near], y[near]
        spans = [np.percentile(v, 99) - np.percentile(v, 1) + 1 for v in (x, y)]
        found.append(Eye(np.array([np.median(x), np.median(y)]), *map(float, spans)))
    return found[0], found[1]


def follow(before: Picture, after: Picture, eye: Eye, most: int = 32) -> Point:
    """(x, y) by which an eye moved, pixels, at most so far.

    Raises:
      GazeheadError: nothing like it is found.
    """
    x, y = np.rint(eye.middle).astype(int)
    half = round(0.7 * eye.width)
    square = _standard(before[None, y - half : y + half + 1, x - half : x + half + 1])
    reach = half + most
    around = after[y - reach : y + reach + 1, x - reach : x + reach + 1]
    parts = np.lib.stride_tricks.sliding_window_view(around, square.shape[1:])[
        ..., 0, :, :, :
    ]
    likeness = (_standard(parts) * square).mean((-1, -2, -3))
    i, j = np.unravel_index(likeness.argmax(), likeness.shape)
    require(
        bool(likeness[i, j] > 0.5 and 0 < i < 2 * most and 0 < j < 2 * most),
        "the character's eyes could not be followed; they must be drawn clearly.",
    )
    return np.array(
        [
            j - most + _peak(likeness[i, j - 1 : j + 2]),
            i - most + _peak(likeness[i - 1 : i + 2, j]),
        ]
    )


def _standard(parts):
    parts = parts - parts.mean((-2, -3), keepdims=True)
    return parts / np.sqrt(np.square(parts).mean((-1, -2, -3), keepdims=True) + 1e-9)


def _peak(three) -> float:
    """Where the parabola through three values is largest, from the middle one."""
    return float((three[0] - three[2]) / (2 * (three[0] - 2 * three[1] + three[2])))


def _tilt(places) -> float:
    x, y = places[1] - places[0]
    return float(np.rad2deg(np.arctan2(y, x)))


def _degrees(sine: float) -> float:
    return float(np.rad2deg(np.arcsin(min(abs(sine), 1.0))))


def _drawn(poser: Poser, **parameters: float) -> Picture:
    """0 to 255, before black."""
    linear = np.asarray(poser(expression_pose(parameters)[None]))[0]
    values = np.clip((linear + 1) / 2, 0, 1)
    return 255 * np.sqrt(values[..., :3]) * values[..., 3:]


def _iris_shift(poser: Poser, eye: Eye, axis: int, **parameters: float) -> float:
    """By how much the network moves an iris along an axis, pixels."""
    field = poser.face_shift(expression_pose(parameters)[None])[0, ..., axis]
    x, y = eye.middle
    rows = slice(round(y - eye.height / 2), round(y + eye.height / 2) + 1)
    columns = slice(round(x - eye.width / 2), round(x + eye.width / 2) + 1)
    values = np.sort(np.asarray(field[rows, columns]).ravel())
    # The iris is what moves most; the white beside it hardly does.
    quarter = len(values) // 4
    ends = values[:quarter], values[-quarter:]
    return float(np.median(max(ends, key=lambda end: abs(np.median(end)))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("portraits", nargs="+")
    parser.add_argument("--weights", help="a folder to look for the weights in first")
    arguments = parser.parse_args()
    fields = [field.name for field in dataclasses.fields(Calibration)]
    print(f"{'degrees by one unit':28}", *(f"{name[:-4]:>7}" for name in fields))
    params = read_params(locate(WEIGHTS, arguments.weights, fetch=True))
    rows = []
    for portrait in arguments.portraits:
        poser = Poser(params, to_linear(read_character(portrait)))
        try:
            measured = calibrate(poser)
        except GazeheadError as error:
            print(f"{portrait}: {error}")
            continue
        rows.append([getattr(measured, name) for name in fields])
        print(f"{portrait[-28:]:28}", *(f"{value:7.1f}" for value in rows[-1]))
    if len(rows) > 1:
        for label, values in (
            ("mean", np.mean(rows, 0)),
            ("deviation", np.std(rows, 0)),
        ):
            print(f"{label:28}", *(f"{value:7.1f}" for value in values))


if __name__ == "__main__":
    main()
