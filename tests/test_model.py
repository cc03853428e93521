"""The model: one step for everything, masks that do not leak, an independent oracle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import random_checkpoint, tiny_config

from gazehead_jax import losses
from gazehead_jax.losses import beta_schedule, elbo_loss, kl_divergence
from gazehead_jax.model import (
    CVAE,
    Frame,
    Gaussian,
    Windows,
    init_params,
    initial_carry,
)


def windows(config, batch=3, seed=0) -> Windows:
    m = config.model
    t = m.context + config.data.horizon
    rng = np.random.default_rng(seed)
    valid = rng.random((batch, t)) > 0.2
    valid[:, : m.context] = True
    return Windows(
        gaze=jnp.asarray(rng.normal(size=(batch, t, 2)), jnp.float32),
        head=jnp.asarray(rng.normal(size=(batch, t, m.head_dim)), jnp.float32),
        valid=jnp.asarray(valid),
    )


def loss_of(config, params, w, beta=0.7):
    rows = jnp.arange(len(w.valid))
    key, beta = jax.random.key(5), jnp.float32(beta)
    loss = jax.jit(elbo_loss, static_argnums=0)
    return loss(config, params, w, key, rows, beta)


def test_training_by_periods_is_a_python_loop_of_step(kind):
    config = tiny_config(kind)
    c = config.model
    params = init_params(c, jax.random.key(0))
    model, w = CVAE(c), windows(config)
    n = config.data.horizon // c.period
    noise = jax.random.normal(jax.random.key(1), (3, n, c.latent))
    force = jax.random.bernoulli(jax.random.key(2), 0.5, (3, config.data.horizon))
    got = jax.jit(model.apply)({"params": params}, w, noise, force)

    encode = lambda module, x: module.encoder(x)
    posterior = model.apply({"params": params}, w, method=encode)
    k = c.context
    carry = initial_carry(c, w.head[:, :k], w.gaze[:, :k], w.valid[:, :k])
    for t in range(config.data.horizon):
        frame = Frame(
            gaze=w.gaze[:, k + t],
            valid=w.valid[:, k + t],
            noise=noise[:, t // c.period],
            posterior=posterior[:, t // c.period],
            head=w.head[:, k + t],
            force=force[:, t],
        )
        carry, prediction = model.apply(
            {"params": params}, carry, frame, method=CVAE.step
        )
        np.testing.assert_allclose(got.head[:, t], prediction.head, atol=1e-5)
        if t % c.period == 0:
            for name in ("prior", "posterior"):
                np.testing.assert_allclose(
                    getattr(got, name).mean[:, t // c.period],
                    getattr(prediction, name).mean,
                    atol=1e-5,
                )


def test_step_agrees_with_an_independent_numpy_gru(kind):
    checkpoint = random_checkpoint(kind)
    c, p = checkpoint.config.model, checkpoint.params["cell"]
    rng = np.random.default_rng(0)
    b = 2
    state = {
        "hidden": np.zeros((b, c.hidden)),
        "recent": rng.normal(size=(b, c.context, c.head_dim)),
        "z": np.zeros((b, c.latent)),
    }
    carry = initial_carry(
        c,
        jnp.asarray(state["recent"], jnp.float32),
        jnp.zeros((b, c.context, 2)),
        jnp.ones((b, c.context), bool),
    )
    context = state["recent"]
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    dense = lambda q, x: x @ q["kernel"] + q.get("bias", 0)
    step = jax.jit(
        lambda carry, frame: CVAE(c).apply(
            {"params": checkpoint.params}, carry, frame, method=CVAE.step
        )
    )
    for t in range(9):
        gaze, noise = rng.normal(size=(b, 2)), rng.normal(size=(b, c.latent))
        if t % c.period == 0:
            context = state["recent"]
            if not c.carry_state:
                state["hidden"] = np.zeros((b, c.hidden))
            mean, logvar = np.zeros((b, c.latent)), np.zeros((b, c.latent))
            if c.prior == "learned":
                x = np.concatenate([state["hidden"], gaze, context.reshape(b, -1)], 1)
                y = dense(p["prior"], np.tanh(dense(p["prior_hidden"], x)))
                mean, logvar = y[:, : c.latent], y[:, c.latent :]
            state["z"] = mean + np.exp(logvar / 2) * noise
        x = np.concatenate([gaze, state["z"], context.reshape(b, -1)], 1)
        h, gru = state["hidden"], p["gru"]
        r = sigmoid(dense(gru["ir"], x) + dense(gru["hr"], h))
        u = sigmoid(dense(gru["iz"], x) + dense(gru["hz"], h))
        new = np.tanh(dense(gru["in"], x) + r * dense(gru["hn"], h))
        state["hidden"] = (1 - u) * new + u * h
        head = dense(p["head"], state["hidden"])
        if c.increments:
            head = head + context[:, -1]
        state["recent"] = np.concatenate([state["recent"], head[:, None]], 1)[:, 1:]

        frame = Frame(
            gaze=jnp.asarray(gaze, jnp.float32),
            valid=jnp.ones(b, bool),
            noise=jnp.asarray(noise, jnp.float32),
        )
        carry, prediction = step(carry, frame)
        np.testing.assert_allclose(prediction.head, head, atol=1e-4)


@pytest.mark.parametrize("rubbish", [np.nan, 1e6])
def test_invalid_frames_never_leak(kind, rubbish):
    config = tiny_config(kind)
    params = init_params(config.model, jax.random.key(0))
    clean = windows(config)
    mask = clean.valid[..., None]
    dirty = clean.replace(
        gaze=jnp.where(mask, clean.gaze, rubbish),
        head=jnp.where(mask, clean.head, rubbish),
    )
    assert not np.array_equal(clean.gaze, dirty.gaze)
    grad = jax.jit(jax.value_and_grad(lambda p, w: loss_of(config, p, w)[0].sum()))
    for a, b in zip(
        jax.tree.leaves(grad(params, clean)),
        jax.tree.leaves(grad(params, dirty)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_the_posterior_never_reaches_the_prior_path(kind):
    """Future heads and gaze do not change what sampling would see at a frame."""
    config = tiny_config(kind)
    c = config.model
    params = init_params(c, jax.random.key(0))
    w = windows(config).replace(valid=jnp.ones((3, c.context + 8), bool))
    changed = c.context + 5
    other = w.replace(
        gaze=w.gaze.at[:, changed:].add(1.0), head=w.head.at[:, changed:].add(1.0)
    )
    noise = jnp.zeros((3, 8 // c.period, c.latent))
    force = jnp.ones((3, 8), bool)
    run = jax.jit(lambda w: CVAE(c).apply({"params": params}, w, noise, force))
    a, b = run(w), run(other)
    # With teacher forcing and a carried state, only earlier posteriors may matter.
    same = -(-5 // c.period)
    np.testing.assert_allclose(
        a.prior.mean[:, :same], b.prior.mean[:, :same], atol=1e-6
    )


def test_kl_is_the_closed_form_and_never_negative():
    rng = np.random.default_rng(0)
    m1, l1, m2, l2 = rng.normal(size=(4, 100, 3))
    got = kl_divergence(Gaussian(m1, l1), Gaussian(m2, l2))
    slow = [
        sum(
            0.5 * (np.exp(a - b) + (x - y) ** 2 / np.exp(b) - 1 + b - a)
            for x, a, y, b in zip(m1[i], l1[i], m2[i], l2[i], strict=True)
        )
        for i in range(100)
    ]
    np.testing.assert_allclose(got, slow, rtol=1e-5)
    assert (got >= 0).all()
    assert kl_divergence(Gaussian(m1, l1), Gaussian(m1, l1)).max() < 1e-6


def test_loss_is_the_sum_over_valid_frames_plus_beta_kl(kind):
    config = tiny_config(kind)
    c = config.model
    params = init_params(c, jax.random.key(0))
    w = windows(config)
    loss, diagnostics = loss_of(config, params, w)
    np.testing.assert_allclose(
        loss, diagnostics["recon"] + 0.7 * diagnostics["kl"], rtol=1e-5
    )
    counted = np.asarray(w.valid[:, c.context :]).sum(1) * c.head_dim
    np.testing.assert_allclose(
        diagnostics["mse"], diagnostics["recon"] / counted, rtol=1e-5
    )


def test_noise_belongs_to_the_global_row(kind):
    config = tiny_config(kind)
    params = init_params(config.model, jax.random.key(0))
    w = windows(config, batch=4)
    whole = loss_of(config, params, w)[0]
    half = jax.tree.map(lambda x: x[2:], w)
    rows, key = jnp.arange(2, 4), jax.random.key(5)
    loss = jax.jit(elbo_loss, static_argnums=0)
    part = loss(config, params, half, key, rows, jnp.float32(0.7))[0]
    np.testing.assert_allclose(whole[2:], part, rtol=1e-5)


def test_remat_changes_nothing(kind):
    config = tiny_config(kind)
    other = tiny_config(kind, **{"model.remat": True})
    params = init_params(config.model, jax.random.key(0))
    w = windows(config)
    a, b = (
        jax.grad(lambda p, c=c: loss_of(c, p, w)[0].sum())(params)
        for c in (config, other)
    )
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, atol=2e-5)


def test_beta_grows_linearly():
    at = beta_schedule(tiny_config("window", **{"loss.beta": 2.0}))
    assert [float(at(s)) for s in (0, 5, 10, 99)] == [0, 1, 2, 2]
    at = beta_schedule(tiny_config("window", **{"loss.beta_warmup_steps": 0}))
    assert float(at(0)) == 1


def test_the_velocity_term_is_the_error_of_changes_between_valid_frames():
    rng = np.random.default_rng(0)
    error, valid = rng.normal(size=(4, 9, 3)), rng.random((4, 9)) > 0.3
    slow = np.zeros(4)
    for i in range(4):
        for t in range(1, 9):
            if valid[i, t] and valid[i, t - 1]:
                slow[i] += ((error[i, t] - error[i, t - 1]) ** 2).sum()
    got = losses._velocity_error(jnp.asarray(error), jnp.asarray(valid))
    np.testing.assert_allclose(got, slow, rtol=1e-5)
    config = tiny_config("frame")
    params, w = init_params(config.model, jax.random.key(0)), windows(config)
    plain, terms = loss_of(config, params, w)
    more, _ = loss_of(tiny_config("frame", **{"loss.velocity": 2.0}), params, w)
    assert (terms["velocity"] > 0).all()
    np.testing.assert_allclose(more, plain + 2 * terms["velocity"], rtol=1e-5)
