"""The natural model: a head that follows what its own eyes would have to do.

At each frame the cell sees where the gaze lies *in the head that it has made so far*.
Heads turn to bring the eyes back towards their middle, so that this is what coordination
hangs on, and not on where the room's north is: the model works for free-turning heads,
cannot drift away from the gaze, and needs no statistics of the data. Beside it: speed of
gaze, movement and tilt of the head, and a slow mean of gaze yaw, the posture to which
heads return. Where the gaze is known beforehand it also sees where that will be in a
moment: people plan head and eyes together, and a head that only reacts comes late.

A latent z per frame comes from a learned prior p(z_t | past, gaze, style). What is drawn is
the head's acceleration, which makes movement as smooth as learned. `style` is constant in a
rollout and tells people apart, from those who look with their eyes to those who look with
their heads; an encoder finds it in any other motion of the person.

Everything here is in radians and frames of the model's rate. Dims: b batch, t time, d = 3
head channels, h hidden, z latent, s style.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Bool, Float, Int

from gazehead_jax.config import ModelConfig
from gazehead_jax.model import Windows
from gazehead_jax.motion import Array, gaze_in_head, wrap

# What features are divided by: about their spread at 30 fps.
EYE, GAZE_STEP, HEAD_STEP, HEAD_CHANGE = 0.25, 0.05, 0.015, 0.003
TILT, POSTURE, GAZE_PITCH = 0.2, 0.5, 0.3
FEATURE_LIMIT = 8.0
# The posture is a mean over about this many frames.
POSTURE_FRAMES = 150.0
# No neck turns by more in a frame (at 30 fps 860°/s).
FASTEST = 0.5
# Necks bend this far, in pitch and roll.
TILT_LIMIT = 1.4
PRIOR_HIDDEN = 64
# At how many frames to come a model that looks ahead looks, evenly spaced.
LOOKS = 4
STYLE_HIDDEN = 48


class Carry(struct.PyTreeNode):
    """All that is remembered between two frames.

    Attributes:
      hidden: GRU state.
      head: the last head.
      step, change: its last movement, and by how much that differed from the one before.
      gaze: the last valid gaze; stands in while the eyes are closed.
      posture: slow mean of gaze yaw.
      style: constant.
      seen: whether there was a valid gaze yet.
      t: frames since the start.
    """

    hidden: Float[Array, "b h"]
    head: Float[Array, "b 3"]
    step: Float[Array, "b 3"]
    change: Float[Array, "b 3"]
    gaze: Float[Array, "b 2"]
    posture: Float[Array, " b"]
    style: Float[Array, "b s"]
    seen: Bool[Array, " b"]
    t: Int[Array, ""]


class Frame(struct.PyTreeNode):
    """What one frame brings. The last two are for training and warming up.

    Attributes:
      gaze: of this frame, and what `seen_gaze` puts beside it.
      valid: whether `gaze` (and `head`) may be used.
      noise: standard normal, `[b, z + 3]`: for z and for the head.
      head: the true head.
      force: whether the true head, not the model's own, is remembered.
    """

    gaze: Float[Array, "*b g"]
    valid: Bool[Array, "*b"]
    noise: Float[Array, "*b n"]
    head: Float[Array, "*b 3"] | None = None
    force: Bool[Array, "*b"] | None = None


def noise_width(config: ModelConfig) -> int:
    """Standard normals that a frame takes."""
    return config.latent + 3


def seen_gaze(
    config: ModelConfig,
    gaze: Float[Array, "b t 2"],
    valid: Bool[Array, "b t"],
    frames: int,
) -> Float[Array, "b n g"]:
    """Gaze of the first n = `frames` frames, as `Frame` wants it.

    A model that looks ahead gets (pitch, yaw, known) of each frame that it looks at
    beside it; what lies beyond the t frames is unknown.
    """
    if not config.lookahead:
        return gaze[:, :frames]
    xp = gaze.__array_namespace__()
    both = xp.concatenate([gaze, valid[..., None].astype(gaze.dtype)], -1)
    both = xp.where(valid[..., None], both, 0)
    short = max(0, frames + config.lookahead - gaze.shape[1])
    both = xp.pad(both, ((0, 0), (0, short), (0, 0)))
    offsets = [-(-config.lookahead * (i + 1) // LOOKS) for i in range(LOOKS)]
    return xp.concatenate(
        [gaze[:, :frames], *(both[:, o : o + frames] for o in offsets)], -1
    )


class Cell(nn.Module):
    """One frame: `(carry, frame) -> (carry, head)`."""

    config: ModelConfig

    @nn.compact
    def __call__(self, carry: Carry, frame: Frame) -> tuple[Carry, Float[Array, "b 3"]]:
        c = self.config
        gaze = jnp.where(frame.valid[:, None], frame.gaze[:, :2], carry.gaze)
        # The first gaze comes out of nowhere: it neither moves nor has a past.
        carry = carry.replace(
            gaze=jnp.where(carry.seen[:, None], carry.gaze, gaze),
            posture=jnp.where(carry.seen, carry.posture, gaze[:, 1]),
        )
        posture = carry.posture + wrap(gaze[:, 1] - carry.posture) / POSTURE_FRAMES
        seen = _features(c, carry, gaze, posture, frame)

        noise_z, noise_head = jnp.split(frame.noise, [c.latent], axis=-1)
        x = jnp.concatenate([carry.hidden, seen, carry.style], -1)
        x = nn.tanh(nn.Dense(PRIOR_HIDDEN, name="prior_hidden")(x))
        mean, logvar = jnp.split(nn.Dense(2 * c.latent, name="prior")(x), 2, axis=-1)
        z = mean + jnp.exp(0.5 * jnp.clip(logvar, -8, 4)) * noise_z

        hidden, _ = nn.GRUCell(c.hidden, name="gru")(
            carry.hidden, jnp.concatenate([seen, z, carry.style], -1)
        )
        out = nn.Dense(12, name="head")(
            jnp.concatenate([hidden, seen, carry.style], -1)
        )
        push, logstd, keep_step, keep_change = jnp.split(out, 4, axis=-1)
        # At first: movement dies away slowly, changes of it quickly.
        keep_step = nn.sigmoid(keep_step + 2)
        keep_change = nn.sigmoid(keep_change)
        change = (
            keep_change * carry.change
            + (1 - keep_change) * HEAD_CHANGE * push
            + 1e-3 * jnp.exp(jnp.clip(logstd - 1, -6, 2)) * noise_head
        )
        step = jnp.clip(keep_step * carry.step + change, -FASTEST, FASTEST)
        head = _within(carry.head + step)

        kept, moved, changed = head, step, change
        if frame.head is not None:
            force = (frame.force & frame.valid)[:, None]
            kept = jnp.where(force, frame.head, head)
            moved = jnp.where(force, wrap(frame.head - carry.head), step)
            changed = jnp.where(force, moved - carry.step, change)
        carry = carry.replace(
            hidden=hidden,
            head=kept,
            step=moved,
            change=changed,
            gaze=gaze,
            posture=posture,
            seen=carry.seen | frame.valid,
            t=carry.t + 1,
        )
        return carry, head


def _features(
    config: ModelConfig, carry: Carry, gaze, posture, frame: Frame
) -> Float[Array, "b f"]:
    pitch, yaw, roll = jnp.split(carry.head, 3, axis=-1)
    eye = gaze_in_head(gaze, carry.head) if config.sees == "eyes" else gaze
    parts = [
        eye / EYE,
        wrap(gaze - carry.gaze) / GAZE_STEP,
        carry.step / HEAD_STEP,
        carry.change / HEAD_CHANGE,
        pitch / TILT,
        roll / TILT,
        gaze[:, :1] / GAZE_PITCH,
        wrap(gaze[:, 1:] - posture[:, None]) / POSTURE,
        wrap(yaw - posture[:, None]) / POSTURE,
        frame.valid[:, None].astype(gaze.dtype),
    ]
    for look in jnp.split(frame.gaze[:, 2:], LOOKS, -1) if config.lookahead else ():
        known = look[:, 2:]
        parts += [known * wrap(look[:, :2] - gaze) / EYE, known]
    return jnp.clip(jnp.concatenate(parts, -1), -FEATURE_LIMIT, FEATURE_LIMIT)


def _within(head: Float[Array, "b 3"]) -> Float[Array, "b 3"]:
    """Yaw on its circle; pitch and roll as far as necks bend."""
    tilt = jnp.clip(head, -TILT_LIMIT, TILT_LIMIT)
    return jnp.concatenate([tilt[:, :1], wrap(head[:, 1:2]), tilt[:, 2:]], -1)


class StyleEncoder(nn.Module):
    """GRU over a motion → the person's style `[b, s]`."""

    config: ModelConfig

    @nn.compact
    def __call__(self, windows: Windows) -> Float[Array, "b s"]:
        gaze, head, mask = windows.gaze, windows.head, windows.valid[..., None]
        both = mask[:, 1:] & mask[:, :-1]
        parts = [
            gaze_in_head(gaze[:, 1:], head[:, 1:]) / EYE,
            wrap(jnp.diff(gaze, axis=1)) / GAZE_STEP,
            wrap(jnp.diff(head, axis=1)) / HEAD_STEP,
        ]
        x = jnp.clip(jnp.concatenate(parts, -1), -FEATURE_LIMIT, FEATURE_LIMIT)
        x = jnp.where(both, x, 0)
        state, _ = nn.RNN(
            nn.GRUCell(STYLE_HIDDEN, name="gru"), return_carry=True, name="frames"
        )(x)
        return nn.Dense(self.config.style, name="style")(state)


class Natural(nn.Module):
    """The model. `__call__` unrolls training windows, `step` samples, `style` encodes."""

    config: ModelConfig

    def setup(self):
        self.cell = Cell(self.config)
        self.encoder = StyleEncoder(self.config)

    def __call__(self, carry: Carry, frames: Frame) -> tuple[Carry, Array]:
        """Heads `[b, t, 3]` of frames `[b, t, …]`, and the carry after them."""
        scan = nn.scan(
            # To compute a frame again takes less time than to keep all of it.
            nn.remat(Cell.__call__, prevent_cse=False),
            variable_broadcast="params",
            split_rngs={"params": False},
            in_axes=1,
            out_axes=1,
        )
        return scan(self.cell, carry, frames)

    def step(self, carry: Carry, frame: Frame) -> tuple[Carry, Array]:
        """One frame."""
        return self.cell(carry, frame)

    def style(self, windows: Windows) -> Float[Array, "b s"]:
        """The style of whoever is seen in windows `[b, t, …]`."""
        return self.encoder(windows)


def start(
    config: ModelConfig, head: Float[Array, "b 3"], style: Float[Array, "b s"]
) -> Carry:
    """A head at rest at a pose, before any gaze."""
    b, still = len(head), jnp.zeros_like(head)
    return Carry(
        hidden=jnp.zeros((b, config.hidden), head.dtype),
        head=head,
        step=still,
        change=still,
        gaze=still[:, :2],
        posture=still[:, 0],
        style=style,
        seen=jnp.zeros(b, bool),
        t=jnp.zeros((), jnp.int32),
    )


def init_params(config: ModelConfig, key: jax.Array) -> dict:
    """Fresh parameters."""
    windows = Windows(
        gaze=jnp.zeros((1, 2, 2)),
        head=jnp.zeros((1, 2, 3)),
        valid=jnp.ones((1, 2), bool),
    )
    gaze = seen_gaze(config, windows.gaze, windows.valid, 2)
    frames = Frame(gaze, windows.valid, jnp.zeros((1, 2, noise_width(config))))
    carry = start(config, jnp.zeros((1, 3)), jnp.zeros((1, config.style)))

    @nn.nowrap
    def everything(model: Natural):
        heads = model(carry, frames)
        return (heads, model.style(windows)) if config.style else heads

    return jax.jit(lambda k: nn.init(everything, Natural(config))(k))(key)["params"]
