"""The networks as `one_kernel` runs them: a frame over tiles and columns.

`Natural` says in tiles what `natural.Cell` says in arrays, and `Frame` what `model.Step`
says. Both give

  weights   matrices by name; biases are the row of a feature that is always 1
  drive     what comes in with each frame, `[t, s, …]`, and the noise of z
  memory    the carry but for the hidden state, as the columns of one array; `carry` turns
            it back
  constant  the features, and `kept` the memory, that stay as they are
  step      a frame: the columns of the memory, the hidden state, z and the head after it

Dims: h hidden, f features, z latent, p prior's hidden; all padded.
"""

import jax.numpy as jnp

from gazehead_jax import model, natural
from gazehead_jax.config import ModelConfig
from gazehead_jax.kernel_tiles import (
    Weights,
    between,
    column,
    pack,
    power_of_two,
    sigmoid,
    wrap,
)

# --- what both networks share ------------------------------------------------------


def _dense(kernel, bias, features: int, hidden: int, one: int):
    """A dense layer of [hidden, features] as two matrices; the bias at feature `one`."""
    kernel = jnp.asarray(kernel)
    width = kernel.shape[1]
    below = jnp.zeros((one + 1, width)).at[:features].set(kernel[hidden:])
    return kernel[:hidden], below.at[one].set(bias)


def _shared_weights(cell, seen: int, latent: int, one: int) -> dict:
    """Prior and GRU, by names; of features, `seen` come before z in the network."""
    hidden = cell["gru"]["hn"]["kernel"].shape[0]
    w = {}
    layer = cell["prior_hidden"]
    w["prior_h"], w["prior_f"] = _dense(
        layer["kernel"], layer["bias"], len(layer["kernel"]) - hidden, hidden, one
    )
    for part, name in ((slice(None, latent), "mean"), (slice(latent, None), "logvar")):
        w[name] = cell["prior"]["kernel"][:, part]
        w[f"{name}_b"] = cell["prior"]["bias"][None, part]
    for gate in "rzn":
        kernel = jnp.asarray(cell["gru"][f"i{gate}"]["kernel"])
        w[f"{gate}_h"] = cell["gru"][f"h{gate}"]["kernel"]
        w[f"{gate}_z"] = kernel[seen : seen + latent]
        kernel = jnp.concatenate([kernel[:seen], kernel[seen + latent :]])
        bias = cell["gru"][f"i{gate}"]["bias"]
        _, w[f"{gate}_f"] = _dense(kernel, bias, len(kernel), 0, one)
    return w | {"n_b": cell["gru"]["hn"]["bias"][None]}


def _draw(w: Weights, h, features, noise, low, high):
    inner = [
        jnp.tanh(w.dot("prior_h", h, n) + w.dot("prior_f", [features], n))
        for n in range(w.parts(w.width("prior_h")))
    ]
    mean = w.dot("mean", inner) + w.bias("mean_b")
    logvar = w.dot("logvar", inner) + w.bias("logvar_b")
    return mean + jnp.exp(0.5 * jnp.clip(logvar, low, high)) * noise


def _update(w: Weights, h, features, z):
    """The next hidden state, tile by tile."""
    after = []
    for n, before in enumerate(h):
        given = lambda gate, n=n: (
            w.dot(f"{gate}_f", [features], n) + w.dot(f"{gate}_z", [z], n)
        )
        reset = sigmoid(w.dot("r_h", h, n) + given("r"))
        new = jnp.tanh(given("n") + reset * (w.dot("n_h", h, n) + w.bias("n_b", n)))
        keep = sigmoid(w.dot("z_h", h, n) + given("z"))
        after.append(new + keep * (before - new))
    return after


# --- the networks ------------------------------------------------------------------


class Natural:
    """`natural.Cell`. Memory: head, step, change, gaze, posture, seen, then style."""

    columns = 13

    def __init__(self, config: ModelConfig):
        self.config = config
        self.looks = natural.LOOKS if config.lookahead else 0
        self.seen = 16 + 3 * self.looks
        # Features: what is seen, style, 1.
        self.one = self.seen + config.style
        self.width = power_of_two(self.one + 1)

    def weights(self, cell) -> dict:
        w = _shared_weights(cell, self.seen, self.config.latent, self.one)
        layer = cell["head"]
        w["out_h"], w["out_f"] = _dense(
            layer["kernel"], layer["bias"], self.one, self.config.hidden, self.one
        )
        return w

    def drive(self, gaze, valid, noise):
        z, head = jnp.split(noise, [self.config.latent], -1)
        gaze = jnp.swapaxes(gaze, 0, 1)
        usable = jnp.swapaxes(valid, 0, 1)[..., None]
        # Nothing that must not be used may be NaN: the kernel multiplies by 0.
        now = jnp.where(usable, gaze[..., :2], 0)
        parts = [now, usable.astype(jnp.float32), head, gaze[..., 2:]]
        return jnp.concatenate(parts, -1), z

    def memory(self, carry):
        parts = [carry.head, carry.step, carry.change, carry.gaze]
        parts += [carry.posture[:, None], carry.seen[:, None], carry.style]
        return jnp.concatenate(parts, -1)

    def carry(self, before, memory, z, heads):
        head, step, change, gaze, posture, seen, _ = jnp.split(
            memory, [3, 6, 9, 11, 12, 13], axis=-1
        )
        return before.replace(
            head=head,
            step=step,
            change=change,
            gaze=gaze,
            posture=posture[:, 0],
            seen=seen[:, 0] > 0,
        )

    def kept(self, packed):
        return between(packed, 13, 13 + self.config.style)

    def constant(self, packed):
        style = [column(packed, 13 + i) for i in range(self.config.style)]
        one = jnp.ones((packed.shape[0], 1), jnp.float32)
        return pack([*style, one], self.width, self.seen)

    def step(self, w, columns, constant, h, drive, z_noise):
        head, step, change = columns[:3], columns[3:6], columns[6:9]
        was, posture, seen = columns[9:11], columns[11], columns[12] > 0
        valid = column(drive, 2)
        usable = valid > 0
        up = jnp.where(usable, column(drive, 0), was[0])
        side = jnp.where(usable, column(drive, 1), was[1])
        was = (jnp.where(seen, was[0], up), jnp.where(seen, was[1], side))
        posture = jnp.where(seen, posture, side)
        posture = posture + wrap(side - posture) / natural.POSTURE_FRAMES
        pitch, yaw, roll = head
        eye = (up, side)
        if self.config.sees == "eyes":
            eye = _eye(up, side, pitch, yaw, roll)
        features = [
            *(x / natural.EYE for x in eye),
            wrap(up - was[0]) / natural.GAZE_STEP,
            wrap(side - was[1]) / natural.GAZE_STEP,
            *(x / natural.HEAD_STEP for x in step),
            *(x / natural.HEAD_CHANGE for x in change),
            pitch / natural.TILT,
            roll / natural.TILT,
            up / natural.GAZE_PITCH,
            wrap(side - posture) / natural.POSTURE,
            wrap(yaw - posture) / natural.POSTURE,
            valid,
        ]
        for look in range(6, 6 + 3 * self.looks, 3):
            ahead = [column(drive, look + i) for i in range(3)]
            features += [
                ahead[2] * wrap(ahead[0] - up) / natural.EYE,
                ahead[2] * wrap(ahead[1] - side) / natural.EYE,
                ahead[2],
            ]
        limit = natural.FEATURE_LIMIT
        features = jnp.clip(pack(features, self.width), -limit, limit) + constant
        z = _draw(w, h, features, z_noise, -8.0, 4.0)
        h = _update(w, h, features, z)
        out = w.dot("out_h", h) + w.dot("out_f", [features])
        made = [self._moved(out, drive, i, head, step, change) for i in range(3)]
        head, step, change = zip(*made, strict=True)
        seen = jnp.maximum(valid, seen.astype(jnp.float32))
        columns = (*head, *step, *change, up, side, posture, seen)
        return columns, h, z, head

    def _moved(self, out, drive, i, head, step, change):
        push, logstd, keep_step, keep_change = (
            column(out, i + 3 * k) for k in range(4)
        )
        keep_step, keep_change = sigmoid(keep_step + 2), sigmoid(keep_change)
        spread = 1e-3 * jnp.exp(jnp.clip(logstd - 1, -6.0, 2.0))
        change = (
            keep_change * change[i]
            + (1 - keep_change) * natural.HEAD_CHANGE * push
            + spread * column(drive, 3 + i)
        )
        limit = natural.FASTEST
        step = jnp.clip(keep_step * step[i] + change, -limit, limit)
        head, limit = head[i] + step, natural.TILT_LIMIT
        head = wrap(head) if i == 1 else jnp.clip(head, -limit, limit)
        return head, step, change


def _eye(up, side, pitch, yaw, roll):
    """`motion.gaze_in_head` over columns; only the difference of the yaws matters."""
    turn = side - yaw
    x, y, z = -jnp.cos(up) * jnp.sin(turn), -jnp.sin(up), -jnp.cos(up) * jnp.cos(turn)
    sp, cp, sr, cr = jnp.sin(pitch), jnp.cos(pitch), jnp.sin(roll), jnp.cos(roll)
    y, z = cp * y - sp * z, sp * y + cp * z
    x, y = cr * x + sr * y, cr * y - sr * x
    return jnp.arctan2(-y, jnp.sqrt(x * x + z * z)), jnp.arctan2(-x, -z)


class Frame:
    """`model.Step` with a latent each frame. Memory: gaze, the last heads."""

    def __init__(self, config: ModelConfig):
        self.config = config
        self.past = config.context * config.head_dim
        self.columns = 2 + self.past
        # Features: gaze, the last heads, 1.
        self.one = 2 + self.past
        self.width = power_of_two(self.one + 1)

    def weights(self, cell) -> dict:
        w = _shared_weights(cell, 2, self.config.latent, self.one)
        layer = cell["head"]
        w["out_h"] = layer["kernel"]
        return w | {"out_b": layer["bias"][None]}

    def drive(self, gaze, valid, noise):
        usable = valid[..., None]
        parts = [jnp.where(usable, gaze, 0), usable.astype(jnp.float32)]
        return jnp.swapaxes(jnp.concatenate(parts, -1), 0, 1), noise

    def memory(self, carry):
        return jnp.concatenate([carry.gaze, carry.recent.reshape(-1, self.past)], -1)

    def carry(self, before, memory, z, heads):
        c = self.config
        # What conditioned the last frame: the heads before it.
        heads = jnp.concatenate([before.recent, heads], 1)
        end = heads.shape[1] - 1
        return before.replace(
            z=z[:, : c.latent],
            context=heads[:, end - c.context : end],
            gaze=memory[:, :2],
            recent=memory[:, 2 : self.columns].reshape(before.recent.shape),
        )

    def kept(self, packed):
        return jnp.zeros_like(packed)

    def constant(self, packed):
        one = jnp.ones((packed.shape[0], 1), jnp.float32)
        return pack([one], self.width, self.one)

    def step(self, w, columns, constant, h, drive, z_noise):
        c, limit = self.config, model.HEAD_LIMIT
        usable = column(drive, 2) > 0
        gaze = [jnp.where(usable, column(drive, i), columns[i]) for i in range(2)]
        past = columns[2:]
        features = pack([*gaze, *past], self.width) + constant
        z = _draw(w, h, features, z_noise, -12.0, 6.0)
        h = _update(w, h, features, z)
        out = w.dot("out_h", h) + w.bias("out_b")
        head = [column(out, i) for i in range(c.head_dim)]
        if c.increments:
            last = past[-c.head_dim :]
            head = [x + was for x, was in zip(head, last, strict=True)]
        head = [jnp.clip(x, -limit, limit) for x in head]
        recent = [*past, *head][len(head) :] if c.context else []
        return (*gaze, *recent), h, z, head
