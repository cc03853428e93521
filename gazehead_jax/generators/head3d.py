"""The lit 3-D head as a generator: no weights, no portrait, real time."""

import dataclasses
import itertools
import re
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.generators.generator import Reach
from gazehead_jax.head3d import (
    ANATOMICAL_IRIS,
    CENTRE,
    DISTANCE,
    HALF_VIEW,
    Look,
    View,
    groomed_head,
    make_renderer,
)
from gazehead_jax.video import read_video

MAX_SIZE = 1024


@dataclasses.dataclass(frozen=True)
class Camera:
    """Where the head is seen from. Angles of a motion stay those of a camera before the
    person: who looks into that camera is seen from here to look past this one.

    Attributes:
      fov: field of view from edge to edge, radians; by default such that the head fills
        the picture as it does at 2 m.
      distance: metres to the middle between the eyes; by default such that the head
        fills the picture, or 2.
      yaw, pitch: where the camera stands, radians about the head: yaw + from the image's
        left, pitch + from above.

    Raises:
      GazeheadError: a value out of range.
    """

    fov: float | None = None
    distance: float | None = None
    yaw: float = 0.0
    pitch: float = 0.0

    def __post_init__(self):
        for name, low, high, unit in (
            ("fov", 1.0, 120.0, "°"),
            ("distance", 0.4, 50.0, "m"),
            ("yaw", -180.0, 180.0, "°"),
            ("pitch", -90.0, 90.0, "°"),
        ):
            value = getattr(self, name)
            if value is not None:
                value = value if unit == "m" else np.rad2deg(value)
                require(
                    bool(low - 1e-6 <= value <= high + 1e-6),
                    f"the camera's {name} must be {low:g} to {high:g} {unit}, got "
                    f"{value:g}.",
                )

    @property
    def view(self) -> View:
        half = None if self.fov is None else np.tan(self.fov / 2)
        away = self.distance or (
            DISTANCE if half is None else float(np.clip(HALF_VIEW / half, 0.4, 50))
        )
        focal = away / HALF_VIEW if half is None else 1 / half
        place = tuple((np.array([0, 0, away]) - CENTRE).tolist())
        return View(float(focal), place, (self.pitch, self.yaw))


def parse_camera(text: str) -> Camera:
    """ "fov=30,distance=0.6,yaw=20,pitch=5" (degrees, metres) → a camera.

    Raises:
      GazeheadError: another term, one that comes twice, or a value that cannot be.
    """
    names, values = ("fov", "distance", "yaw", "pitch"), {}
    for term in text.split(","):
        name, _, number = (part.strip() for part in term.partition("="))
        try:
            value = float(number)
        except ValueError:
            value = None
        require(
            name in names and name not in values and value is not None,
            "a camera is any of fov=DEGREES, distance=METRES, yaw=DEGREES and "
            f"pitch=DEGREES, each once, joined by commas; got {text!r}.",
        )
        values[name] = value if name == "distance" else float(np.deg2rad(value))
    return Camera(**values)


def read_background(text: str | Path) -> Float[np.ndarray, "h w 3"]:
    """A colour "#rrggbb", or the picture in an image file, sRGB 0 to 1.

    Raises:
      GazeheadError: neither a colour nor an image that can be read.
    """
    if re.fullmatch(r"#[0-9a-fA-F]{6}", str(text)):
        colour = np.frombuffer(bytes.fromhex(str(text)[1:]), np.uint8)
        return np.float32(colour[None, None] / 255)
    path = Path(text)
    require(
        path.is_file(),
        f"{text}: a background is a colour as #rrggbb or an image file, and there is "
        "no such file.",
    )
    try:
        ((_, picture),) = itertools.islice(read_video(path), 1)
    except GazeheadError as error:
        raise GazeheadError(
            f"{path}: a background is a colour as #rrggbb or an image file, and this "
            "file cannot be read as an image; give a whole .png or .jpg."
        ) from error
    return np.float32(picture) / 255


class Head3dGenerator:
    """Draws `gazehead_jax.head3d`; see `Generator` for the attributes.

    Args:
      size: edge of the square picture, pixels; even, 64 to 1024 (at 2 samples per pixel
        and axis to about 800).
      supersample: samples per pixel and axis: 1 is about three times as fast as 2, with
        jagged outlines.
      camera: where the head is seen from.
      background: a colour or an image file; see `read_background`.

    Raises:
      GazeheadError: size or supersample out of range, or as `read_background`.
    """

    name = "head3d"
    licence = "head3d: code Apache-2.0, head CC0 1.0 (MakeHuman)"
    photo_real = False
    # Beyond a person's own: eyes turn 45 to 55°, heads 80° on their necks.
    reach = Reach(*np.deg2rad([45.0, 60.0, 75.0, 120.0, 60.0]).tolist())
    batch = 8

    def __init__(
        self,
        *,
        size: int = 256,
        supersample: int = 2,
        camera: Camera = Camera(),
        background: str | Path | None = None,
    ):
        require(
            isinstance(size, int) and 64 <= size <= MAX_SIZE and size % 2 == 0,
            f"size must be an even number of pixels, 64 to {MAX_SIZE}, got {size!r}.",
        )
        require(
            supersample in (1, 2, 3),
            f"supersample must be 1, 2 or 3, got {supersample!r}.",
        )
        self.size = (size, size)
        if background is None:
            self._renderer = _renderer(size, supersample, camera)
        else:
            self._renderer = make_renderer(
                size,
                supersample=supersample,
                mesh=groomed_head(),
                view=camera.view,
                look=_look(),
                background=read_background(background),
            )

    def draw(
        self,
        gaze: Float[np.ndarray, "n 2"],
        head: Float[np.ndarray, "n 3"],
        shut: Float[np.ndarray, " n"],
    ) -> UInt8[np.ndarray, "n height width 3"]:
        """RGB pictures; see `Generator.draw`."""
        return np.asarray(self._renderer(gaze, head, shut))


@lru_cache(maxsize=2)
def _renderer(size: int, supersample: int, camera: Camera):
    return make_renderer(
        size,
        supersample=supersample,
        mesh=groomed_head(),
        view=camera.view,
        look=_look(),
    )


def _look() -> Look:
    """Eyes of people's size, and all detail."""
    eyeball = groomed_head().anatomical_eyeball
    return Look(eyeball=eyeball, iris=ANATOMICAL_IRIS, pupil=0.24, detail=1.0)
