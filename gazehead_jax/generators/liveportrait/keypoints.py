"""Implicit keypoints: where LivePortrait puts them, and how head and eyes move them.

Keypoints live in a frame of their own: x right, y down, z away from the camera, the crop's
edges at −1 and 1. Those are the axes of `motion`, so a head turns them by the same matrix:

    x = scale · (R canonical + expression) + (t_x, t_y, 0)

LivePortrait's own angles are degrees of R = Rz(roll) Ry(yaw) Rx(pitch) (it multiplies rows
by the transpose). There yaw and roll have the signs of `motion` near the front and pitch
the opposite one: + is down. Evidence besides the formula: in the eight motion templates
of its authors with the most motion, a face that pitches by +1° sinks by .002 to .009 (r .47
to .98), and with more than 1° (s.d.) of yaw a face of + yaw goes to the image's left (r
−.96, −.92, −.54; +.12 in one that mostly nods).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from gazehead_jax.motion import matrix_to_head

Array = np.ndarray | jax.Array

# A unit of the eye sliders of the authors' demo, in keypoint coordinates: sideways the eye
# on the side to which they turn moves less. Up and down, what they do to eyes and lids in
# two steps is written as one.
LEFT, RIGHT = 11, 15  # keypoints of the eyes, left and right in the image
LIDS = (13, 16)
SIDEWAYS_TOWARDS, SIDEWAYS_AWAY = 0.0007, 0.001
UP_EYE, UP_LID = -0.0005, -0.00015
# Slider units for a degree, (pitch, yaw). Not calibrated: the weights were not at hand. If
# keypoints 11 and 15 went with the irises, an eyeball of 12 mm radius in a crop 32 cm wide
# would move them by .0013 a degree; a unit moves them by .00085 × scale sideways and by
# .0005 × scale up.
UNITS_PER_DEGREE = (2.0, 1.0)


def expected_degrees(logits: Float[jax.Array, "b bins"]) -> Float[jax.Array, " b"]:
    """Degrees of the motion extractor's bins of 3°, the first about −97.5°."""
    bins = jnp.arange(logits.shape[-1], dtype=jnp.float32)
    return 3 * (jax.nn.softmax(logits) @ bins) - 97.5


def rotation_from_degrees(
    degrees: Float[Array, "*b 3"],
) -> Float[Array, "*b 3 3"]:
    """Rotations head → camera of LivePortrait's (pitch, yaw, roll) in degrees.

    Its own matrices, for rows, are the transposes.
    """
    xp = degrees.__array_namespace__()
    angles = degrees * (np.pi / 180)
    sx, sy, sz = (xp.sin(angles[..., i]) for i in range(3))
    cx, cy, cz = (xp.cos(angles[..., i]) for i in range(3))
    # Rz Ry Rx, written out.
    rows = [
        [cy * cz, sx * sy * cz - cx * sz, cx * sy * cz + sx * sz],
        [cy * sz, sx * sy * sz + cx * cz, cx * sy * sz - sx * cz],
        [-sy, sx * cy, cx * cy],
    ]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def head_from_degrees(degrees: Float[Array, "*b 3"]) -> Float[Array, "*b 3"]:
    """`motion`'s head (pitch, yaw, roll) in radians of LivePortrait's in degrees."""
    return matrix_to_head(rotation_from_degrees(degrees))


def place(
    canonical: Float[jax.Array, "b k 3"],
    rotation: Float[jax.Array, "b 3 3"],
    expression: Float[jax.Array, "b k 3"],
    scale: Float[jax.Array, "b 1"],
    translation: Float[jax.Array, "b 3"],
) -> Float[jax.Array, "b k 3"]:
    """Keypoints of a head turned by `rotation` (head → camera)."""
    turned = jnp.einsum("bij,bkj->bki", rotation, canonical)
    flat = translation * jnp.array([[1.0, 1.0, 0.0]])
    return scale[..., None] * (turned + expression) + flat[:, None]


def eyes_moved(
    right: Float[jax.Array, " b"], up: Float[jax.Array, " b"], keypoints: int = 21
) -> Float[jax.Array, "b k 3"]:
    """What to add to the expression so that the eyes move, in units of the demo's sliders.

    Args:
      right: to the image's right; the demo offers −30 to 30.
      up: the demo offers −63 to 63.
    """
    right, up = right[:, None], up[:, None]
    left_eye = right * jnp.where(right > 0, SIDEWAYS_TOWARDS, SIDEWAYS_AWAY)
    right_eye = right * jnp.where(right > 0, SIDEWAYS_AWAY, SIDEWAYS_TOWARDS)
    moved = jnp.zeros((len(right), keypoints, 3))
    moved = moved.at[:, LEFT, 0].set(left_eye[:, 0])
    moved = moved.at[:, RIGHT, 0].set(right_eye[:, 0])
    moved = moved.at[:, jnp.array([LEFT, RIGHT]), 1].set(up * UP_EYE)
    return moved.at[:, jnp.array(LIDS), 1].set(up * UP_LID)
