"""One step of training: the state, the optimiser, the loss of a batch, its update.

The same under one device, pmap and jit (`parallel`)."""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from flax import struct

from gazehead_jax import parallel
from gazehead_jax.config import Config
from gazehead_jax.energy import energy_loss
from gazehead_jax.losses import beta_schedule, elbo_loss
from gazehead_jax.motion import Array
from gazehead_jax.networks import init_params


class TrainState(struct.PyTreeNode):
    """All that a step changes, and the data of the key that its noise is folded from
    (plain numbers, which every way of replicating and saving takes)."""

    step: Array
    params: dict
    opt_state: optax.OptState
    key: Array

    def to_dict(self) -> dict:
        """As a checkpoint keeps it."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}


def make_tx(config: Config) -> optax.GradientTransformation:
    """Adam with clipping, warm-up and the schedule of the config."""
    o = config.optimizer
    decay = max(config.train.steps - o.warmup_steps, 1)
    rate = {
        "constant": optax.constant_schedule(o.learning_rate),
        "cosine": optax.cosine_decay_schedule(o.learning_rate, decay),
    }[o.schedule]
    if o.warmup_steps:
        warmup = optax.linear_schedule(0.0, o.learning_rate, o.warmup_steps)
        rate = optax.join_schedules([warmup, rate], [o.warmup_steps])
    return optax.chain(optax.clip_by_global_norm(o.clip_norm), optax.adam(rate))


def init_state(config: Config) -> TrainState:
    """The state before the first step."""
    init_key, key = jax.random.split(jax.random.key(config.train.seed))
    params = init_params(config.model, init_key)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=make_tx(config).init(params),
        key=jax.random.key_data(key),
    )


def window_loss(config: Config, params, windows, key, rows, beta, *, paired=True):
    """The loss of each window and its parts, by the kind of network.

    `paired` says that the windows of a batch come in pairs of one person.
    """
    if config.model.kind == "natural":
        return energy_loss(config, params, windows, key, rows, paired)
    return elbo_loss(config, params, windows, key, rows, beta)


def make_train_step(config: Config, materialise):
    """`(state, data, (payload, rows), axis_name) -> (state, diagnostics [steps])`.

    Runs as many steps as the batch's leading axis has, in one `lax.scan`.

    Args:
      config: the experiment.
      materialise: `(data, payload) -> Windows` of one step.
    """
    tx, beta_at = make_tx(config), beta_schedule(config)

    def one_step(state: TrainState, data, payload, rows, axis_name):
        windows = materialise(data, payload)
        key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
        beta = jnp.asarray(beta_at(state.step), jnp.float32)

        def loss_fn(params):
            loss, diagnostics = window_loss(config, params, windows, key, rows, beta)
            return loss.mean(), jax.tree.map(jnp.mean, diagnostics)

        (loss, diagnostics), grads = jax.value_and_grad(loss_fn, has_aux=True)(
            state.params
        )
        diagnostics = {"loss": loss, **diagnostics}
        grads, diagnostics = parallel.mean((grads, diagnostics), axis_name)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        state = state.replace(step=state.step + 1, params=params, opt_state=opt_state)
        diagnostics |= {"grad_norm": optax.tree.norm(grads), "beta": beta}
        return state, diagnostics

    def train_step(state, data, batch, axis_name=None):
        def body(state, xs):
            return one_step(state, data, *xs, axis_name)

        return jax.lax.scan(body, state, batch)

    return train_step


def make_evaluate(config: Config, windows):
    """`params -> {"loss", …}` on fixed windows, with fixed noise and the final beta."""
    rows, key = jnp.arange(len(windows.valid)), jax.random.key(0)
    beta = jnp.float32(config.loss.beta)

    @jax.jit
    def evaluate(params, windows):
        loss, diagnostics = window_loss(
            config, params, windows, key, rows, beta, paired=False
        )
        return jax.tree.map(jnp.mean, {"loss": loss, **diagnostics})

    return lambda params: {k: float(v) for k, v in evaluate(params, windows).items()}
