"""One frame at a time, as in live use."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from gazehead_jax import networks
from gazehead_jax.checkpoint import Checkpoint
from gazehead_jax.controls import AS_SAMPLED, Controls
from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.motion import PITCH_LIMIT, TURN_LIMIT, Motion, wrap
from gazehead_jax.numpy_step import NumpyStep
from gazehead_jax.rollout import (
    ANGLE_LIMIT,
    check_drawn,
    check_model,
    initial_state,
    noise_of,
    sample_keys,
)

# Up to so many samples of a stream are faster in NumPy than a compiled step's dispatch.
NUMPY_ROWS = 2
# Frames of a stream whose noise is drawn together.
NOISE_AHEAD = 512

_noise_block = jax.jit(noise_of, static_argnums=(1, 3))
_step = jax.jit(networks.step, static_argnums=0)


class HeadStream:
    """One gaze in, one head out, for live use; equal to the live rollout of all frames.

    Example:
      stream = HeadStream(gazehead_jax.load("out/demo/model"))
      head = stream.step(gaze)  # [2] radians → [samples, 3] radians

    Args:
      checkpoint: the model; call at its rate, `stream.fps`.
      num_samples, seed, context, temperature, style, controls: as in `sample`.

    Raises:
      GazeheadError: a count, seed or temperature below its least, a context at another
        rate or too short, or a style that is not of the model's size.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        num_samples: int = 1,
        seed: int = 0,
        *,
        context: Motion | None = None,
        temperature: float = 1.0,
        style: Sequence[float] | Float[np.ndarray, " z"] | float | None = None,
        controls: Controls = AS_SAMPLED,
    ):
        check_model(checkpoint)
        check_drawn(num_samples, seed, temperature)
        self._checkpoint, self._controls = checkpoint, controls
        self._config = checkpoint.config.model
        self._temperature = float(temperature)
        keys = sample_keys(seed, num_samples)
        state = initial_state(checkpoint, keys, context, style)
        self._keys, self._frame = state.keys, 0
        self._draw()
        width = networks.seen_gaze(
            self._config, np.zeros((1, 1, 2)), np.zeros((1, 1), bool), 1
        ).shape[-1]
        # Of what is to come nothing is known.
        self._seen = np.zeros((num_samples, width), np.float32)
        self._valid = np.full(num_samples, True), np.full(num_samples, False)
        if num_samples <= NUMPY_ROWS:
            stepper = NumpyStep(checkpoint, num_samples)
            stepper.resume(jax.tree.map(np.asarray, vars(state.carry)))
            self._advance = stepper.advance
        else:
            self._carry = state.carry
            self._params = jax.tree.map(jnp.asarray, checkpoint.params)
            self._advance = self._compiled
            # Whatever compiles, compiles now.
            self._compiled(self._seen, self._valid[1], self._noise[0])
            self._carry = state.carry
        units, c = checkpoint.normaliser, self._config
        self._channels = d = 3 if c.kind == "natural" else c.head_dim
        self._mean, self._std = units.head_mean[None, :d], units.head_std[None, :d]
        self.fps = checkpoint.config.data.fps

    def _compiled(self, seen, valid, noise):
        self._carry, heads = _step(
            self._config, self._params, self._carry, seen, valid, noise
        )
        return np.asarray(heads)

    def _draw(self) -> None:
        drawn = _noise_block(self._keys, self._config, self._frame, NOISE_AHEAD)
        self._noise = self._temperature * np.asarray(drawn)

    def step(
        self, gaze: Float[np.ndarray, "2"], valid: bool = True
    ) -> Float[np.ndarray, "s 3"]:
        """The heads of this frame.

        Args:
          gaze: (pitch, yaw) in radians.
          valid: False during a blink; the last valid gaze stands in, as it does for a
            gaze that is not finite.

        Raises:
          GazeheadError: a gaze of another shape, or that cannot be radians; the stream
            is as it was, and goes on.
        """
        gaze = np.asarray(gaze, np.float32)
        require(
            gaze.shape == (2,),
            f"gaze must be (pitch, yaw), got an array of shape {gaze.shape}.",
        )
        pitch, yaw = gaze.tolist()
        # One NaN let in would stay in the state for ever.
        usable = bool(valid and math.isfinite(pitch) and math.isfinite(yaw))
        if usable and not (abs(pitch) <= PITCH_LIMIT and abs(yaw) <= TURN_LIMIT):
            raise GazeheadError(
                f"gaze must be radians, at most a quarter turn of pitch and half a turn "
                f"of yaw, got ({pitch:g}, {yaw:g}); are these degrees?"
            )
        self._seen[:, :2] = self._checkpoint.normaliser.gaze(gaze) if usable else 0
        now = self._frame % NOISE_AHEAD
        if now == 0 and self._frame:
            self._draw()
        self._frame += 1
        heads = self._advance(self._seen, self._valid[not usable], self._noise[now])
        # As `rollout.to_radians`, in fewer calls of NumPy: these are a tenth of a frame.
        out = np.zeros((len(heads), 3), np.float32)
        out[:, : self._channels] = heads * self._std + self._mean
        np.minimum(out, ANGLE_LIMIT, out=out)
        np.maximum(out, -ANGLE_LIMIT, out=out)
        if self._controls == AS_SAMPLED:
            return out
        # A head that turns past ±180° goes on, as it does where `sample` unwraps it.
        self._turned = (
            self._turned + wrap(out - self._turned) if self._frame > 1 else out
        )
        return self._controls.apply(self._turned)
