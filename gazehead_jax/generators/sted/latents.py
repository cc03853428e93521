"""What the encoder finds in a face, and how its head and gaze are turned.

Features come in factors, in this order: one of appearance, some of one angle, some of
two. A factor of two angles is three rows of numbers, which rotations turn as if each
column were a direction. The last but one stands for the head, the last for gaze; the
others were left to find by themselves whatever else sets pictures apart.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Float


@dataclasses.dataclass(frozen=True)
class Latents:
    """How many factors there are, and how wide they are.

    Attributes:
      appearance: width of the factor without an angle.
      singles, single_width: number and width of the factors of one angle (two rows).
      pairs, pair_width: number and width of the factors of two angles (three rows).
    """

    appearance: int = 1024
    singles: int = 4
    single_width: int = 16
    pairs: int = 4
    pair_width: int = 16

    @property
    def features(self) -> int:
        rows = 2 * self.singles * self.single_width + 3 * self.pairs * self.pair_width
        return self.appearance + rows

    @property
    def angles(self) -> int:
        return self.singles + 2 * self.pairs

    @property
    def turning(self) -> int:
        """Features of head and gaze, the last ones."""
        return 2 * 3 * self.pair_width


def rotation(angles: Float[jax.Array, "*b 2"]) -> Float[jax.Array, "*b 3 3"]:
    """Ry(yaw) Rx(pitch): as the network was trained, not as heads turn in `motion`."""
    sp, cp = jnp.sin(angles[..., 0]), jnp.cos(angles[..., 0])
    sy, cy = jnp.sin(angles[..., 1]), jnp.cos(angles[..., 1])
    zero = jnp.zeros_like(sp)
    rows = [[cy, sy * sp, sy * cp], [zero, cp, -sp], [-sy, cy * sp, cy * cp]]
    return jnp.stack([jnp.stack(row, -1) for row in rows], -2)


def straightened(
    features: Float[jax.Array, "b f"], angles: Float[jax.Array, "b a"], latents: Latents
) -> Float[jax.Array, "b f"]:
    """Features with head and gaze turned back by the angles that the encoder found."""
    found = angles[:, -4:].reshape(-1, 2, 2)
    return _with(features, rotation(found).swapaxes(-1, -2), latents)


def turned(
    features: Float[jax.Array, "b f"],
    head: Float[jax.Array, "b 2"],
    gaze: Float[jax.Array, "b 2"],
    latents: Latents,
) -> Float[jax.Array, "b f"]:
    """Straightened features turned to the (pitch, yaw) of a head and of its gaze."""
    return _with(features, rotation(jnp.stack([head, gaze], 1)), latents)


def _with(features, rotations, latents: Latents):
    still, moving = jnp.split(features, [latents.features - latents.turning], axis=1)
    rows = moving.reshape(-1, 2, 3, latents.pair_width)
    # In full: bfloat16 products, the default on some accelerators, are off by degrees.
    rows = jnp.einsum("bkij,bkjw->bkiw", rotations, rows, precision="highest")
    return jnp.concatenate([still, rows.reshape(moving.shape)], axis=1)
