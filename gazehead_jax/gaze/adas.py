"""Gaze from pictures of the two eyes: gaze-estimation-adas-0002 (Open Model Zoo) in Flax.

The net sees both eyes, 60 × 60 BGR, upright, and the head's angles. Its conventions, as
its documentation and Open Model Zoo's demo have them, were checked on 39 real clips
against its sister head-pose-estimation-adas-0001 (run on the same frames) and against the
iris estimator:

- "left" is the subject's own left eye. Swapped, yaw is off by 3.5° instead of .6°.
- The head is (yaw, pitch, roll) in degrees with yaw + to the image's right and pitch +
  down: the sister's yaw, pitch and roll correlate by -.95, -.83 and +.91 with ours,
  slopes -1.01, -1.07 and +.88. Roll is 0 as the eyes are upright.
- Gaze is x to the image's right, y up and z away from the camera, of any length, in the
  frame of a camera that is turned to the eyes.
- A crop is 1.8 times as wide as the eye; from 1.4 to 2.2 the agreement with the iris
  changes little.

No calibration. On the 20 clips whose eyes turn most, eye-in-head yaw correlates by .93
with that of the iris (spread .96 times as wide, .5° apart), pitch by .79 (1.03, -.2°);
medians over clips. Where the iris shows eyes that turn against the head as if they kept
looking at one thing (r < -.8), gaze should not turn with the head at all: its slope over
the head's is .08 in yaw (12 clips) and -.09 in pitch (14); told that the head faces the
camera the net gives -.59 and -.29, and the iris -.41 and -.37.
"""

from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from gazehead_jax.errors import require
from gazehead_jax.face_geometry import LEFT_EYE, RIGHT_EYE, Camera, HeadFit
from gazehead_jax.gaze.estimator import FaceFrames
from gazehead_jax.gaze.face_crops import (
    head_slope,
    rolled,
    sample,
    square_corners,
    turned,
)
from gazehead_jax.gaze.openvino_flax import (
    Affine,
    Conversion,
    Step,
    conv,
    dense,
    in_batches,
    run,
)
from gazehead_jax.gaze.openvino_ir import Graph, read_ir
from gazehead_jax.motion import head_to_matrix, matrix_to_head, vector_to_angles

NAME = "gaze-estimation-adas-0002"
SIZE = 60
CROP_PER_EYE = 1.8


def _eye(side: str) -> list[Step]:
    """Each eye has parameters of its own."""
    return [
        Affine(name=f"{side}_pixels"),
        conv(f"{side}_conv1", 32),
        nn.relu,
        Affine(name=f"{side}_norm1"),
        conv(f"{side}_down1", 16, stride=2),
        conv(f"{side}_conv2", 64),
        nn.relu,
        Affine(name=f"{side}_norm2"),
        conv(f"{side}_down2", 32, stride=2),
    ]


def _both_eyes() -> list[Step]:
    return [
        conv("conv3", 128),
        nn.relu,
        Affine(name="norm3"),
        conv("down3", 64, stride=2),
        conv("conv4", 128),
        nn.relu,
        Affine(name="norm4"),
        conv("down4", 64, stride=2, padding=0),
        conv("conv5", 256),
        nn.relu,
        Affine(name="norm5"),
        conv("conv6", 512, padding=0),
    ]


def _eyes_and_head() -> list[Step]:
    return [
        dense("dense1", 320),
        nn.relu,
        dense("dense2", 80),
        nn.relu,
        Affine(name="norm6"),
        dense("dense3", 3),
    ]


class GazeNet(nn.Module):
    """Eyes `[b, 60, 60, 3]` BGR, 0 to 255, and head `[b, 3]` in degrees to gaze `[b, 3]`."""

    @nn.compact
    def __call__(
        self,
        left: Float[jax.Array, "b 60 60 3"],
        right: Float[jax.Array, "b 60 60 3"],
        yaw_pitch_roll_deg: Float[jax.Array, "b 3"],
    ) -> Float[jax.Array, "b 3"]:
        eyes = [run(_eye("left"), left), run(_eye("right"), right)]
        seen = run(_both_eyes(), jnp.concatenate(eyes, -1))[:, 0, 0]
        return run(_eyes_and_head(), jnp.concatenate([seen, yaw_pitch_roll_deg], -1))


def convert(graph: Graph) -> dict:
    """The parameters of `GazeNet`; every constant of the graph is among them.

    Raises:
      GazeheadError: the graph is not that of gaze-estimation-adas-0002.
    """
    taken = Conversion(graph)
    left, right = (
        taken.follow(_eye(side), graph.named(f"{side}_eye_image", "Parameter"))
        for side in ("left", "right")
    )
    eyes = taken.follow(_both_eyes(), taken.concat(left, right))
    head = taken.follow([], graph.named("head_pose_angles", "Parameter"))
    taken.result(taken.follow(_eyes_and_head(), taken.concat(eyes, head)), 3)
    eye = jnp.zeros((1, SIZE, SIZE, 3))
    return taken.finish(GazeNet(), eye, eye, jnp.zeros((1, 3)))


class AdasEstimator:
    """An appearance-based estimator that may be used for any purpose.

    Args:
      folder: holds gaze-estimation-adas-0002.xml and .bin.
      head_input: what the net is told of the head: "mesh", its angles from the landmarks,
        or "zero", that it faces the camera. Only for asking how much of the coupling of
        gaze and head comes in by this way.

    Raises:
      GazeheadError: the files are missing or of another network.
    """

    name = "adas"
    licence = "Apache-2.0 (Open Model Zoo's gaze-estimation-adas-0002)"
    width = 2

    def __init__(self, folder: Path, *, head_input: str = "mesh"):
        require(
            head_input in ("mesh", "zero"),
            f"head_input must be 'mesh' or 'zero', got {head_input!r}.",
        )
        self._told = float(head_input == "mesh")
        self._params = jax.device_put(convert(read_ir(Path(folder) / f"{NAME}.xml")))
        self._net = jax.jit(GazeNet().apply)

    def measure(self, frames: FaceFrames) -> Float[np.ndarray, "n 2"]:
        """Gaze (pitch, yaw) in the camera frame, radians; NaN if an eye is out of frame."""
        fit = frames.fit
        roll = rolled(head_slope(fit))
        corners = eye_corners(fit, frames.camera)
        eyes = np.array(
            [
                [sample(image, *eye, SIZE) for eye in both]
                for image, both in zip(frames.images, corners, strict=True)
            ]
        ).reshape(-1, 2, SIZE, SIZE, 3)
        right, left = np.moveaxis(eyes[..., ::-1], 1, 0)
        # The head as that camera sees it which took the crops: it has no roll.
        head = matrix_to_head(roll.transpose(0, 2, 1) @ fit.seen)
        told = np.rad2deg(head[:, [1, 0, 2]]) * [-1, -1, 0] * self._told
        look = in_batches(self._net, self._params, left, right, told) * [1, -1, 1]
        turn = turned(fit) @ _face_to_eyes(fit, frames.camera) @ roll
        gaze = vector_to_angles(np.einsum("nij,nj->ni", turn, look))
        middle = (corners[:, :, 1] + corners[:, :, 2]) / 2
        size = [frames.camera.width, frames.camera.height]
        inside = ((middle >= 0) & (middle <= size)).all((1, 2))
        return np.where(inside[:, None], gaze, np.nan)

    def resolve(
        self,
        measured: Float[np.ndarray, "t 2"],
        head: Float[np.ndarray, "t 3"],
        open_eyes: Bool[np.ndarray, " t"],
    ) -> Float[np.ndarray, "t 2"]:
        """What was measured."""
        return measured


def _face_to_eyes(fit: HeadFit, camera: Camera) -> Float[np.ndarray, "t 3 3"]:
    """Rotations frame of the camera turned to the eyes → that turned to the face.

    Some 2°: eyes that look into the camera look down a little if the face, whose middle
    is on the nose, is level with it.
    """
    x, y = fit.landmarks[:, [*RIGHT_EYE, *LEFT_EYE], :2].mean(1).T
    zero = np.zeros_like(x)
    # A head that looks from the eyes into the camera has its back along the ray.
    look = vector_to_angles(-np.stack([x, y, zero + camera.focal_px], -1))
    return head_to_matrix(np.column_stack([look, zero]))


def eye_corners(fit: HeadFit, camera: Camera) -> Float[np.ndarray, "t 2 3 2"]:
    """Squares about the subject's right and left eye, see `square_corners`."""
    squares = []
    for eye in (RIGHT_EYE, LEFT_EYE):
        ends = fit.landmarks[:, eye, :2]
        side = CROP_PER_EYE * np.linalg.norm(ends[:, 1] - ends[:, 0], axis=-1)
        squares.append(square_corners(fit, camera, ends.mean(1), side, head_slope(fit)))
    return np.stack(squares, axis=1)
