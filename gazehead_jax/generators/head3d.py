"""The lit 3-D head as a generator: no weights, no portrait, real time."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float, UInt8

from gazehead_jax.errors import require
from gazehead_jax.generators.generator import Reach
from gazehead_jax.head3d import make_renderer

MAX_SIZE = 1024


class Head3dGenerator:
    """Draws `gazehead_jax.head3d`; see `Generator` for the attributes.

    Args:
      size: edge of the square picture, pixels; even, 64 to 1024 (at 2 samples per pixel
        and axis to about 800).
      supersample: samples per pixel and axis: 1 is about three times as fast as 2, with
        jagged outlines.

    Raises:
      GazeheadError: size or supersample out of range.
    """

    name = "head3d"
    licence = "head3d: code Apache-2.0, head CC0 1.0 (MakeHuman)"
    photo_real = False
    # Beyond a person's own: eyes turn 45 to 55°, heads 80° on their necks.
    reach = Reach(*np.deg2rad([45.0, 60.0, 75.0, 120.0, 60.0]).tolist())
    batch = 8

    def __init__(self, *, size: int = 256, supersample: int = 2):
        require(
            isinstance(size, int) and 64 <= size <= MAX_SIZE and size % 2 == 0,
            f"size must be an even number of pixels, 64 to {MAX_SIZE}, got {size!r}.",
        )
        require(
            supersample in (1, 2, 3),
            f"supersample must be 1, 2 or 3, got {supersample!r}.",
        )
        self.size = (size, size)
        self._renderer = _renderer(size, supersample)

    def draw(
        self,
        gaze: Float[np.ndarray, "n 2"],
        head: Float[np.ndarray, "n 3"],
        shut: Float[np.ndarray, " n"],
    ) -> UInt8[np.ndarray, "n height width 3"]:
        """RGB pictures; see `Generator.draw`."""
        return np.asarray(self._renderer(gaze, head, shut))


@lru_cache(maxsize=2)
def _renderer(size: int, supersample: int):
    return make_renderer(size, supersample=supersample)
