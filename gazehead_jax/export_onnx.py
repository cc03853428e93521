"""A model's step as an ONNX graph, over the same joined weights as `numpy_step`."""

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gazehead_jax import model, natural
from gazehead_jax.checkpoint import Checkpoint
from gazehead_jax.numpy_step import NumpyStep
from gazehead_jax.version import __version__

OPSET = 17
# The one that brought opset 17.
IR_VERSION = 8
_TYPES = {
    "float32": TensorProto.FLOAT,
    "bool": TensorProto.BOOL,
    "int32": TensorProto.INT32,
}


class _Value:
    """The name of a tensor in a graph, with arithmetic that adds nodes."""

    def __init__(self, graph: "_Graph", name: str):
        self.graph, self.name = graph, name

    def __add__(self, other):
        return self.graph("Add", self, other)

    def __sub__(self, other):
        return self.graph("Sub", self, other)

    def __rsub__(self, other):
        return self.graph("Sub", other, self)

    def __mul__(self, other):
        return self.graph("Mul", self, other)

    def __truediv__(self, other):
        return self.graph("Div", self, other)

    def __matmul__(self, other):
        return self.graph("MatMul", self, other)

    def __neg__(self):
        return self.graph("Neg", self)

    __radd__, __rmul__ = __add__, __mul__

    def columns(self, first: int, end: int) -> "_Value":
        ends = [np.int64([x]) for x in (first, end, 1)]
        return self.graph("Slice", self, *ends)


class _Graph:
    def __init__(self):
        self.nodes, self.constants = [], []

    def __call__(self, op: str, *inputs, **attributes) -> _Value:
        name = f"v{len(self.nodes)}"
        names = [self._name(x) for x in inputs]
        self.nodes.append(helper.make_node(op, names, [name], **attributes))
        return _Value(self, name)

    def _name(self, x) -> str:
        if isinstance(x, _Value):
            return x.name
        array = np.asarray(x)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(array), name))
        return name

    def dense(self, x, weights: np.ndarray, row: int) -> _Value:
        """x @ weights + bias; numpy_step keeps the bias as a row of the weights."""
        return x @ np.delete(weights, row, 0) + weights[row]

    def join(self, *parts) -> _Value:
        return self("Concat", *parts, axis=-1)

    def number(self, boolean) -> _Value:
        return self("Cast", boolean, to=TensorProto.FLOAT)

    def column(self, vector) -> _Value:
        return self("Unsqueeze", vector, np.int64([1]))

    def clip(self, x, low: float, high: float) -> _Value:
        return self("Clip", x, np.float32(low), np.float32(high))

    def sigmoid(self, x) -> _Value:
        return self("Sigmoid", x)

    def wrap(self, angle) -> _Value:
        turns = self("Floor", (angle + np.pi) * (0.5 / np.pi))
        return angle - turns * (2 * np.pi)

    def arctan2(self, y, x) -> _Value:
        # ONNX has none. Far from 0 the tangent is infinite, and its arc a right angle.
        steep = self("Abs", y) / self("Max", self("Abs", x), np.float32(1e-30))
        first = self("Atan", steep)
        turned = self("Where", self("Less", x, 0.0), np.pi - first, first)
        return self("Where", self("Less", y, 0.0), -turned, turned)


def step_model(checkpoint: Checkpoint, facts: Mapping) -> onnx.ModelProto:
    """The graph, checked; inputs and outputs as `export.describe` has them."""
    g, weights = _Graph(), NumpyStep(checkpoint)
    units, config = checkpoint.normaliser, checkpoint.config.model
    state = {name: _Value(g, f"state_{name}") for name in facts["state"]}
    now = _Value(g, "gaze")
    valid = g.column(_Value(g, "valid"))
    noise = _Value(g, "noise")
    in_units = (now.columns(0, 2) - units.gaze_mean) / units.gaze_std
    if config.kind == "natural":
        after, made = _natural(g, weights, state, now, in_units, valid, noise)
    else:
        after, made = _cvae(g, weights, state, in_units, valid, noise)
    d = config.head_dim if config.kind == "cvae" else 3
    head = made * units.head_std[:d] + units.head_mean[:d]
    if d < 3:
        head = g.join(head, g.number(valid) * 0.0)
    limit = np.float32([np.pi / 2, np.pi, np.pi])
    head = g("Max", g("Min", head, limit), -limit)

    results = {"head": head} | {f"next_{name}": after[name] for name in state}
    for name, value in results.items():
        g.nodes.append(helper.make_node("Identity", [value.name], [name]))
    tensor = lambda name, x: helper.make_tensor_value_info(
        name, _TYPES[x["dtype"]], x["shape"]
    )
    given = {f"state_{k}": x for k, x in facts["state"].items()} | facts["inputs"]
    out = facts["outputs"] | {f"next_{k}": x for k, x in facts["state"].items()}
    graph = helper.make_graph(
        g.nodes,
        "step",
        [tensor(name, x) for name, x in given.items()],
        [tensor(name, x) for name, x in out.items()],
        g.constants,
    )
    made = helper.make_model(
        graph,
        producer_name="gazehead_jax",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(made, full_check=True)
    return made


def _draw(g, w, hidden, seen, constant, noise, low, high) -> _Value:
    inner = g.join(hidden, seen, constant)
    inner = g("Tanh", g.dense(inner, w._prior_hidden, w.config.hidden))
    drawn = g.dense(inner, w._prior, len(w._prior) - 1)
    latent = w.config.latent
    spread = g("Exp", g.clip(drawn.columns(latent, 2 * latent), low, high))
    return drawn.columns(0, latent) + spread * noise


def _update(g, w, hidden, seen, constant, z) -> _Value:
    h = w.config.hidden
    a = g.dense(hidden, w._from_hidden, h)
    b = g.dense(g.join(seen, constant, z), w._from_input, 0)
    both = (g("Tanh", a.columns(0, 2 * h) + b.columns(0, 2 * h)) + 1.0) * 0.5
    reset, keep = both.columns(0, h), both.columns(h, 2 * h)
    new = g("Tanh", a.columns(2 * h, 3 * h) * reset + b.columns(2 * h, 3 * h))
    return new + keep * (hidden - new)


def _cvae(g, w, state, gaze, valid, noise):
    c = w.config
    starts = g("Equal", g("Mod", state["t"], np.int32(c.period)), np.int32(0))
    gaze = g("Where", valid, gaze, state["gaze"])
    context = g("Where", starts, state["recent"], state["context"])
    past = gaze.columns(0, 0)
    if c.context:
        past = g("Reshape", context, np.int64([-1, c.context * c.head_dim]))
    hidden = state["hidden"]
    if not c.carry_state:
        hidden = g("Where", starts, np.zeros((1, c.hidden), np.float32), hidden)
    drawn = noise
    if c.prior == "learned":
        drawn = _draw(g, w, hidden, gaze, past, noise, -6.0, 3.0)
    z = g("Where", starts, drawn, state["z"])
    hidden = _update(g, w, hidden, gaze, past, z)
    head = g.dense(hidden, w._head, c.hidden)
    if c.increments:
        head = head + past.columns((c.context - 1) * c.head_dim, c.context * c.head_dim)
    head = g.clip(head, -model.HEAD_LIMIT, model.HEAD_LIMIT)
    recent = state["recent"]
    if c.context:
        latest = g("Unsqueeze", head, np.int64([1]))
        recent = g("Concat", recent.columns(1, c.context), latest, axis=1)
    after = {
        "hidden": hidden,
        "z": z,
        "recent": recent,
        "context": context,
        "gaze": gaze,
        "t": g("Add", state["t"], np.int32(1)),
    }
    return after, head


def _natural(g, w, state, given, gaze, valid, noise):
    latent = w.config.latent
    head, step, change, style = (state[k] for k in ("head", "step", "change", "style"))
    gaze = g("Where", valid, gaze, state["gaze"])
    seen = g.column(state["seen"])
    was = g("Where", seen, state["gaze"], gaze)
    side = gaze.columns(1, 2)
    posture = g("Where", seen, g.column(state["posture"]), side)
    posture = posture + g.wrap(side - posture) / natural.POSTURE_FRAMES
    pitch, yaw, roll = (head.columns(i, i + 1) for i in range(3))
    eye = _eye(g, gaze, pitch, yaw, roll) if w.config.sees == "eyes" else gaze
    features = [
        eye / natural.EYE,
        g.wrap(gaze - was) / natural.GAZE_STEP,
        step / natural.HEAD_STEP,
        change / natural.HEAD_CHANGE,
        pitch / natural.TILT,
        roll / natural.TILT,
        gaze.columns(0, 1) / natural.GAZE_PITCH,
        g.wrap(side - posture) / natural.POSTURE,
        g.wrap(yaw - posture) / natural.POSTURE,
        g.number(valid),
    ]
    for look in range(2, w.gaze_width, 3):
        known = given.columns(look + 2, look + 3)
        apart = g.wrap(given.columns(look, look + 2) - gaze)
        features += [known * apart / natural.EYE, known]
    limit = natural.FEATURE_LIMIT
    features = g.clip(g.join(*features), -limit, limit)

    z_noise, head_noise = noise.columns(0, latent), noise.columns(latent, latent + 3)
    hidden = state["hidden"]
    z = _draw(g, w, hidden, features, style, z_noise, -4.0, 2.0)
    hidden = _update(g, w, hidden, features, style, z)
    out = g.dense(g.join(hidden, features, style), w._head, w.config.hidden)
    push, logstd, keep_step, keep_change = (
        out.columns(3 * i, 3 * i + 3) for i in range(4)
    )
    keep_step = g.sigmoid(keep_step + 2.0)
    keep_change = g.sigmoid(keep_change)
    change = (
        keep_change * change
        + (1.0 - keep_change) * natural.HEAD_CHANGE * push
        + g("Exp", g.clip(logstd - 1.0, -6.0, 2.0)) * head_noise * 1e-3
    )
    step = g.clip(keep_step * step + change, -natural.FASTEST, natural.FASTEST)
    head = head + step
    tilt = g.clip(head, -natural.TILT_LIMIT, natural.TILT_LIMIT)
    parts = (tilt.columns(0, 1), g.wrap(head.columns(1, 2)), tilt.columns(2, 3))
    head = g.join(*parts)
    after = {
        "hidden": hidden,
        "head": head,
        "step": step,
        "change": change,
        "gaze": gaze,
        "posture": g("Squeeze", posture, np.int64([1])),
        "style": style,
        "seen": g("Squeeze", g("Or", seen, valid), np.int64([1])),
        "t": g("Add", state["t"], np.int32(1)),
    }
    return after, head


def _eye(g, gaze, pitch, yaw, roll) -> _Value:
    """`motion.gaze_in_head`, as in numpy_step."""
    sin, cos = (lambda x: g("Sin", x)), (lambda x: g("Cos", x))
    up, turn = gaze.columns(0, 1), gaze.columns(1, 2) - yaw
    x, y, z = -cos(up) * sin(turn), -sin(up), -cos(up) * cos(turn)
    y, z = cos(pitch) * y - sin(pitch) * z, sin(pitch) * y + cos(pitch) * z
    x, y = cos(roll) * x + sin(roll) * y, cos(roll) * y - sin(roll) * x
    level = g("Sqrt", x * x + z * z)
    return g.join(g.arctan2(-y, level), g.arctan2(-x, -z))
