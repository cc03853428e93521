"""The GRU of training is flax's cell, frame by frame, and so are its slopes."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gazehead_jax.gru import Gru


@pytest.mark.parametrize("frames", [1, 5])
def test_a_stretch_of_frames_is_a_loop_of_flax_cells(frames):
    keys = jax.random.split(jax.random.key(0), 4)
    hidden = jax.random.normal(keys[0], (3, 6))
    moving = jax.random.normal(keys[1], (3, frames, 2))
    held = jax.random.normal(keys[2], (3, 4))
    inputs = (hidden, moving, held)
    params = Gru(6).init(keys[3], *inputs, method=Gru.over)
    flax_params = nn.GRUCell(6).init(keys[3], hidden, jnp.zeros((3, 6)))
    assert jax.tree.structure(params) == jax.tree.structure(flax_params)

    def stretch(params, hidden, moving, held):
        return Gru(6).apply(params, hidden, moving, held, method=Gru.over)

    def loop(params, hidden, moving, held):
        states = []
        for t in range(frames):
            x = jnp.concatenate([moving[:, t], held], -1)
            hidden, _ = nn.GRUCell(6).apply(params, hidden, x)
            states.append(hidden)
        return jnp.stack(states, 1)

    np.testing.assert_allclose(stretch(params, *inputs), loop(params, *inputs), 0, 1e-6)
    ours, theirs = (
        jax.grad(lambda *x, f=f: (f(*x) ** 3).sum(), argnums=(0, 1, 2, 3))(
            params, *inputs
        )
        for f in (stretch, loop)
    )
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, 0, 1e-5)
