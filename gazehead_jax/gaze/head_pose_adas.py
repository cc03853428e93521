"""Head pose from a picture of the face: head-pose-estimation-adas-0001 in Flax.

It shares nothing with the landmark mesh but the box about it in the picture. So it can
tell whether a coupling of gaze and head is the person's or the landmarks'. Motions are
not made with it: Open Model Zoo gives it errors of 5° per axis.

The net's angles are degrees: yaw + to the image's right, pitch + down, roll + clockwise.
"""

from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from gazehead_jax.gaze.estimator import FaceFrames
from gazehead_jax.gaze.face_crops import sample, square_corners, turned
from gazehead_jax.gaze.openvino_flax import (
    Affine,
    Conversion,
    Step,
    conv,
    dense,
    flatten,
    in_batches,
    max_pool,
    run,
)
from gazehead_jax.gaze.openvino_ir import Graph, read_ir
from gazehead_jax.motion import head_to_matrix, matrix_to_head

NAME = "head-pose-estimation-adas-0001"
SIZE = 60
# The net reads yaw off the face's place in its crop, too (centred on the rigid points
# instead, yaw came out .57 times as wide), so the crop must lie as Open Model Zoo's demo
# lays it about the box of face-detection-retail-0004. In heights of the landmarks' box
# that square is 1.32 wide and .03 higher up (medians of 39 clips; between clips ± .05, .01).
CROP_PER_FACE = 1.32
CROP_UP = 0.03


def _face() -> list[Step]:
    return [
        Affine(name="pixels"),
        conv("conv1", 32),
        nn.relu,
        Affine(name="norm1"),
        conv("down1", 16, stride=2),
        conv("conv2", 64),
        nn.relu,
        Affine(name="norm2"),
        max_pool,
        conv("conv3", 128),
        nn.relu,
        Affine(name="norm3"),
        conv("down3", 64, stride=2),
        conv("conv4", 128),
        nn.relu,
        Affine(name="norm4"),
        max_pool,
        conv("conv5", 256),
        nn.relu,
        Affine(name="norm5"),
        conv("conv6", 512, padding=0),
    ]


def _angle(name: str) -> list[Step]:
    steps = [conv(f"{name}_conv", 128, size=1, padding=0), nn.relu]
    # Roll's batch norm comes before the ReLU and is part of its convolution.
    norm = [] if name == "roll" else [Affine(name=f"{name}_norm")]
    return steps + norm + [flatten, dense(f"{name}_dense", 1)]


class HeadPoseNet(nn.Module):
    """Faces `[b, 60, 60, 3]` BGR, 0 to 255, to (pitch, yaw, roll) `[b, 3]` in degrees."""

    @nn.compact
    def __call__(self, face: Float[jax.Array, "b 60 60 3"]) -> Float[jax.Array, "b 3"]:
        seen = run(_face(), face)
        angles = [run(_angle(name), seen) for name in ("pitch", "yaw", "roll")]
        return jnp.concatenate(angles, -1)


def convert(graph: Graph) -> dict:
    """The parameters of `HeadPoseNet`; every constant of the graph is among them.

    Raises:
      GazeheadError: the graph is not that of head-pose-estimation-adas-0001.
    """
    taken = Conversion(graph)
    seen = taken.follow(_face(), graph.named("data", "Parameter"))
    for name in ("pitch", "yaw", "roll"):
        first = f"angle_{name[0]}/WithoutBiases"
        taken.result(taken.branch(_angle(name), seen, first), 1)
    return taken.finish(HeadPoseNet(), jnp.zeros((1, SIZE, SIZE, 3)))


class HeadPoseAdas:
    """A head pose that knows nothing of the landmarks' shape.

    Args:
      folder: holds head-pose-estimation-adas-0001.xml and .bin.

    Raises:
      GazeheadError: the files are missing or of another network.
    """

    licence = "Apache-2.0 (Open Model Zoo's head-pose-estimation-adas-0001)"

    def __init__(self, folder: Path):
        self._params = jax.device_put(convert(read_ir(Path(folder) / f"{NAME}.xml")))
        self._net = jax.jit(HeadPoseNet().apply)

    def measure(self, frames: FaceFrames) -> Float[np.ndarray, "n 3"]:
        """Head (pitch, yaw, roll) in the camera frame, radians."""
        fit = frames.fit
        level = np.zeros(len(frames))
        low, high = (f(fit.landmarks[..., :2], axis=1) for f in (np.min, np.max))
        height = (high - low)[:, 1]
        middle = (low + high) / 2 - height[:, None] * [0, CROP_UP]
        side = CROP_PER_FACE * height
        corners = square_corners(fit, frames.camera, middle, side, level)
        faces = np.array(
            [
                sample(image, *square, SIZE)[..., ::-1]
                for image, square in zip(frames.images, corners, strict=True)
            ]
        ).reshape(-1, SIZE, SIZE, 3)
        net = in_batches(self._net, self._params, faces)
        seen = head_to_matrix(np.deg2rad(net) * [-1, -1, 1])
        return matrix_to_head(turned(fit) @ seen)
