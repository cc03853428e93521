"""One frame of a model in NumPy: no compilation, no dispatch, a few microseconds a frame.

The same arithmetic as `networks.step`, for a few rows on a processor. `gazehead export
--format numpy` hands this file on as it stands, so that it imports NumPy alone and its
annotations are plain.

A frame's inputs stand beside each other in one buffer

    x = [hidden | 1 | seen | constant | z]

so that the prior, both halves of the GRU and the output each are one product with a
neighbouring part of it; biases are the rows of the 1. Sigmoids are tanh of half their
argument, and the halves are in the weights.

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

    Args:
      checkpoint: anything with the `config.model` and `params` of a `Checkpoint`.
      num_samples: s.
    """

    def __init__(self, checkpoint, num_samples: int = 1):
        self.config = c = checkpoint.config.model
        self.num_samples = s = num_samples
        cell = checkpoint.params["cell"]
        natural = c.kind == "natural"
        looks = LOOKS if natural and c.lookahead else 0
        # What the natural cell calls `seen` has 16 features and 3 a look ahead.
        self._seen = 16 + 3 * looks if natural else 2
        constant = c.style if natural else c.context * c.head_dim
        self._learned = natural or c.prior == "learned"
        self.noise_width = c.latent + 3 if natural else c.latent
        self.gaze_width = 2 + 3 * looks
        h, known = c.hidden, c.hidden + 1 + self._seen + constant

        # NumPy takes its own numbers faster than Python's.
        self._limit = np.float32(FEATURE_LIMIT if natural else HEAD_LIMIT)
        # Of half the prior's logarithm of variance.
        lowest_highest = (-4, 2) if natural else (-6, 3)
        self._lowest, self._highest = np.float32(lowest_highest)
        self._half, self._one = np.float32([0.5, 1])

        if self._learned:
            prior = _with_bias(cell["prior_hidden"], h)
            spread = np.float32([1] * c.latent + [0.5] * c.latent)
            self._prior_hidden = prior
            self._prior = _with_bias(cell["prior"], prior.shape[1]) * spread
            self._inner = np.ones((s, prior.shape[1] + 1), np.float32)
            self._drawn = np.empty((s, 2 * c.latent), np.float32)
        self._from_hidden, self._from_input = _gru(cell["gru"], h, self._seen, c.latent)
        self._head = _with_bias(cell["head"], h)

        self._x = x = np.ones((s, known + c.latent), np.float32)
        # Parts of the buffer, made once: making a view costs as much as using it.
        self._hidden, self._with_one = x[:, :h], x[:, : h + 1]
        self._seen_part = x[:, h + 1 : h + 1 + self._seen]
        self._constant, self._z = x[:, h + 1 + self._seen : known], x[:, known:]
        self._known, self._input = x[:, :known], x[:, h:]
        self._output_of = self._known if natural else self._with_one
        a, b = (np.empty((s, 3 * h), np.float32) for _ in range(2))
        self._gates = (a, b, a[:, : 2 * h], b[:, : 2 * h])
        self._thirds = (a[:, :h], a[:, h : 2 * h], a[:, 2 * h :], b[:, 2 * h :])
        self._out = np.empty((s, self._head.shape[1]), np.float32)
        self.step = self._natural if natural else self._cvae

    def start(self, style=None) -> dict[str, np.ndarray]:
        """The state without a past: a natural head at rest and straight, a cvae at the
        mean.

        Args:
          style: `[s, style]`, of a natural model; zeros when left out.
        """
        c, s = self.config, self.num_samples
        if c.kind == "natural":
            style = np.zeros((s, c.style)) if style is None else style
            state = _named(np.zeros((s, 12), np.float32), [False] * s)
            state["style"] = np.asarray(style, np.float32).reshape(s, c.style)
        else:
            past = np.zeros((2, s, c.context, c.head_dim), np.float32)
            state = {
                "z": np.zeros((s, c.latent), np.float32),
                "recent": past[0],
                "context": past[1],
                "gaze": np.zeros((s, 2), np.float32),
            }
        return state | {
            "hidden": np.zeros((s, c.hidden), np.float32),
            "t": np.zeros((), np.int32),
        }

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
        raise NotImplementedError  # Each object has the one of its kind.

    # --- the two kinds ---------------------------------------------------------------

    def _natural(self, state, gaze, valid, noise):
        features, latent = self._seen_part, self.config.latent
        self._hidden[:] = state["hidden"]
        self._constant[:] = state["style"]
        # A few rows are faster as Python's numbers than as tiny arrays.
        memory = _rows(state)
        seen_rows, usable = gaze.tolist(), valid.tolist()
        held = []
        for i, past in enumerate(memory):
            row, held_gaze = self._features(past, seen_rows[i], usable[i])
            features[i] = row
            held.append(held_gaze)
        np.minimum(features, self._limit, out=features)
        np.maximum(features, -self._limit, out=features)
        self._draw(noise[:, :latent])
        hidden = self._update()
        made = np.dot(self._output_of, self._head, out=self._out).tolist()
        body = np.empty((len(made), 12), np.float32)
        seen = []
        for i, push in enumerate(noise[:, latent:].tolist()):
            body[i] = _moved(memory[i], made[i], push) + held[i]
            seen.append(memory[i][12] or usable[i])
        state = _named(body, seen) | {
            "style": state["style"],
            "hidden": hidden,
            "t": np.array(int(state["t"]) + 1, np.int32),
        }
        return state, state["head"]

    def _features(self, past, gaze, valid):
        """(features of a row, what is kept of its gaze), see `natural.Cell`."""
        pitch, yaw, roll = past[:3]
        was_pitch, was_yaw, posture, seen = past[9:]
        if valid:
            up, side = gaze[:2]
        else:
            up, side = was_pitch, was_yaw
        if not seen:
            was_pitch, was_yaw, posture = up, side, side
        posture += _wrap(side - posture) / POSTURE_FRAMES
        eye = (up, side)
        if self.config.sees == "eyes":
            eye = _eye(up, side, pitch, yaw, roll)
        row = [
            eye[0] / EYE,
            eye[1] / EYE,
            _wrap(up - was_pitch) / GAZE_STEP,
            _wrap(side - was_yaw) / GAZE_STEP,
            past[3] / HEAD_STEP,
            past[4] / HEAD_STEP,
            past[5] / HEAD_STEP,
            past[6] / HEAD_CHANGE,
            past[7] / HEAD_CHANGE,
            past[8] / HEAD_CHANGE,
            pitch / TILT,
            roll / TILT,
            up / GAZE_PITCH,
            _wrap(side - posture) / POSTURE,
            _wrap(yaw - posture) / POSTURE,
            1.0 if valid else 0.0,
        ]
        for look in range(2, self.gaze_width, 3):
            known = gaze[look + 2]
            row += (
                known * _wrap(gaze[look] - up) / EYE,
                known * _wrap(gaze[look + 1] - side) / EYE,
                known,
            )
        return row, (up, side, posture)

    def _cvae(self, state, gaze, valid, noise):
        c, s = self.config, self.num_samples
        starts = int(state["t"]) % c.period == 0
        context = state["recent"] if starts else state["context"]
        gaze = np.where(valid[:, None], gaze, state["gaze"]).astype(np.float32)
        self._hidden[:] = 0 if starts and not c.carry_state else state["hidden"]
        self._seen_part[:] = gaze
        self._constant[:] = context.reshape(s, -1)
        if not starts:
            self._z[:] = state["z"]
        elif self._learned:
            self._draw(noise)
        else:
            self._z[:] = noise
        hidden = self._update()
        head = np.dot(self._output_of, self._head)
        if c.increments:
            head += context[:, -1]
        np.minimum(head, self._limit, out=head)
        np.maximum(head, -self._limit, out=head)
        recent = np.empty_like(context)
        if c.context:
            recent[:, :-1] = state["recent"][:, 1:]
            recent[:, -1] = head
        state = {
            "hidden": hidden,
            "z": self._z.copy(),
            "recent": recent,
            "context": context,
            "gaze": gaze,
            "t": np.array(int(state["t"]) + 1, np.int32),
        }
        return state, head

    # --- what both share -------------------------------------------------------------

    def _draw(self, noise):
        """z of the learned prior, into the buffer."""
        inner, drawn, latent = self._inner, self._drawn, self.config.latent
        np.tanh(np.dot(self._known, self._prior_hidden), out=inner[:, :-1])
        np.dot(inner, self._prior, out=drawn)
        spread = drawn[:, latent:]
        np.minimum(spread, self._highest, out=spread)
        np.maximum(spread, self._lowest, out=spread)
        np.exp(spread, out=spread)
        spread *= noise
        np.add(drawn[:, :latent], spread, out=self._z)

    def _update(self):
        """The GRU's next hidden state `[s, h]`, also into the buffer."""
        a, b, both, other = self._gates
        reset, keep, new, new_input = self._thirds
        np.dot(self._with_one, self._from_hidden, out=a)
        np.dot(self._input, self._from_input, out=b)
        both += other
        np.tanh(both, out=both)
        # r n = (1 + tanh) n / 2, and that half is in the weights.
        reset += self._one
        new *= reset
        new += new_input
        np.tanh(new, out=new)
        # (1 - u) n + u h with u = (1 + tanh) / 2.
        hidden = self._hidden - new
        keep += self._one
        keep *= self._half
        hidden *= keep
        hidden += new
        self._hidden[:] = hidden
        return hidden


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
        self._in_units, self.step = self.step, self._in_radians

    def _in_radians(self, state, gaze, valid, noise):
        units = self._units
        gaze = np.array(gaze, np.float32)
        gaze[:, :2] = (gaze[:, :2] - units["gaze_mean"]) / units["gaze_std"]
        state, made = self._in_units(state, gaze, np.asarray(valid), np.asarray(noise))
        d = made.shape[1]
        head = np.zeros((len(made), 3), np.float32)
        head[:, :d] = made * units["head_std"][:d] + units["head_mean"][:d]
        limit = np.float32([math.pi / 2, math.pi, math.pi])
        return state, np.clip(head, -limit, limit)


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

    of_hidden = [np.asarray(gru[n]["kernel"], np.float32) for n in ("hr", "hz", "hn")]
    bias = np.zeros((1, 3 * hidden), np.float32)
    bias[0, 2 * hidden :] = gru["hn"]["bias"]
    from_hidden = np.concatenate([np.concatenate(of_hidden, 1), bias]) * np.float32(0.5)
    halves = zip(("ir", "iz", "in"), np.float32([0.5, 0.5, 1]), strict=True)
    from_input = np.concatenate([of_input(n) * half for n, half in halves], 1)
    return from_hidden, from_input


# --- one row of the natural model, in Python's numbers --------------------------------


def _named(body: np.ndarray, seen) -> dict[str, np.ndarray]:
    return {
        "head": body[:, :3],
        "step": body[:, 3:6],
        "change": body[:, 6:9],
        "gaze": body[:, 9:11],
        "posture": body[:, 11],
        "seen": np.array(seen, bool),
    }


def _rows(state) -> list:
    """head, step, change, gaze, posture, seen of each row."""
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


def _moved(past, out, noise) -> tuple[float, ...]:
    """(head, step, change) after the network's 12 outputs."""
    heads, steps, changes = [], [], []
    for i in range(3):
        # Comparisons are several times as fast as min and max.
        spread = out[3 + i] - 1
        spread = 2.0 if spread > 2 else -6.0 if spread < -6 else spread
        keep_step = 0.5 + 0.5 * math.tanh(0.5 * out[6 + i] + 1)
        keep_change = 0.5 + 0.5 * math.tanh(0.5 * out[9 + i])
        change = (
            keep_change * past[6 + i]
            + (1 - keep_change) * HEAD_CHANGE * out[i]
            + 1e-3 * math.exp(spread) * noise[i]
        )
        step = keep_step * past[3 + i] + change
        step = FASTEST if step > FASTEST else -FASTEST if step < -FASTEST else step
        head, limit = past[i] + step, TILT_LIMIT
        if i == 1:
            head = _wrap(head)
        else:
            head = limit if head > limit else -limit if head < -limit else head
        heads.append(head)
        steps.append(step)
        changes.append(change)
    return (*heads, *steps, *changes)
