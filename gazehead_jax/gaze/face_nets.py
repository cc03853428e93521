"""Gaze by networks that look at the whole face, with weights that users bring.

Each estimator reads a published checkpoint. All were trained on data whose licence is
non-commercial, so none is used unless asked for.

What the networks tell, in this project's convention (see `motion`):

- ETH-XGaze and UniGaze: (pitch, yaw) of −gaze in the normalised space, written with
  v = (cos p sin y, sin p, cos p cos y). That is `motion.angles_to_vector` of the gaze
  itself: the same signs.
- L2CS-Net, trained on Gaze360: the expectation over bins of 4° from −180°. Gaze360's
  v = (cos p sin y, sin p, −cos p cos y) has x to the left and y up: the same signs. The
  network returns (yaw, pitch), but its published pipeline unpacks it as (pitch, yaw),
  so what that calls pitch is yaw. The layers' names `fc_yaw_gaze` and `fc_pitch_gaze`
  are right: `draw_gaze` draws the first sideways, and the training labels are [yaw,
  pitch].

The true weights were not at hand: architectures, layouts and signs follow from the
published source, and accuracy was not measured. L2CS's crop is the least certain: it
was trained on dlib's boxes made square and is published with RetinaFace's boxes
stretched to squares; here it is the square about the mesh.
"""

import os
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from gazehead_jax.errors import require
from gazehead_jax.gaze.estimator import CHUNK, FaceFrames
from gazehead_jax.gaze.normalise import (
    NormalisedSpace,
    Space,
    SquareSpace,
    cut,
    sample,
    to_camera,
)
from gazehead_jax.gaze.resnet import (
    L2CS_BINS,
    Params,
    ResNetGaze,
    l2cs_from_torch,
    xgaze_from_torch,
)
from gazehead_jax.gaze.vit import UNIGAZE, ViTGaze, unigaze_from_torch
from gazehead_jax.torch_file import read_state

BIN = np.deg2rad(4.0)  # of L2CS-Net
FIRST_BIN = np.deg2rad(-180.0)


class FaceNet:
    """A network that sees a face and tells gaze; a `GazeEstimator`.

    Args:
      name, licence: of the estimator.
      space: of its crops.
      network: takes crops `[b, size, size, 3]`.
      params: its parameters.
      decode: its outputs → (pitch, yaw) in the space's frame, radians.
    """

    width = 2

    def __init__(
        self,
        name: str,
        licence: str,
        space: Space,
        network: nn.Module,
        params: Params,
        decode: Callable[[jax.Array], jax.Array] = lambda outputs: outputs,
    ):
        self.name, self.licence = name, licence
        self._space = space
        self._params = jax.device_put(params)

        def gaze(params, pictures, maps):
            crops = sample(pictures, maps, space.size)
            return decode(network.apply({"params": params}, crops))

        self._gaze = jax.jit(gaze)

    def measure(self, frames: FaceFrames) -> Float[np.ndarray, "n 2"]:
        """(pitch, yaw) in the camera frame, radians, of up to `CHUNK` frames."""
        n = len(frames)
        require(n <= CHUNK, f"frames are measured up to {CHUNK} at a time, got {n}.")
        size = self._space.size
        rotation, warps = self._space.place(frames.fit, frames.landmarks, frames.camera)
        pictures = np.zeros((CHUNK, 2 * size, 2 * size, 3), np.uint8)
        maps = np.tile(np.eye(3, dtype=np.float32), (CHUNK, 1, 1))
        for i, (image, warp) in enumerate(zip(frames.images, warps, strict=True)):
            pictures[i], maps[i] = cut(image, warp, size)
        gaze = np.asarray(self._gaze(self._params, pictures, maps), np.float64)
        return to_camera(gaze[:n], rotation)

    def resolve(
        self,
        measured: Float[np.ndarray, "t 2"],
        head: Float[np.ndarray, "t 3"],
        open_eyes: Bool[np.ndarray, " t"],
    ) -> Float[np.ndarray, "t 2"]:
        """What was measured: the network does not calibrate itself to the person."""
        return measured


class XGazeEstimator(FaceNet):
    """ETH-XGaze's ResNet-50 (`epoch_24_ckpt.pth.tar`).

    Raises:
      GazeheadError: the file is not that checkpoint.
    """

    def __init__(self, weights: str | os.PathLike):
        super().__init__(
            "xgaze",
            "CC BY-NC-SA 4.0, non-commercial (ETH-XGaze)",
            NormalisedSpace(),
            ResNetGaze(2, dtype=fast_dtype()),
            xgaze_from_torch(read_state(weights)),
        )


class L2csEstimator(FaceNet):
    """L2CS-Net's ResNet-50 for Gaze360 (`L2CSNet_gaze360.pkl`).

    Raises:
      GazeheadError: the file is not that checkpoint.
    """

    def __init__(self, weights: str | os.PathLike):
        super().__init__(
            "l2cs",
            "code MIT; trained on Gaze360, whose licence is for research only",
            SquareSpace(),
            ResNetGaze(2 * L2CS_BINS, dtype=fast_dtype()),
            l2cs_from_torch(read_state(weights)),
            expected_angles,
        )


class UniGazeEstimator(FaceNet):
    """UniGaze's ViT (`unigaze_b16_joint`, …; `.safetensors` or `.pth.tar`).

    Args:
      weights: the file.
      variant: "b", "l" or "h".

    Raises:
      GazeheadError: the file is not that checkpoint, or there is no such variant.
    """

    def __init__(self, weights: str | os.PathLike, variant: str = "b"):
        require(
            variant in UNIGAZE,
            f"a UniGaze variant is one of {', '.join(UNIGAZE)}; got {variant!r}.",
        )
        super().__init__(
            "unigaze",
            "MG-NC-RAI 2.0, non-commercial (UniGaze)",
            NormalisedSpace(),
            ViTGaze(UNIGAZE[variant], dtype=fast_dtype()),
            unigaze_from_torch(read_state(weights), UNIGAZE[variant]),
        )


def expected_angles(logits: Float[jax.Array, "b 180"]) -> Float[jax.Array, "b 2"]:
    """(pitch, yaw) in radians of L2CS-Net's bins: yaw's, then pitch's."""
    share = jax.nn.softmax(logits.reshape(-1, 2, L2CS_BINS))
    bins = jnp.arange(L2CS_BINS) * BIN + FIRST_BIN
    return (share * bins[None, None]).sum(-1)[:, ::-1]


def fast_dtype():
    """bfloat16 where it is faster than float32, that is not on a CPU."""
    return jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16
