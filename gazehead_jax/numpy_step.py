"""One frame of a model in NumPy: no compilation, no dispatch, a few microseconds a frame.

The same arithmetic as `networks.step`, for a few rows on a processor. `gazehead export
--format numpy` hands this file on as it stands, so that it imports NumPy alone and its
annotations are plain.

A frame's inputs stand beside each other in one buffer

    x = [hidden | 1 | seen | constant | z]

so that what the prior and the GRU take from the last frame is one product with its
beginning, and what the GRU takes from this frame one with its end; biases are the rows of
the 1. The buffer is also most of the state. Sigmoids are tanh of half their argument, and
that half is in the weights.

Dims: s rows (samples), h hidden, z latent, n noise, g what `networks.seen_gaze` gives.
"""

import json
import math
import types
from pathlib import Path

import numpy as np

# As in natural.py; a test holds them together.
EYE, GAZE_STEP, HEAD_STEP, HEAD_CHANGE = 0.25, 0.05, 0.015, 0.003
TILT, POSTURE, GAZE_PITCH = 0.2, 0.5, 0.3
FEATURE_LIMIT = 8.0
POSTURE_FRAMES = 150.0
FASTEST = 0.5
TILT_LIMIT = 1.4
LOOKS = 4
# As in model.py.
HEAD_LIMIT = 10.0


class NumpyStep:
    """A model's step for a fixed number of rows.

    Example:
      stepper = NumpyStep(checkpoint)
      state = stepper.start()
      state, head = stepper.step(state, gaze, valid, noise)

    Or, quicker, with the state inside: `resume` it, then `advance` frame by frame.

    Args:
      checkpoint: anything with the `config.model` and `params` of a `Checkpoint`.
      num_samples: s.
    """

    def __init__(self, checkpoint, num_samples: int = 1):
        self.config = c = checkpoint.config.model
        self.num_samples = s = num_samples
        cell = checkpoint.params["cell"]
        self._is_natural = natural = c.kind == "natural"
        looks = LOOKS if natural and c.lookahead else 0
        # What the natural cell calls `seen` has 16 features and 3 a look ahead.
        seen = 16 + 3 * looks if natural else 2
        constant = c.style if natural else c.context * c.head_dim
        self._learned = natural or c.prior == "learned"
        self.noise_width = c.latent + 3 if natural else c.latent
        self.gaze_width = 2 + 3 * looks
        h, known = c.hidden, c.hidden + 1 + seen + constant

        # NumPy takes its own numbers faster than Python's.
        self._limit = np.float32(FEATURE_LIMIT if natural else HEAD_LIMIT)
        # Of half the prior's logarithm of variance.
        lowest_highest = (-4, 2) if natural else (-6, 3)
        self._lowest, self._highest = np.float32(lowest_highest)
        self._half, self._one = np.float32([0.5, 1])

        self._from_hidden, self._from_input = _gru(cell["gru"], h, seen, c.latent)
        unseen = np.zeros((seen + constant, 3 * h), np.float32)
        self._from_known = np.concatenate([self._from_hidden, unseen])
        if self._learned:
            self._prior_hidden = prior = _with_bias(cell["prior_hidden"], h)
            self._from_known = np.concatenate([self._from_known, prior], 1)
            spread = np.float32([1] * c.latent + [0.5] * c.latent)
            self._prior = _with_bias(cell["prior"], prior.shape[1]) * spread
            self._inner = np.ones((s, prior.shape[1] + 1), np.float32)
            self._drawn = np.empty((s, 2 * c.latent), np.float32)
        self._head = _with_bias(cell["head"], h)

        # Buffers, and parts of them made once: making a view costs as much as using it.
        self._x = x = np.ones((s, known + c.latent), np.float32)
        self._hidden, self._seen = x[:, :h], x[:, h + 1 : h + 1 + seen]
        self._constant, self._z = x[:, h + 1 + seen : known], x[:, known:]
        self._known, self._input = x[:, :known], x[:, h:]
        self._output_of = self._known if natural else x[:, : h + 1]
        self._a = a = np.empty((s, self._from_known.shape[1]), np.float32)
        self._b = b = np.empty((s, 3 * h), np.float32)
        self._gates = (a[:, : 2 * h], b[:, : 2 * h], a[:, :h], a[:, h : 2 * h])
        self._new, self._new_input = a[:, 2 * h : 3 * h], b[:, 2 * h :]
        self._inner_in = a[:, 3 * h :]
        self._out = np.empty((s, self._head.shape[1]), np.float32)
        self.resume(self.start())

    def start(self, style=None) -> dict[str, np.ndarray]:
        """The state without a past: a natural head at rest and straight, a cvae at the
        mean.

        Args:
          style: `[s, style]`, of a natural model; zeros when left out.
        """
        c, s = self.config, self.num_samples
        zeros = lambda *shape: np.zeros((s, *shape), np.float32)
        if self._is_natural:
            state = _named([[0.0] * 12 + [False]] * s)
            state["style"] = zeros(c.style) if style is None else np.float32(style)
        else:
            past = (c.context, c.head_dim)
            state = {"z": zeros(c.latent), "gaze": zeros(2)}
            state |= {"recent": zeros(*past), "context": zeros(*past)}
        return state | {"hidden": zeros(c.hidden), "t": np.zeros((), np.int32)}

    def step(self, state, gaze, valid, noise):
        """One frame; the arguments stay as they are.

        Args:
          state: from `start` or the last frame; its names are those of the model's
            `Carry`.
          gaze: `[s, g]`, in the network's units (radians if it is natural).
          valid: `[s]` bool, whether the gaze may be used.
          noise: `[s, n]` standard normal.

        Returns:
          (the state, heads `[s, d]` in the network's units).
        """
        self.resume(state)
        head = self.advance(gaze, valid, noise)
        return self.state(), head

    def resume(self, state) -> None:
        """Goes on from a state."""
        self._hidden[:], self._t = state["hidden"], int(state["t"])
        if self._is_natural:
            self._constant[:], self._rows = state["style"], _rows(state)
        else:
            self._constant[:] = state["context"].reshape(self._constant.shape)
            self._recent = state["recent"].reshape(self._constant.shape).copy()
            self._z[:], self._seen[:] = state["z"], state["gaze"]

    def state(self) -> dict[str, np.ndarray]:
        """The state now, for `resume`."""
        if self._is_natural:
            state = _named(self._rows) | {"style": self._constant.copy()}
        else:
            past = (self.num_samples, self.config.context, self.config.head_dim)
            state = {
                "z": self._z.copy(),
                "recent": self._recent.reshape(past).copy(),
                "context": self._constant.reshape(past).copy(),
                "gaze": self._seen.copy(),
            }
        return state | {"hidden": self._hidden.copy(), "t": np.array(self._t, np.int32)}

    def advance(self, gaze, valid, noise) -> np.ndarray:
        """Heads of the next frame; arguments and heads as of `step`."""
        self._t += 1
        frame = self._natural if self._is_natural else self._cvae
        return frame(gaze, valid, noise)

    # --- the two kinds ---------------------------------------------------------------

    def _natural(self, gaze, valid, noise):
        features, latent = self._seen, self.config.latent
        # A few rows are faster as Python's numbers than as tiny arrays.
        for i, given in enumerate(zip(gaze.tolist(), valid.tolist(), strict=True)):
            features[i] = self._features(self._rows[i], *given)
        np.minimum(features, self._limit, out=features)
        np.maximum(features, -self._limit, out=features)
        self._known.dot(self._from_known, self._a)
        self._draw(noise[:, :latent])
        self._update()
        made = self._output_of.dot(self._head, self._out).tolist()
        for row, out, push in zip(
            self._rows, made, noise[:, latent:].tolist(), strict=True
        ):
            _move(row, out, push)
        return np.array([row[:3] for row in self._rows], np.float32)

    def _features(self, row, gaze, valid):
        """Features of a row, whose gaze is renewed; see `natural.Cell`."""
        pitch, yaw, roll = row[:3]
        was_pitch, was_yaw, posture, seen = row[9:]
        up, side = gaze[:2] if valid else (was_pitch, was_yaw)
        if not seen:
            was_pitch, was_yaw, posture = up, side, side
        posture += _wrap(side - posture) / POSTURE_FRAMES
        row[9:] = up, side, posture, seen or valid
        eye = (up, side)
        if self.config.sees == "eyes":
            eye = _eye(up, side, pitch, yaw, roll)
        features = [
            eye[0] / EYE,
            eye[1] / EYE,
            _wrap(up - was_pitch) / GAZE_STEP,
            _wrap(side - was_yaw) / GAZE_STEP,
            row[3] / HEAD_STEP,
            row[4] / HEAD_STEP,
            row[5] / HEAD_STEP,
            row[6] / HEAD_CHANGE,
            row[7] / HEAD_CHANGE,
            row[8] / HEAD_CHANGE,
            pitch / TILT,
            roll / TILT,
            up / GAZE_PITCH,
            _wrap(side - posture) / POSTURE,
            _wrap(yaw - posture) / POSTURE,
            1.0 if valid else 0.0,
        ]
        for look in range(2, self.gaze_width, 3):
            to_pitch, to_yaw, known = gaze[look : look + 3]
            features += (
                (_wrap(to_pitch - up) / EYE, _wrap(to_yaw - side) / EYE, 1.0)
                if known
                else (0.0, 0.0, 0.0)
            )
        return features

    def _cvae(self, gaze, valid, noise):
        c, recent, past = self.config, self._recent, self._constant
        np.copyto(self._seen, gaze, where=valid[:, None])
        starts = (self._t - 1) % c.period == 0
        if starts:
            past[:] = recent
            if not c.carry_state:
                self._hidden[:] = 0
        self._known.dot(self._from_known, self._a)
        if starts and self._learned:
            self._draw(noise)
        elif starts:
            self._z[:] = noise
        self._update()
        head = self._output_of.dot(self._head)
        if c.increments:
            head += past[:, -c.head_dim :]
        np.minimum(head, self._limit, out=head)
        np.maximum(head, -self._limit, out=head)
        if c.context:
            recent[:, : -c.head_dim] = recent[:, c.head_dim :]
            recent[:, -c.head_dim :] = head
        return head

    # --- what both share -------------------------------------------------------------

    def _draw(self, noise):
        """z of the learned prior, into the buffer."""
        inner, drawn, latent = self._inner, self._drawn, self.config.latent
        np.tanh(self._inner_in, out=inner[:, :-1])
        inner.dot(self._prior, drawn)
        spread = drawn[:, latent:]
        np.minimum(spread, self._highest, out=spread)
        np.maximum(spread, self._lowest, out=spread)
        np.exp(spread, out=spread)
        spread *= noise
        np.add(drawn[:, :latent], spread, out=self._z)

    def _update(self):
        """The GRU's next hidden state, into the buffer."""
        both, both_input, reset, keep = self._gates
        hidden, new = self._hidden, self._new
        self._input.dot(self._from_input, self._b)
        both += both_input
        np.tanh(both, out=both)
        both += self._one
        both *= self._half
        new *= reset
        new += self._new_input
        np.tanh(new, out=new)
        # (1 - u) n + u h
        hidden -= new
        hidden *= keep
        hidden += new


class Exported(NumpyStep):
    """A model that `gazehead export --format numpy` wrote; radians in and out.

    Example:
      model = Exported("folder")
      state = model.start()
      noise = numpy.random.standard_normal((1, model.noise_width), numpy.float32)
      state, head = model.step(state, gaze, valid, noise)

    Attributes:
      fps: call `step` so often a second.
      gaze_width, noise_width: sizes of its inputs, see README.txt.

    Args:
      folder: with weights.npz.
      num_samples: rows.
    """

    def __init__(self, folder, num_samples: int = 1):
        with np.load(Path(folder) / "weights.npz", allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(str(arrays.pop("about")))
        params: dict = {}
        for name, array in arrays.items():
            *sections, last = name.split("/")
            place = params
            for section in sections:
                place = place.setdefault(section, {})
            place[last] = array
        config = types.SimpleNamespace(**about["config"]["model"])
        checkpoint = types.SimpleNamespace(
            config=types.SimpleNamespace(model=config), params=params
        )
        super().__init__(checkpoint, num_samples)
        self.fps = about["config"]["data"]["fps"]
        self._units = {k: np.float32(v) for k, v in about["normaliser"].items()}

    def advance(self, gaze, valid, noise):
        units = self._units
        gaze = np.array(gaze, np.float32)
        gaze[:, :2] = (gaze[:, :2] - units["gaze_mean"]) / units["gaze_std"]
        made = super().advance(gaze, np.asarray(valid), np.asarray(noise))
        d = made.shape[1]
        head = np.zeros((len(made), 3), np.float32)
        head[:, :d] = made * units["head_std"][:d] + units["head_mean"][:d]
        limit = np.float32([math.pi / 2, math.pi, math.pi])
        return np.clip(head, -limit, limit)


# --- weights -----------------------------------------------------------------------


def _with_bias(dense, after: int) -> np.ndarray:
    """Kernel with the bias as row `after`, or at its end; where x has its 1."""
    kernel = np.asarray(dense["kernel"], np.float32)
    return np.insert(kernel, min(after, len(kernel)), dense["bias"], 0)


def _gru(gru, hidden: int, seen: int, latent: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights of [hidden | 1] and of [1 | seen | constant | z], gates beside each other."""

    def of_input(name):
        kernel = np.asarray(gru[name]["kernel"], np.float32)
        # The network's order is (seen, z, constant).
        order = np.r_[:seen, seen + latent : len(kernel), seen : seen + latent]
        return np.insert(kernel[order], 0, gru[name]["bias"], 0)

    def of_hidden(name):
        bias = gru[name].get("bias", np.zeros(hidden))
        return np.concatenate([gru[name]["kernel"], bias[None]]).astype(np.float32)

    halves = np.float32([0.5, 0.5, 1])
    join = lambda part, names: np.concatenate(
        [part(name) * half for name, half in zip(names, halves, strict=True)], 1
    )
    return join(of_hidden, ("hr", "hz", "hn")), join(of_input, ("ir", "iz", "in"))


# --- one row of the natural model, in Python's numbers --------------------------------


def _named(rows) -> dict[str, np.ndarray]:
    """The state of rows of (head, step, change, gaze, posture, seen)."""
    body = np.array([row[:12] for row in rows], np.float32)
    return {
        "head": body[:, :3],
        "step": body[:, 3:6],
        "change": body[:, 6:9],
        "gaze": body[:, 9:11],
        "posture": body[:, 11],
        "seen": np.array([row[12] for row in rows], bool),
    }


def _rows(state) -> list:
    """The reverse of `_named`."""
    parts = [state[name].tolist() for name in ("head", "step", "change", "gaze")]
    ends = zip(state["posture"].tolist(), state["seen"].tolist(), strict=True)
    return [
        [*head, *step, *change, *gaze, *end]
        for head, step, change, gaze, end in zip(*parts, ends, strict=True)
    ]


def _wrap(angle: float) -> float:
    return (angle + math.pi) % (2 * math.pi) - math.pi


def _eye(up, side, pitch, yaw, roll) -> tuple[float, float]:
    """`motion.gaze_in_head` of one row: R⊤ v."""
    # Turning about the vertical first leaves only the difference of the yaws.
    cos_up, turn = math.cos(up), side - yaw
    x, y, z = -cos_up * math.sin(turn), -math.sin(up), -cos_up * math.cos(turn)
    sp, cp, sr, cr = math.sin(pitch), math.cos(pitch), math.sin(roll), math.cos(roll)
    y, z = cp * y - sp * z, sp * y + cp * z
    x, y = cr * x + sr * y, cr * y - sr * x
    return math.atan2(-y, math.hypot(x, z)), math.atan2(-x, -z)


def _move(row, out, noise) -> None:
    """Renews head, step and change of a row by the network's 12 outputs."""
    for i in range(3):
        # Comparisons are several times as fast as min and max.
        spread = out[3 + i] - 1
        spread = 2.0 if spread > 2 else -6.0 if spread < -6 else spread
        keep_step = 0.5 + 0.5 * math.tanh(0.5 * out[6 + i] + 1)
        keep_change = 0.5 + 0.5 * math.tanh(0.5 * out[9 + i])
        row[6 + i] = change = (
            keep_change * row[6 + i]
            + (1 - keep_change) * HEAD_CHANGE * out[i]
            + 1e-3 * math.exp(spread) * noise[i]
        )
        step = keep_step * row[3 + i] + change
        step = FASTEST if step > FASTEST else -FASTEST if step < -FASTEST else step
        head, limit = row[i] + step, TILT_LIMIT
        if i == 1:
            head = _wrap(head)
        else:
            head = limit if head > limit else -limit if head < -limit else head
        row[i], row[3 + i] = head, step
