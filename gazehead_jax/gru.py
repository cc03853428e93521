"""A GRU over a stretch of frames, as training needs it.

On a CPU its backward pass is the longest part of a step. Two things shorten it. What all
frames have in common is multiplied once. And the kernels' slopes are one product over all
frames at the end, where a derived backward pass would add to them at every frame.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float

from gazehead_jax.motion import Array


class Gru(nn.GRUCell):
    """flax's cell with a faster way through many frames; the parameters are the same."""

    def over(
        self,
        hidden: Float[Array, "b h"],
        moving: Float[Array, "b t i"],
        held: Float[Array, "b j"],
    ) -> Float[Array, "b t h"]:
        """The state after each frame, for inputs `[moving_t, held]`."""
        if self.is_initializing() or moving.shape[1] == 1:
            first, _ = self(hidden, jnp.concatenate([moving[:, 0], held], -1))
        if moving.shape[1] == 1:
            return first[:, None]
        parameters = self.variables["params"]
        kernel = jnp.concatenate(
            [parameters[n]["kernel"] for n in ("ir", "iz", "in")], 1
        )
        bias = jnp.concatenate([parameters[n]["bias"] for n in ("ir", "iz", "in")])
        moves = moving.shape[-1]
        from_held = held @ kernel[moves:] + bias[None]
        recurrent = tuple(parameters[n]["kernel"] for n in ("hr", "hz", "hn"))
        states = _states(
            kernel[:moves],
            recurrent,
            parameters["hn"]["bias"],
            from_held,
            hidden,
            jnp.swapaxes(moving, 0, 1),
        )
        return jnp.swapaxes(states, 0, 1)


@jax.custom_vjp
def _states(
    kernel: Float[Array, "i g"],
    recurrent: tuple[Float[Array, "h h"], Float[Array, "h h"], Float[Array, "h h"]],
    late: Float[Array, " h"],
    from_held: Float[Array, "b g"],
    hidden: Float[Array, "b h"],
    moving: Float[Array, "t b i"],
) -> Float[Array, "t b h"]:
    """States after each frame; gates r, z, n side by side, g = 3 h."""
    return _forward(kernel, recurrent, late, from_held, hidden, moving)[0]


def _forward(kernel, recurrent, late, from_held, hidden, moving):
    joined = jnp.concatenate(recurrent, 1)

    def frame(before, x):
        r, z, n = jnp.split(x @ kernel + from_held, 3, 1)
        to_r, to_z, turned = jnp.split(before @ joined, 3, 1)
        turned = turned + late[None]
        r, z = nn.sigmoid(r + to_r), nn.sigmoid(z + to_z)
        n = nn.tanh(n + r * turned)
        after = (1 - z) * n + z * before
        return after, (after, before, r, z, n, turned)

    _, (states, *kept) = jax.lax.scan(frame, hidden, moving)
    return states, (kernel, recurrent, moving, kept)


def _backward(saved, slopes):
    """Slopes of all arguments of `_states` from those of the states."""
    kernel, recurrent, moving, kept = saved

    def frame(after, inputs):
        slope, before, r, z, n, turned = inputs
        after = after + slope
        dn = after * (1 - z) * (1 - n * n)
        dz = after * (before - n) * z * (1 - z)
        dr = dn * turned * r * (1 - r)
        dturned = dn * r
        # Three products: joining the gates first would take longer.
        down = zip((dr, dz, dturned), recurrent, strict=True)
        return after * z + sum(d @ k.T for d, k in down), (dr, dz, dn, dturned)

    hidden, gates = jax.lax.scan(
        frame, jnp.zeros_like(slopes[0]), (slopes, *kept), reverse=True
    )
    flat = lambda x: x.reshape(-1, x.shape[-1])
    dr, dz, dn, dturned = map(flat, gates)
    before, x = flat(kept[0]), flat(moving)
    inner = jnp.concatenate([x.T @ d for d in (dr, dz, dn)], 1)
    outer = tuple(before.T @ d for d in (dr, dz, dturned))
    from_held = jnp.concatenate([d.sum(0) for d in gates[:3]], 1)
    parts = zip((dr, dz, dn), jnp.split(kernel, 3, 1), strict=True)
    to_moving = sum(d @ k.T for d, k in parts).reshape(moving.shape)
    return inner, outer, dturned.sum(0), from_held, hidden, to_moving


_states.defvjp(_forward, _backward)
