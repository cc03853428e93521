"""A face patch that looks and turns as it is told: ST-ED behind `Generator`."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from gazehead_jax.errors import require
from gazehead_jax.generators.generator import Reach
from gazehead_jax.generators.portraits import read_portrait
from gazehead_jax.generators.sted import patch
from gazehead_jax.generators.sted.conversion import GROWTH, from_torch
from gazehead_jax.generators.sted.decoder import Decoder
from gazehead_jax.generators.sted.encoder import Encoder
from gazehead_jax.generators.sted.latents import Latents, straightened, turned
from gazehead_jax.torch_file import read_state
from gazehead_jax.weight_catalogue import WEIGHTS
from gazehead_jax.weights import locate

LATENTS = Latents()


class StedGenerator:
    """The network of Zheng et al. 2020, which the paper on head motion drew with.

    It draws the 128² face patch that it was trained on, equalised in brightness, not a
    portrait: no hair, no shoulders, and the picture's own rest is not put back. The
    camera is the one that looks straight at the face. Roll and blinks are not honoured.

    Attributes:
      source_gaze, source_head: what the encoder takes the portrait's own to be,
        (pitch, yaw) and (pitch, yaw, 0), radians.

    The rest is as in `Generator`.
    """

    name = "sted"
    licence = WEIGHTS["sted"].terms
    photo_real = True
    size = (patch.SIZE, patch.SIZE)
    # Not measured: the published weights were not at hand. The authors' own walks turn
    # head and gaze by .6.
    reach = Reach(
        eye_pitch=0.35, eye_yaw=0.45, head_pitch=0.6, head_yaw=0.6, head_roll=0.0
    )

    def __init__(
        self,
        portrait: str | Path | UInt8[np.ndarray, "h w 3"],
        weights: str | Path | None = None,
        *,
        landmarks: Float[np.ndarray, "faces 478 3"] | None = None,
        batch: int = 8,
        dtype: Any = jnp.float32,
    ):
        """
        Args:
          portrait: a picture, or the path of one.
          weights: folder that is looked through first for the weights "sted", see
            `gazehead_jax.weights`.
          landmarks: of all faces in the picture, in pixels, as
            `portraits.find_faces` finds them. Without them the picture must
            be such a patch already: 128², not yet equalised.
          batch: frames at once.
          dtype: of the decoder's convolutions.

        Raises:
          GazeheadError: the picture cannot be read, has not one whole face, or is no
            patch and comes without landmarks; the weights are missing, broken or of
            another network.
        """
        require(batch >= 1, f"batch must be 1 frame or more, got {batch}.")
        face = patch.as_input(patch.equalised(_face(portrait, landmarks)))
        params = from_torch(read_state(locate("sted", weights)), GROWTH, LATENTS)
        straight, angles = _encode(
            params["encoder"], face[None], Encoder(GROWTH, LATENTS)
        )
        found = np.asarray(angles)
        gaze, head = patch.from_labels(found[:, -2:], found[:, -4:-2])
        self.source_gaze, self.source_head = gaze[0], head[0]
        self.batch = batch
        self._decoder = Decoder(GROWTH, dtype)
        self._params = jax.tree.map(jnp.asarray, params["decoder"])
        self._straight = straight

    def draw(
        self,
        gaze: Float[np.ndarray, "n 2"],
        head: Float[np.ndarray, "n 3"],
        shut: Float[np.ndarray, " n"],
    ) -> UInt8[np.ndarray, "n 128 128 3"]:
        """RGB patches; see `Generator`. The lids stay as the portrait has them."""
        gaze, head = patch.to_labels(gaze, head)
        pictures = _draw(
            self._params,
            self._straight,
            head.astype(np.float32),
            gaze.astype(np.float32),
            self._decoder,
            LATENTS,
        )
        return np.asarray(pictures)


@partial(jax.jit, static_argnames="encoder")
def _encode(params, pictures, encoder: Encoder):
    features, angles = encoder.apply({"params": params}, pictures)
    return straightened(features, angles, encoder.latents), angles


@partial(jax.jit, static_argnames=("decoder", "latents"))
def _draw(params, straight, head, gaze, decoder: Decoder, latents: Latents):
    features = jnp.tile(straight, (len(head), 1))
    pictures = decoder.apply({"params": params}, turned(features, head, gaze, latents))
    # Cut off, not rounded, as the original's own pictures are.
    return ((jnp.clip(pictures, -1, 1) + 1) * (255 / 2)).astype(jnp.uint8)


def _face(
    portrait: str | Path | np.ndarray, landmarks: np.ndarray | None
) -> UInt8[np.ndarray, "128 128 3"]:
    picture = portrait if isinstance(portrait, np.ndarray) else read_portrait(portrait)
    require(
        picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3,
        "a portrait must be RGB, uint8 [height, width, 3], got "
        f"{picture.dtype} {list(picture.shape)}.",
    )
    if landmarks is not None:
        return patch.cut_out(picture, landmarks)
    height, width, _ = picture.shape
    require(
        (height, width) == (patch.SIZE, patch.SIZE),
        f"a portrait without landmarks must be a face patch of {patch.SIZE} × "
        f"{patch.SIZE} pixels, got {width} × {height}; give the landmarks of its face.",
    )
    return picture
