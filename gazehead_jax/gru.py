"""A GRU over a stretch of frames, as training needs it."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float

from gazehead_jax.motion import Array


class Gru(nn.GRUCell):
    """flax's cell with a faster way through many frames; the parameters are the same."""

    @nn.nowrap
    def _joined(self, names: tuple[str, str, str]):
        """The three gates' kernels side by side."""
        parameters = self.variables["params"]
        return jnp.concatenate([parameters[n]["kernel"] for n in names], -1)

    def over(
        self,
        hidden: Float[Array, "b h"],
        moving: Float[Array, "b t i"],
        held: Float[Array, "b j"],
    ) -> Float[Array, "b t h"]:
        """The state after each frame, for inputs `[moving_t, held]`.

        What is held is multiplied once and not at every frame, in the backward pass
        too: with a wide latent that saves a third of all arithmetic.
        """
        if self.is_initializing() or moving.shape[1] == 1:
            first, _ = self(hidden, jnp.concatenate([moving[:, 0], held], -1))
        if moving.shape[1] == 1:
            return first[:, None]
        parameters = self.variables["params"]
        kernel = self._joined(("ir", "iz", "in"))
        bias = jnp.concatenate([parameters[n]["bias"] for n in ("ir", "iz", "in")])
        from_held = held @ kernel[moving.shape[-1] :] + bias[None]
        kernel = kernel[: moving.shape[-1]]
        recurrent, late = self._joined(("hr", "hz", "hn")), parameters["hn"]["bias"]

        def frame(hidden, x):
            r, z, n = jnp.split(x @ kernel + from_held, 3, -1)
            to_r, to_z, to_n = jnp.split(hidden @ recurrent, 3, -1)
            r, z = nn.sigmoid(r + to_r), nn.sigmoid(z + to_z)
            n = nn.tanh(n + r * (to_n + late[None]))
            hidden = (1 - z) * n + z * hidden
            return hidden, hidden

        _, states = jax.lax.scan(frame, hidden, jnp.swapaxes(moving, 0, 1))
        return jnp.swapaxes(states, 0, 1)
