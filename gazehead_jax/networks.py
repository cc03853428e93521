"""What training and sampling ask of any network: parameters, a start, a step, noise."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from gazehead_jax import model, natural
from gazehead_jax.config import ModelConfig
from gazehead_jax.motion import Array
from gazehead_jax.normaliser import Normaliser

Carry = model.Carry | natural.Carry


def init_params(config: ModelConfig, key: jax.Array) -> dict:
    """Fresh parameters."""
    return _of(config).init_params(config, key)


def noise_width(config: ModelConfig) -> int:
    """Standard normals that a period of the network takes."""
    if config.kind == "natural":
        return natural.noise_width(config)
    return config.latent


def own_units(config: ModelConfig) -> Normaliser | None:
    """The units of a network that has its own; None if they are those of its data."""
    if config.kind == "natural":
        return Normaliser(np.zeros(2), np.ones(2), np.zeros(3), np.ones(3))
    return None


def start(
    config: ModelConfig,
    params,
    gaze: Float[Array, "b c 2"],
    head: Float[Array, "b c d"],
    valid: Bool[Array, "b c"],
    style: Float[Array, "b s"],
) -> Carry:
    """The memory after c frames of the past, in the network's units.

    Without any (c = 0) a natural head is at rest and straight, and a cvae's context is
    the mean head.
    """
    if config.kind == "cvae":
        return model.initial_carry(config, head, gaze, valid)
    b, c = valid.shape
    first = jnp.zeros((b, 3))
    if c:
        # The first that is known: numbers at invalid frames mean nothing.
        known = jnp.argmax(valid, axis=1)[:, None, None]
        at_known = jnp.take_along_axis(head, known, axis=1)[:, 0]
        first = jnp.where(valid.any(1)[:, None], at_known, 0)
    carry = natural.start(config, first, style)
    if not c:
        return carry
    frames = natural.Frame(
        gaze=natural.seen_gaze(config, gaze, valid, c),
        valid=valid,
        noise=jnp.zeros((b, c, natural.noise_width(config))),
        head=head,
        force=valid,
    )
    carry, _ = natural.Natural(config).apply({"params": params}, carry, frames)
    return carry.replace(t=jnp.zeros((), jnp.int32))


def seen_gaze(
    config: ModelConfig,
    gaze: Float[Array, "b t 2"],
    valid: Bool[Array, "b t"],
    frames: int,
) -> Float[Array, "b n g"]:
    """What `step` takes as the gaze of each of the first `frames` frames."""
    if config.kind == "natural":
        return natural.seen_gaze(config, gaze, valid, frames)
    return gaze[:, :frames]


def step(
    config: ModelConfig,
    params,
    carry: Carry,
    gaze: Float[Array, "b g"],
    valid: Bool[Array, " b"],
    noise: Float[Array, "b n"],
) -> tuple[Carry, Float[Array, "b d"]]:
    """One frame: the memory and the head after it. For `gaze` see `seen_gaze`."""
    if config.kind == "natural":
        frame = natural.Frame(gaze=gaze, valid=valid, noise=noise)
        return natural.Natural(config).apply(
            {"params": params}, carry, frame, method=natural.Natural.step
        )
    frame = model.Frame(gaze=gaze, valid=valid, noise=noise)
    carry, prediction = model.CVAE(config).apply(
        {"params": params}, carry, frame, method=model.CVAE.step
    )
    return carry, prediction.head


def _of(config: ModelConfig):
    return natural if config.kind == "natural" else model
