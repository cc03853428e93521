"""A model's step for other runtimes: StableHLO, ONNX, or NumPy alone.

What is exported is one frame, (state, gaze, valid, noise) → (state, head), in radians and
for any number of rows b. Nothing is hidden in it: whoever calls keeps the state and draws
the noise. Beside it lie a README and a JSON with all names, shapes and units.
"""

import contextlib
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from gazehead_jax import model, natural, networks, numpy_step
from gazehead_jax.checkpoint import Checkpoint, pack
from gazehead_jax.errors import require
from gazehead_jax.files import atomic_path
from gazehead_jax.version import __version__

# Where an exported StableHLO step runs.
PLATFORMS = ("cpu", "cuda", "tpu")


def export(checkpoint: Checkpoint, format: str, out: str | Path) -> Path:
    """Writes a model's step into a folder.

    Args:
      checkpoint: the model.
      format: "stablehlo" (step.stablehlo, for `jax.export.deserialize`), "onnx"
        (step.onnx) or "numpy" (step.py and weights.npz, which is also a packed model).
      out: the folder; files of the same names are replaced, each whole or not at all.

    Returns:
      The folder.

    Raises:
      GazeheadError: another format, a package that the format needs is missing, `out` is a
        file, holds an export to another format or cannot be written.
    """
    require(
        format in FORMATS,
        f"format must be one of {', '.join(FORMATS)}, got {format!r}.",
    )
    out = Path(out)
    require(
        not out.exists() or out.is_dir(),
        f"{out}: an export is a folder, and this is a file; name another place.",
    )
    others = [
        name for name in FORMATS if name != format and (out / STEPS[name]).exists()
    ]
    require(
        not others,
        f"{out}: holds an export to {' and '.join(others)}, whose README would be "
        "replaced; name another folder.",
    )
    facts = describe(checkpoint)
    files = FORMATS[format](checkpoint) | {
        "step.json": json.dumps(facts, indent=1).encode() + b"\n",
        "README.txt": _readme(facts, format).encode(),
    }
    with contextlib.ExitStack() as stack:
        for name, content in files.items():
            stack.enter_context(atomic_path(out / name)).write_bytes(content)
    return out


def describe(checkpoint: Checkpoint) -> dict:
    """What step.json holds: every input and output with shape, type and meaning."""
    c = checkpoint.config.model
    ahead = _looks(checkpoint)
    looks = "".join(
        f"; then (pitch, yaw, known) of {n} frames ahead, known 1 or 0, all three 0 where "
        "unknown, as in live use"
        if n == ahead[0]
        else f"; of {n} frames ahead"
        for n in ahead
    )
    state = {
        name: {"shape": ["b", *x.shape[1:]] if x.ndim else [], "dtype": str(x.dtype)}
        for name, x in _states(checkpoint, 1).items()
    }
    return {
        "format": 1,
        "made_by": f"gazehead_jax {__version__}",
        "model": checkpoint.name,
        "fps": checkpoint.config.data.fps,
        "inputs": {
            "gaze": {
                "shape": ["b", 2 + 3 * len(ahead)],
                "dtype": "float32",
                "what": "(pitch, yaw) in radians, camera frame, pitch + up, yaw + to the "
                f"left of the image{looks}",
            },
            "valid": {
                "shape": ["b"],
                "dtype": "bool",
                "what": "false where the gaze of this frame must not be used, as in a "
                "blink; where true it must be finite",
            },
            "noise": {
                "shape": ["b", networks.noise_width(c)],
                "dtype": "float32",
                "what": "standard normal, drawn anew for each frame; zeros give the "
                "model's middle way"
                + (f"; used in one frame of {c.period}" if c.period > 1 else ""),
            },
        },
        "outputs": {
            "head": {
                "shape": ["b", 3],
                "dtype": "float32",
                "what": "(pitch, yaw, roll) in radians, signs as of gaze, roll + "
                "clockwise in the image",
            }
        },
        "state": state,
        "start": "zeros and false in every entry of the state"
        + (
            "; style, which stays as it is, is drawn from a standard normal and tells "
            "people apart"
            if c.style
            else ""
        ),
        "licences": list(checkpoint.provenance.get("licences", ["not stated"])),
    }


def step_function(checkpoint: Checkpoint) -> Callable:
    """`step(state, gaze, valid, noise) -> (state, head)` over JAX arrays, in radians; the
    state is a dict, and what stands in `describe` holds."""
    config, units = checkpoint.config.model, checkpoint.normaliser
    kind = natural if config.kind == "natural" else model
    params = {"cell": checkpoint.params["cell"]}
    limit = np.float32([[np.pi / 2, np.pi, np.pi]])

    def step(state, gaze, valid, noise):
        now = (gaze[:, :2] - units.gaze_mean[None]) / units.gaze_std[None]
        gaze = jnp.concatenate([now, gaze[:, 2:]], -1)
        carry = kind.Carry(**state)
        carry, made = networks.step(config, params, carry, gaze, valid, noise)
        d = made.shape[-1]
        made = made * units.head_std[None, :d] + units.head_mean[None, :d]
        head = jnp.clip(jnp.pad(made, ((0, 0), (0, 3 - d))), -limit, limit)
        return {name: getattr(carry, name) for name in state}, head

    return step


def _states(checkpoint: Checkpoint, rows: int) -> Mapping[str, np.ndarray]:
    return {
        name: np.asarray(x)
        for name, x in numpy_step.NumpyStep(checkpoint, rows).start().items()
    }


def _looks(checkpoint: Checkpoint) -> list[int]:
    """How many frames ahead a model looks."""
    c = checkpoint.config.model
    if c.kind != "natural" or not c.lookahead:
        return []
    looks = natural.LOOKS
    return [-(-c.lookahead * (i + 1) // looks) for i in range(looks)]


# --- formats -----------------------------------------------------------------------


def _stablehlo(checkpoint: Checkpoint) -> dict[str, bytes]:
    try:
        import flatbuffers  # noqa: F401
    except ImportError:
        _missing("stablehlo", "flatbuffers")
    from jax import export as jax_export

    facts = describe(checkpoint)
    (b,) = jax_export.symbolic_shape("b")
    spec = lambda x: jax.ShapeDtypeStruct(
        tuple(b if n == "b" else n for n in x["shape"]), x["dtype"]
    )
    state = {name: spec(x) for name, x in facts["state"].items()}
    inputs = [spec(facts["inputs"][name]) for name in ("gaze", "valid", "noise")]
    exported = jax_export.export(
        jax.jit(step_function(checkpoint)), platforms=PLATFORMS
    )(state, *inputs)
    return {"step.stablehlo": bytes(exported.serialize())}


def _onnx(checkpoint: Checkpoint) -> dict[str, bytes]:
    try:
        import onnx  # noqa: F401
    except ImportError:
        _missing("onnx", "onnx")
    from gazehead_jax.export_onnx import step_model

    return {
        "step.onnx": step_model(checkpoint, describe(checkpoint)).SerializeToString()
    }


def _numpy(checkpoint: Checkpoint) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        packed = pack(checkpoint, Path(folder) / "weights.npz").read_bytes()
    return {
        "weights.npz": packed,
        "step.py": Path(numpy_step.__file__).read_bytes(),
    }


FORMATS = {"stablehlo": _stablehlo, "onnx": _onnx, "numpy": _numpy}
# The file that is each format's step.
STEPS = {"stablehlo": "step.stablehlo", "onnx": "step.onnx", "numpy": "step.py"}


def _missing(format: str, package: str) -> None:
    require(
        False,
        f"--format {format} needs the package {package}, which is not installed; "
        "pip install -e '.[export]' in the clone.",
    )


# --- README ------------------------------------------------------------------------

_USE = {
    "stablehlo": """\
Needs jax and flatbuffers; runs on {platforms}, for any b.

  import jax, jax.export, json, numpy
  facts = json.load(open("step.json"))
  step = jax.jit(jax.export.deserialize(open("step.stablehlo", "rb").read()).call)
  b = 1
  state = {{k: numpy.zeros([b if n == "b" else n for n in x["shape"]], x["dtype"])
           for k, x in facts["state"].items()}}
  state, head = step(state, gaze, valid, noise)
""",
    "onnx": """\
ONNX, opset {opset}, for any b. State goes in as state_NAME and comes out as next_NAME.

  import json, numpy, onnxruntime
  facts = json.load(open("step.json"))
  session = onnxruntime.InferenceSession("step.onnx")
  b = 1
  state = {{k: numpy.zeros([b if n == "b" else n for n in x["shape"]], x["dtype"])
           for k, x in facts["state"].items()}}
  given = {{"state_" + k: x for k, x in state.items()}}
  head, *after = session.run(None, dict(given, gaze=gaze, valid=valid, noise=noise))
  state = dict(zip(state, after))
""",
    "numpy": """\
Needs NumPy alone. weights.npz is also a model for `gazehead --checkpoint`.

  import numpy, step
  model = step.Exported(".")
  state = model.start()
  state, head = model.step(state, gaze, valid, noise)
""",
}


def _readme(facts: Mapping, format: str) -> str:
    size = lambda x: f"[{', '.join(map(str, x['shape']))}] {x['dtype']}"
    lines = [
        f"The head-motion model {facts['model']!r}: gaze in, head out, one frame a call,",
        f"{facts['fps']:g} calls a second. Written by {facts['made_by']}.",
        f"Licences of what it was trained on: {'; '.join(facts['licences'])}.",
        "",
    ]
    for group in ("inputs", "outputs"):
        for name, x in facts[group].items():
            lines.append(f"{group[:-1]} {name} {size(x)}: {x['what']}.")
    lines += [
        "",
        "state, handed from each call to the next: "
        + ", ".join(f"{name} {size(x)}" for name, x in facts["state"].items())
        + ".",
        f"It starts as {facts['start']}.",
        "",
    ]
    opset = None
    if format == "onnx":
        from gazehead_jax.export_onnx import OPSET as opset
    return "\n".join([*lines, ""]) + _USE[format].format(
        platforms=", ".join(PLATFORMS), opset=opset
    )
