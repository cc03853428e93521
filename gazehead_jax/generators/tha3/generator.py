"""THA3 as a face generator: a drawn character turns, looks and blinks."""

import os
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from gazehead_jax.errors import require
from gazehead_jax.generators.tha3.conversion import read_params
from gazehead_jax.generators.tha3.portrait import SIZE, read_character, to_linear
from gazehead_jax.generators.tha3.poser import Poser
from gazehead_jax.generators.tha3.poses import (
    NAMES,
    Calibration,
    expression_pose,
    motion_poses,
)
from gazehead_jax.weights import locate

WEIGHTS = "tha3-separable-float"
# Head and shoulders: rows and columns of the picture.
CLOSE_UP = slice(40, 296), slice(128, 384)


class Tha3Generator:
    """Satisfies `gazehead_jax.generators.generator.Generator`.

    What a motion does not say stays as `expression` has it: eyebrows, mouth, and what
    else there is in `poses.NAMES`. To change it from frame to frame, put it into
    `poses(...)` and give that to `draw_poses`.

    Args:
      portrait: a PNG file or uint8 RGBA `[512, 512, 4]`: one character, standing and
        facing the viewer, head in the middle of the upper half, alpha 0 around.
      weights: a folder to look for the five files in first; they are fetched if they are
        nowhere.
      expression: parameter → value; added to those of the motion.
      background: RGB behind the character.
      batch: frames at once; by default 1 on a CPU, where more is not faster, else 16.
      calibration: degrees of drawn motion; `calibrate` measures another picture's.
      close_up: show head and shoulders alone, 256 × 256.

    Raises:
      GazeheadError: as `portrait.read_character`, `gazehead_jax.weights.locate`,
        `conversion.read_params` and `poses.expression_pose`; or a background or batch
        out of range.
    """

    name = "tha3"
    licence = (
        "Talking Head Anime 3 by Pramook Khungurn: code MIT, weights CC BY 4.0 (name "
        "him); the portrait's own licence holds for the pictures"
    )
    photo_real = False
    size = (SIZE, SIZE)

    def __init__(
        self,
        portrait: str | os.PathLike | np.ndarray,
        weights: str | os.PathLike | None = None,
        *,
        expression: Mapping[str, float] | None = None,
        background: tuple[int, int, int] = (235, 238, 242),
        batch: int | None = None,
        calibration: Calibration | None = None,
        close_up: bool = False,
    ):
        if batch is None:
            batch = 1 if jax.default_backend() == "cpu" else 16
        require(batch >= 1, f"batch must be at least 1, got {batch}.")
        require(
            len(background) == 3 and all(0 <= v <= 255 for v in background),
            f"background must be three numbers from 0 to 255, got {background}.",
        )
        picture = to_linear(read_character(portrait))
        self._expression = expression_pose(expression or {})
        self._background = np.asarray(background, np.float32) / 255
        self._poser = Poser(read_params(locate(WEIGHTS, weights, fetch=True)), picture)
        self._shown = CLOSE_UP if close_up else (slice(None), slice(None))
        if close_up:
            self.size = tuple(part.stop - part.start for part in CLOSE_UP)
        self.batch = batch
        self.calibration = calibration or Calibration()
        self.reach = self.calibration.reach()

    def draw(
        self,
        gaze: Float[np.ndarray, "n 2"],
        head: Float[np.ndarray, "n 3"],
        shut: Float[np.ndarray, " n"],
    ) -> UInt8[np.ndarray, "n height width 3"]:
        """RGB pictures of `batch` frames; see `Generator.draw`."""
        return self.draw_poses(self.poses(gaze, head, shut))

    def poses(
        self,
        gaze: Float[np.ndarray, "n 2"],
        head: Float[np.ndarray, "n 3"],
        shut: Float[np.ndarray, " n"],
    ) -> Float[np.ndarray, "n 45"]:
        """The parameters, in the order of `poses.NAMES`, that `draw` would draw."""
        return motion_poses(gaze, head, shut, self.calibration) + self._expression

    def draw_poses(
        self, poses: Float[np.ndarray, "n 45"]
    ) -> UInt8[np.ndarray, "n height width 3"]:
        """RGB pictures of any poses of `batch` frames.

        Raises:
          GazeheadError: not `[batch, 45]`, or not finite.
        """
        require(
            poses.shape == (self.batch, len(NAMES)) and bool(np.isfinite(poses).all()),
            f"poses must be finite numbers [{self.batch}, {len(NAMES)}], got "
            f"{list(poses.shape)}.",
        )
        rows, columns = self._shown
        pictures = self._poser(poses)[:, rows, columns]
        return np.asarray(_shown(pictures, self._background))


@jax.jit
def _shown(pictures, background):
    """Linear RGB and alpha in [-1, 1] → uint8 sRGB before a background."""
    linear, alpha = jnp.split(jnp.clip((pictures + 1) / 2, 0, 1), [3], -1)
    rgb = jnp.where(
        linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055
    )
    rgb = rgb * alpha + background[None, None, None] * (1 - alpha)
    return jnp.round(rgb * 255).astype(jnp.uint8)
