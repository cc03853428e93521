"""What a picture of the head needs to be told: camera, colours, and where its parts are."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gazehead_jax import motion

DISTANCE = 2.0  # metres from the camera to the middle between the eyes
IN_FRONT, BEHIND = 0.22, 0.34  # room in depth about the eyes, metres
SIDEWAYS = 0.38  # the same where shoulders may point to the camera
HALF_VIEW = 0.145  # metres at DISTANCE from the image's middle to its edge
AXIS = np.float32([0.0, 0.0, 0.08])  # what a camera stands around, head axes
CENTRE = np.float32([0.0, 0.022, 0.0])  # what the image's middle shows, head axes

SCLERA = (0.93, 0.91, 0.89)


@dataclasses.dataclass(frozen=True)
class View:
    """A camera and where the person is.

    Attributes:
      focal: focal length in halves of the picture's edge.
      place: the middle between the eyes of a head at rest, camera frame, metres.
      towards: (pitch, yaw) in radians of the direction from the head in which the camera
        stands, seen from a camera before the person: the whole person is seen from there,
        while angles stay those of the camera before it.
    """

    focal: float = DISTANCE / HALF_VIEW
    place: tuple[float, float, float] = tuple((np.array([0, 0, 2]) - CENTRE).tolist())
    towards: tuple[float, float] = (0.0, 0.0)

    @property
    def near(self) -> float:
        return self.place[2] - (SIDEWAYS if any(self.towards) else IN_FRONT)

    @property
    def far(self) -> float:
        return self.place[2] + (SIDEWAYS if any(self.towards) else BEHIND)

    @property
    def turn(self) -> np.ndarray:
        """`[3, 3]` from the axes of a camera before the person to this camera's."""
        return motion.head_to_matrix(np.float32([*self.towards, 0])).T


@dataclasses.dataclass(frozen=True)
class Look:
    """Colours (sRGB, 0 to 1), irises and light.

    Attributes:
      skin, lips, hair, cloth, iris_colour: colours.
      eyeball: radius of the sphere that carries the iris, in radii of the sphere that
        the lids lie on; it touches that sphere at the front, and its centre is where
        the eye turns about. The mesh's eyes are larger than people's, to be read in a
        small picture; where the true size matters, see `HeadMesh.anatomical_eyeball`.
      iris, pupil: radians from their middle to their edge, seen from the eyeball's
        centre.
      key: the direction that the light comes from, camera frame.
      detail: 1 draws what makes a face look alive, blood in the skin, strands of hair,
        fibres of the iris, lashes; 0 leaves them out, as pictures that are measured do.
    """

    skin: tuple[float, float, float] = (0.83, 0.66, 0.575)
    lips: tuple[float, float, float] = (0.72, 0.42, 0.40)
    hair: tuple[float, float, float] = (0.25, 0.185, 0.15)
    cloth: tuple[float, float, float] = (0.30, 0.37, 0.45)
    iris_colour: tuple[float, float, float] = (0.25, 0.42, 0.50)
    eyeball: float = 1.0
    iris: float = float(np.deg2rad(26.0))
    pupil: float = float(np.deg2rad(11.0))
    key: tuple[float, float, float] = (-0.42, -0.55, -0.72)
    detail: float = 0.0

    @property
    def light(self) -> np.ndarray:
        """`[3]` unit vector towards the light."""
        return np.float32(self.key) / np.float32(np.linalg.norm(self.key))


# The defaults.
FRONT, PLAIN = View(), Look()


@dataclasses.dataclass(frozen=True, eq=False)
class Pose:
    """Where the parts of the head are, camera frame, metres.

    Attributes:
      points: `[v, 3]` vertices.
      normals: `[v, 3]` unit normals.
      eyes: `[2, 3]` centres of the eyeballs, image-left first when the head is still.
      forward: `[3]` unit vector along which both eyeballs point.
      front: `[3]` the head's own front.
      up: `[3]` the head's own up.
    """

    points: jax.Array
    normals: jax.Array
    eyes: jax.Array
    forward: jax.Array
    front: jax.Array
    up: jax.Array


jax.tree_util.register_dataclass(Pose)


def linear(colour) -> np.ndarray:
    return np.asarray(colour, np.float32) ** 2.2


def halfway(look: Look) -> np.ndarray:
    """`[3]` the normal that mirrors the light into the camera."""
    half = look.light + np.float32([0, 0, -1])
    return half / np.linalg.norm(half)


def project(
    points: Float[Array, "*n 3"],
    size: int,
    view: View = FRONT,
) -> Float[Array, "*n 3"]:
    """Camera-frame points to (x, y) in pixels, centres at +0.5, and inverse depth."""
    inverse = 1 / points[..., 2]
    focal = size / 2 * view.focal
    xy = points[..., :2] * (focal * inverse)[..., None] + size / 2
    return jnp.concatenate([xy, inverse[..., None]], axis=-1)
