"""The training objective of windows, from the true and the predicted motion."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Bool, Float, Int

from gazehead_jax.config import Config
from gazehead_jax.model import CVAE, Gaussian, Windows
from gazehead_jax.motion import Array


def kl_divergence(q: Gaussian, p: Gaussian) -> Float[Array, "*b"]:
    """KL(q ‖ p) of diagonal normals, summed over z."""
    ratio = jnp.exp(q.logvar - p.logvar)
    distance = (q.mean - p.mean) ** 2 * jnp.exp(-p.logvar)
    return 0.5 * (ratio + distance - 1 - q.logvar + p.logvar).sum(-1)


def elbo_loss(
    config: Config,
    params,
    windows: Windows,
    key: jax.Array,
    rows: Int[Array, " b"],
    beta: Float[Array, ""],
) -> tuple[Float[Array, " b"], dict[str, Float[Array, " b"]]]:
    """Negative evidence lower bound of each window (Liu et al. 2025: ‖ĥ − h‖² + λ KL).

    Squared errors are summed over the valid frames and channels of the horizon, in
    units of the head's standard deviation, and KL over z and the periods.

    Args:
      config: the experiment.
      params: of the model.
      windows: normalised.
      key: of this step. Noise belongs to a window's row in the *global* batch, so that
        one device and many draw the same.
      rows: global row of each window.
      beta: weight of KL.

    Returns:
      Loss of each window, and its diagnostics.
    """
    c = config.model
    drawn = draw(config, key, rows, windows.gaze.shape[1] - c.context)
    prediction = CVAE(c).apply({"params": params}, windows, *drawn)

    valid = windows.valid[:, c.context :]
    error = prediction.head - windows.head[:, c.context :]
    # The inner `where` keeps a NaN at an invalid frame out of the gradient as well.
    error = jnp.where(valid[..., None], error, 0)
    recon = (error**2).sum((1, 2))
    velocity = _velocity_error(error, valid)
    kl = kl_divergence(prediction.posterior, prediction.prior).sum(-1)
    mse = recon / jnp.maximum(valid.sum(-1) * c.head_dim, 1)
    loss = recon + config.loss.velocity * velocity + beta * kl
    return loss, {"recon": recon, "velocity": velocity, "kl": kl, "mse": mse}


def draw(
    config: Config, key: jax.Array, rows: Int[Array, " b"], horizon: int
) -> tuple[Float[Array, "b n z"], Bool[Array, "b t"], Float[Array, "b c d"] | None]:
    """What is random in a step: see `CVAE.__call__` for noise, force, context noise."""
    c = config.model
    keys = jax.vmap(lambda row: jax.random.split(jax.random.fold_in(key, row), 3))(rows)
    noise = jax.vmap(lambda k: jax.random.normal(k, (horizon // c.period, c.latent)))(
        keys[:, 0]
    )
    force = jnp.ones((len(rows), horizon), bool)
    if config.loss.self_feed > 0:
        force = jax.vmap(
            lambda k: jax.random.bernoulli(k, 1 - config.loss.self_feed, (horizon,))
        )(keys[:, 1])
    context_noise = None
    if config.loss.context_noise > 0:
        context_noise = config.loss.context_noise * jax.vmap(
            lambda k: jax.random.normal(k, (c.context, c.head_dim))
        )(keys[:, 2])
    return noise, force, context_noise


def _velocity_error(
    error: Float[Array, "b t d"], valid: Bool[Array, "b t"]
) -> Float[Array, " b"]:
    """Squared error of the change from frame to frame, summed where both are valid."""
    both = valid[:, 1:] & valid[:, :-1]
    change = jnp.where(both[..., None], jnp.diff(error, axis=1), 0)
    return (change**2).sum((1, 2))


def beta_schedule(config: Config) -> optax.Schedule:
    """KL annealing: 0 → beta over `beta_warmup_steps`."""
    steps = config.loss.beta_warmup_steps
    if not steps:
        return optax.constant_schedule(config.loss.beta)
    return optax.linear_schedule(0.0, config.loss.beta, steps)
