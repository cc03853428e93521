"""A photo that turns its head and eyes as it is told: LivePortrait behind `Generator`."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from gazehead_jax.errors import require
from gazehead_jax.generators.generator import Reach
from gazehead_jax.generators.liveportrait.animation import Animation
from gazehead_jax.generators.liveportrait.architecture import PUBLISHED, Architecture
from gazehead_jax.generators.liveportrait.conversion import read_networks
from gazehead_jax.generators.liveportrait.crop import cut_out
from gazehead_jax.generators.liveportrait.keypoints import UNITS_PER_DEGREE
from gazehead_jax.generators.portraits import read_portrait
from gazehead_jax.weight_catalogue import WEIGHTS
from gazehead_jax.weights import locate


class LivePortraitGenerator:
    """The networks of Guo et al. 2024 (LivePortrait), driven by angles.

    The head turns to the angles themselves, whatever the portrait's own were. The eyes
    turn by what gaze in the head differs from the portrait's own; how far, in degrees, is
    not calibrated (`keypoints.UNITS_PER_DEGREE`). A mouth that is open in the portrait is
    shut. Pictures are the square about the face, not put back into the portrait.

    Its attributes are those of `Generator`.
    """

    name = "liveportrait"
    licence = f"liveportrait: {WEIGHTS['liveportrait'].terms}; the portrait's is yours"
    photo_real = True
    # As far as the authors' demo turns head and eyes, not what was seen to look well.
    reach = Reach(*np.deg2rad([30.0, 30.0, 15.0, 25.0, 15.0]).tolist())

    def __init__(
        self,
        portrait: str | Path | UInt8[np.ndarray, "h w 3"],
        weights: str | Path | None = None,
        *,
        landmarks: Float[np.ndarray, "faces 478 3"] | None = None,
        looking: tuple[float, float] = (0.0, 0.0),
        units_per_degree: tuple[float, float] = UNITS_PER_DEGREE,
        batch: int | None = None,
        dtype: Any = None,
        architecture: Architecture = PUBLISHED,
    ):
        """
        Args:
          portrait: a picture, or the path of one.
          weights: folder that is looked through first for the weights "liveportrait",
            see `gazehead_jax.weights`.
          landmarks: of all faces in the picture, in pixels, as
            `portraits.find_faces` finds them.
          looking: where the person in the picture looks: (pitch, yaw) in the camera
            frame, radians. By default into the camera.
          units_per_degree: of the authors' eye sliders for a degree of (pitch, yaw).
          batch: frames at once; by default 1 on a CPU and 4 elsewhere.
          dtype: of the convolutions for each frame; by default float32 on a CPU and
            bfloat16 elsewhere.
          architecture: of the networks in the folder.

        Raises:
          GazeheadError: the picture cannot be read or has not one face, or comes without
            landmarks; the weights are missing, broken or of another network.
        """
        on_cpu = jax.default_backend() == "cpu"
        self.batch = batch if batch is not None else 1 if on_cpu else 4
        require(self.batch >= 1, f"batch must be 1 frame or more, got {batch}.")
        require(
            landmarks is not None,
            "liveportrait must be told where the face is: give the landmarks of all "
            "faces in the portrait.",
        )
        face = cut_out(read_portrait(portrait), landmarks, architecture.size)
        self._animation = Animation(
            read_networks(locate("liveportrait", weights), architecture),
            architecture,
            units_per_degree=units_per_degree,
            dtype=dtype or (jnp.float32 if on_cpu else jnp.bfloat16),
        )
        self._source = self._animation.source(face)
        self._looking = np.array(looking, np.float32)
        self.size = (2 * architecture.size, 2 * architecture.size)

    def draw(
        self,
        gaze: Float[np.ndarray, "n 2"],
        head: Float[np.ndarray, "n 3"],
        shut: Float[np.ndarray, " n"],
    ) -> UInt8[np.ndarray, "n height width 3"]:
        """RGB pictures; see `Generator.draw`."""
        pictures = self._animation.pictures(
            self._source, gaze, head, shut, self._looking
        )
        return np.asarray(jnp.round(255 * pictures).astype(jnp.uint8))
