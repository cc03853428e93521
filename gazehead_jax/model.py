"""The conditional VAE: posterior encoder, prior, and one decoder `step`.

One step serves rollout and streaming; training runs all steps of a period together, which
gives the same and is faster. What the papers in the field write as separate models are
settings of it (`config.ModelConfig`):

  period = 12, carry_state = False, prior = "standard"   Liu et al., MVA 2025: one z and a
      fresh GRU state for each window of 12 frames, conditioned on the last two heads
  period = 1, carry_state = True, prior = "learned"      a latent per frame with
      p(z_t | past, gaze), state carried without seams (VRNN, Chung et al. 2015)
  period = 1, carry_state = False, context = 0           the paper's "w/o temporal"

Everything here is in the normaliser's units. Dims: b batch, t time, c context frames,
d head channels, z latent, p = 2 z (mean and logvar), h hidden, n periods in a
window.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Bool, Float, Int

from gazehead_jax.config import ModelConfig
from gazehead_jax.gru import Gru
from gazehead_jax.motion import Array

# Heads stay within this many standard deviations of the mean head.
HEAD_LIMIT = 10.0


class Gaussian(NamedTuple):
    """A diagonal normal distribution."""

    mean: Float[Array, "*b z"]
    logvar: Float[Array, "*b z"]

    def sample(self, noise: Float[Array, "*b z"]) -> Float[Array, "*b z"]:
        return self.mean + jnp.exp(0.5 * self.logvar) * noise


class Windows(struct.PyTreeNode):
    """Training windows `[b, t, …]`; the first c frames are the context, the rest the horizon.

    Numbers at invalid frames have no influence on anything.
    """

    gaze: Float[Array, "*b 2"]
    head: Float[Array, "*b d"]
    valid: Bool[Array, "*b"]


class Carry(struct.PyTreeNode):
    """All that the decoder remembers between two frames.

    Attributes:
      hidden: GRU state.
      z: latent of the current period.
      recent: the last c heads.
      context: the heads that condition the current period: `recent` at its start.
      gaze: the last valid gaze; stands in while the eyes are closed.
      t: frames since the start.
    """

    hidden: Float[Array, "b h"]
    z: Float[Array, "b z"]
    recent: Float[Array, "b c d"]
    context: Float[Array, "b c d"]
    gaze: Float[Array, "b 2"]
    t: Int[Array, ""]


class Frame(struct.PyTreeNode):
    """What one step takes in, or all steps of a period, which share noise and posterior.
    The last three are for training and None at test.

    Attributes:
      gaze: of this frame.
      valid: whether `gaze` may be used.
      noise: standard normal, for z.
      posterior: the encoder's part of the posterior's parameters.
      head: the true head.
      force: whether the true head, not the model's own, becomes context.
    """

    gaze: Float[Array, "*b 2"]
    valid: Bool[Array, "*b"]
    noise: Float[Array, "*n z"]
    posterior: Float[Array, "*n p"] | None = None
    head: Float[Array, "*b d"] | None = None
    force: Bool[Array, "*b"] | None = None


class Prediction(struct.PyTreeNode):
    """What one step gives: the head, and the distributions of z at this frame (they
    count only where a period starts). In training: heads of all frames, and the
    distributions of each period."""

    head: Float[Array, "*b d"]
    prior: Gaussian
    posterior: Gaussian | None


class Step(nn.Module):
    """Prior and decoder GRU: `(carry, frame) -> (carry, prediction)`, and the same for
    all frames of a period."""

    config: ModelConfig

    def setup(self):
        c = self.config
        self.gru = Gru(c.hidden)
        self.head = nn.Dense(c.head_dim)
        if c.prior == "learned":
            self.prior_hidden = nn.Dense(c.hidden // 2)
            self.prior = nn.Dense(2 * c.latent)
        if c.carry_state:
            self.posterior_state = nn.Dense(2 * c.latent, use_bias=False)

    def __call__(self, carry: Carry, frame: Frame) -> tuple[Carry, Prediction]:
        """One frame."""
        starts = carry.t % self.config.period == 0
        gaze = jnp.where(frame.valid[:, None], frame.gaze, carry.gaze)
        context = jnp.where(starts, carry.recent, carry.context)
        hidden = carry.hidden
        if not self.config.carry_state:
            hidden = jnp.where(starts, 0, hidden)
        past = context.reshape(gaze.shape[0], -1)

        drawn, prior, posterior = self._draw(
            hidden, gaze, past, frame.noise, frame.posterior
        )
        z = jnp.where(starts, drawn, carry.z)
        hidden, _ = self.gru(hidden, jnp.concatenate([gaze, z, past], -1))
        head = self._heads(hidden, context)

        latest = head
        if frame.head is not None:
            force = frame.force & frame.valid
            latest = jnp.where(force[:, None], frame.head, head)
        recent = jnp.concatenate([carry.recent, latest[:, None]], 1)[:, 1:]
        carry = Carry(
            hidden=hidden, z=z, recent=recent, context=context, gaze=gaze, t=carry.t + 1
        )
        return carry, Prediction(head=head, prior=prior, posterior=posterior)

    def period(self, carry: Carry, frames: Frame) -> tuple[Carry, Prediction]:
        """All p frames of a period, as so many steps would do them, but faster: in a
        period no frame feeds on another's head.

        Args:
          carry: where a period starts.
          frames: `[b, p, …]`, for training; noise and posterior `[b, …]` of the period.
        """
        gaze = _held(frames.gaze, frames.valid, carry.gaze)
        context, hidden = carry.recent, carry.hidden
        if not self.config.carry_state:
            hidden = jnp.zeros_like(hidden)
        past = context.reshape(gaze.shape[0], -1)
        z, prior, posterior = self._draw(
            hidden, gaze[:, 0], past, frames.noise, frames.posterior
        )
        states = self.gru.over(hidden, gaze, jnp.concatenate([z, past], -1))
        heads = self._heads(states, context[:, None])

        force = (frames.force & frames.valid)[..., None]
        latest = jnp.where(force, frames.head, heads)
        recent = jnp.concatenate([carry.recent, latest], 1)[:, latest.shape[1] :]
        carry = Carry(
            hidden=states[:, -1],
            z=z,
            recent=recent,
            context=context,
            gaze=gaze[:, -1],
            t=carry.t + gaze.shape[1],
        )
        return carry, Prediction(head=heads, prior=prior, posterior=posterior)

    def _draw(
        self, hidden, gaze, past, noise, parameters
    ) -> tuple[Float[Array, "b z"], Gaussian, Gaussian | None]:
        """z of a period that starts here, its prior and its posterior."""
        prior, posterior = Gaussian(jnp.zeros_like(noise), jnp.zeros_like(noise)), None
        if self.config.prior == "learned":
            x = jnp.concatenate([hidden, gaze, past], -1)
            prior = _gaussian(self.prior(nn.tanh(self.prior_hidden(x))))
        if parameters is not None:
            if self.config.carry_state:
                # Where the state is not carried it is 0 whenever a period starts.
                parameters = parameters + self.posterior_state(hidden)
            posterior = _gaussian(parameters)
        return (posterior or prior).sample(noise), prior, posterior

    def _heads(
        self, states: Float[Array, "*b h"], context: Float[Array, "*one c d"]
    ) -> Float[Array, "*b d"]:
        head = self.head(states)
        if self.config.increments:
            head = head + context[..., -1, :]
        # Trained models stay far inside; an untrained one must not run off for ever.
        return jnp.clip(head, -HEAD_LIMIT, HEAD_LIMIT)


class Encoder(nn.Module):
    """GRU over the frames of each period → the posterior's parameters `[b, n, p]`."""

    config: ModelConfig

    @nn.compact
    def __call__(self, windows: Windows) -> Float[Array, "b n p"]:
        c = self.config
        b, t, _ = windows.gaze.shape
        n = (t - c.context) // c.period
        mask = windows.valid[..., None]
        x = jnp.concatenate(
            [
                jnp.where(mask, windows.gaze, 0),
                jnp.where(mask, windows.head, 0),
                mask.astype(windows.gaze.dtype),
            ],
            -1,
        )
        frames = x[:, c.context :].reshape(b * n, c.period, -1)
        # The heads before each period, beside every frame of it.
        before = np.arange(n)[:, None] * c.period + np.arange(c.context)
        past = x[:, before, 2:].reshape(b * n, -1)
        state = jnp.zeros((b * n, c.hidden), x.dtype)
        state = Gru(c.hidden, name="gru").over(state, frames, past)[:, -1]
        return nn.Dense(2 * c.latent, name="posterior")(state).reshape(b, n, -1)


class CVAE(nn.Module):
    """The model. `__call__` trains, `step` samples."""

    config: ModelConfig

    def setup(self):
        self.cell = Step(self.config)
        self.encoder = Encoder(self.config)

    def __call__(
        self,
        windows: Windows,
        noise: Float[Array, "b n z"],
        force: Bool[Array, "b t"],
        context_noise: Float[Array, "b c d"] | None = None,
    ) -> Prediction:
        """Reconstructs the horizon of windows from the posterior.

        Args:
          windows: `[b, c + t]` frames.
          noise: standard normal, a draw for each period.
          force: where the true head becomes the next frame's context.
          context_noise: added to the context heads that the decoder starts from.

        Returns:
          The prediction with a time axis: head `[b, t, d]`, Gaussians `[b, n, z]`.
        """
        c = self.config
        past = jax.tree.map(lambda x: x[:, : c.context], windows)
        ahead = jax.tree.map(lambda x: x[:, c.context :], windows)
        by_period = lambda x: x.reshape(len(x), -1, c.period, *x.shape[2:])
        frames = Frame(
            gaze=by_period(ahead.gaze),
            valid=by_period(ahead.valid),
            noise=noise,
            posterior=self.encoder(windows),
            head=by_period(ahead.head),
            force=by_period(force),
        )
        carry = initial_carry(c, past.head, past.gaze, past.valid)
        if context_noise is not None:
            carry = carry.replace(recent=carry.recent + context_noise)
        body = nn.remat(Step.period) if c.remat else Step.period
        scan = nn.scan(
            body,
            variable_broadcast="params",
            split_rngs={"params": False},
            in_axes=1,
            out_axes=1,
        )
        prediction = scan(self.cell, carry, frames)[1]
        return prediction.replace(head=prediction.head.reshape(ahead.head.shape))

    def step(self, carry: Carry, frame: Frame) -> tuple[Carry, Prediction]:
        """One frame; at test z comes from the prior."""
        return self.cell(carry, frame)


def initial_carry(
    config: ModelConfig,
    head: Float[Array, "b c d"],
    gaze: Float[Array, "b c 2"],
    valid: Bool[Array, "b c"],
) -> Carry:
    """The decoder's memory after the context frames.

    Invalid context heads are replaced by the mean head (0), and without a valid gaze
    the mean gaze stands in until the first one.
    """
    b = head.shape[0]
    recent = jnp.where(valid[..., None], head, 0)
    last = jnp.zeros((b, 2), gaze.dtype)
    for i in range(config.context):
        last = jnp.where(valid[:, i, None], gaze[:, i], last)
    return Carry(
        hidden=jnp.zeros((b, config.hidden), head.dtype),
        z=jnp.zeros((b, config.latent), head.dtype),
        recent=recent,
        context=recent,
        gaze=last,
        t=jnp.zeros((), jnp.int32),
    )


def init_params(config: ModelConfig, key: jax.Array) -> dict:
    """Fresh parameters."""
    b, t = 1, config.context + config.period
    windows = Windows(
        gaze=jnp.zeros((b, t, 2)),
        head=jnp.zeros((b, t, config.head_dim)),
        valid=jnp.ones((b, t), bool),
    )
    noise = jnp.zeros((b, 1, config.latent))
    force = jnp.ones((b, config.period), bool)
    return jax.jit(CVAE(config).init)(key, windows, noise, force)["params"]


def _held(
    gaze: Float[Array, "b t 2"], valid: Bool[Array, "b t"], last: Float[Array, "b 2"]
) -> Float[Array, "b t 2"]:
    """Gaze that keeps its last valid value, at first `last`, while the eyes are closed."""
    held = []
    for t in range(gaze.shape[1]):
        last = jnp.where(valid[:, t, None], gaze[:, t], last)
        held.append(last)
    return jnp.stack(held, 1)


def _gaussian(parameters: Float[Array, "*b p"]) -> Gaussian:
    mean, logvar = jnp.split(parameters, 2, axis=-1)
    # Keeps exp() finite whatever the input; trained values stay far inside.
    return Gaussian(mean, jnp.clip(logvar, -12.0, 6.0))
