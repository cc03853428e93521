"""Exported steps, each in its own runtime, against the network; in radians."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from test_numpy_step import case

from gazehead_jax.checkpoint import load
from gazehead_jax.cli import main
from gazehead_jax.errors import GazeheadError
from gazehead_jax.export import FORMATS, describe, export

# Runs in a process of its own: reads the driving inputs, writes heads and last state.
PREAMBLE = """
import json, sys
for name in {hidden!r}:
    sys.modules[name] = None
import numpy as np
facts = json.load(open("step.json"))
given = dict(np.load("given.npz"))
gaze, valid, noise = given["gaze"], given["valid"], given["noise"]
b = len(gaze)
state = {{k: np.zeros([b if n == "b" else n for n in x["shape"]], x["dtype"])
         for k, x in facts["state"].items()}}
if "style" in state:
    state["style"] = given["style"]
heads = []
"""
LOOP = """
for i in range(gaze.shape[1]):
    state, head = step(state, gaze[:, i], valid[:, i], noise[:, i])
    heads.append(np.asarray(head))
np.savez("made.npz", heads=np.stack(heads, 1), **{"last_" + k: v for k, v in state.items()})
"""
RUNTIMES = {
    "stablehlo": """
import jax
import jax.export
step = jax.jit(jax.export.deserialize(open("step.stablehlo", "rb").read()).call)
""",
    "numpy": """
import step as program
model = program.Exported(".", b)
assert model.fps == facts["fps"] and model.noise_width == noise.shape[-1]
quicker = program.Exported(".", b)
quicker.resume(state)
def step(state, *frame):
    state, head = model.step(state, *frame)
    # It carries what `step` rounds between frames.
    np.testing.assert_allclose(quicker.advance(*frame), head, atol=1e-5)
    return state, head
""",
    "onnx": """
import onnxruntime
session = onnxruntime.InferenceSession("step.onnx")
def step(state, gaze, valid, noise):
    given = {"state_" + k: x for k, x in state.items()}
    head, *after = session.run(None, dict(given, gaze=gaze, valid=valid, noise=noise))
    return dict(zip(state, after)), head
""",
}


def in_radians(kind):
    """A checkpoint, inputs in radians, the heads that the network gives, its last state."""
    checkpoint, seen, valid, noise, style, carry, made = case(kind)
    units, d = checkpoint.normaliser, made.shape[-1]
    heads = np.zeros((*made.shape[:2], 3), np.float32)
    heads[..., :d] = made * units.head_std[:d] + units.head_mean[:d]
    limit = np.float32([np.pi / 2, np.pi, np.pi])
    gaze = seen.copy()
    gaze[..., :2] = gaze[..., :2] * units.gaze_std + units.gaze_mean
    given = {"gaze": gaze, "valid": valid, "noise": noise, "style": style}
    return checkpoint, given, np.clip(heads, -limit, limit), carry


def run_elsewhere(folder, format, given):
    hidden = ["gazehead_jax", "flax"] + ([] if format == "stablehlo" else ["jax"])
    np.savez(folder / "given.npz", **given)
    program = PREAMBLE.format(hidden=hidden) + RUNTIMES[format] + LOOP
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    with np.load(folder / "made.npz") as made:
        return dict(made)


def need(format):
    for package in {"onnx": ("onnx", "onnxruntime"), "stablehlo": ("flatbuffers",)}.get(
        format, ()
    ):
        pytest.importorskip(package)


# Each runtime with both networks; ONNX, whose graph is written by hand, with all.
CASES = [("stablehlo", "window"), ("stablehlo", "lookahead")]
CASES += [("numpy", "frame"), ("numpy", "lookahead")]
CASES += [
    ("onnx", k)
    for k in ("window", "frame", "no_temporal", "natural", "lookahead", "camera_gaze")
]


@pytest.mark.parametrize(("format", "kind"), CASES)
def test_200_frames_in_the_other_runtime(format, kind, tmp_path):
    need(format)
    checkpoint, given, expected, carry = in_radians(kind)
    folder = export(checkpoint, format, tmp_path / "model")
    made = run_elsewhere(folder, format, given)
    assert np.ptp(expected) > 0.05
    np.testing.assert_allclose(made["heads"], expected, atol=1e-5)
    for name, x in describe(checkpoint)["state"].items():
        last, found = made[f"last_{name}"], np.asarray(getattr(carry, name))
        assert str(last.dtype) == x["dtype"], name
        assert last.shape == found.shape, name
        scale = max(1, np.abs(found).max(initial=0))
        np.testing.assert_allclose(last, found, atol=2e-5 * scale, err_msg=name)


def test_one_file_is_for_any_number_of_rows_and_any_platform(tmp_path):
    need("stablehlo")
    import jax.export

    checkpoint = case("lookahead")[0]
    folder = export(checkpoint, "stablehlo", tmp_path)
    exported = jax.export.deserialize((folder / "step.stablehlo").read_bytes())
    assert exported.platforms == ("cpu", "cuda", "tpu")
    facts = describe(checkpoint)
    sized = lambda x, b: np.zeros(
        [b if n == "b" else n for n in x["shape"]], x["dtype"]
    )
    for b in (1, 5):
        state = {k: sized(x, b) for k, x in facts["state"].items()}
        inputs = [sized(facts["inputs"][k], b) for k in ("gaze", "valid", "noise")]
        state, head = exported.call(state, *inputs)
        assert head.shape == (b, 3)
        assert int(state["t"]) == 1


def test_onnx_is_checked_and_dynamic_and_states_its_opset(tmp_path):
    onnx = pytest.importorskip("onnx")
    from gazehead_jax.export_onnx import OPSET

    folder = export(case("natural")[0], "onnx", tmp_path)
    model = onnx.load(folder / "step.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [x.version for x in model.opset_import] == [OPSET]
    gaze = next(x for x in model.graph.input if x.name == "gaze")
    assert gaze.type.tensor_type.shape.dim[0].dim_param == "b"
    assert f"opset {OPSET}" in (folder / "README.txt").read_text()


def test_numpy_weights_are_a_packed_model(tmp_path):
    checkpoint = case("frame")[0]
    folder = export(checkpoint, "numpy", tmp_path)
    again = load(folder / "weights.npz")
    jax.tree.map(np.testing.assert_array_equal, again.params, checkpoint.params)


@pytest.mark.parametrize("format", list(FORMATS))
def test_readme_and_json_tell_all(format, tmp_path):
    need(format)
    checkpoint = case("lookahead")[0]
    folder = export(checkpoint, format, tmp_path)
    facts = json.loads((folder / "step.json").read_text())
    readme = (folder / "README.txt").read_text()
    assert facts["fps"] == checkpoint.config.data.fps
    for group in ("inputs", "outputs", "state"):
        for name in facts[group]:
            assert name in readme
    assert facts["inputs"]["gaze"]["shape"] == ["b", 14]
    for part in ("radians", "2 frames ahead", "6 frames ahead", "Licences"):
        assert part in readme


def test_command_line(tmp_path, capsys):
    from gazehead_jax.checkpoint import pack

    packed = str(pack(case("natural")[0], tmp_path / "m.npz"))
    command = ["export", "--checkpoint", packed, "--format", "numpy", "--out"]
    assert main([*command, str(tmp_path / "out")]) == 0
    assert "step.py" in capsys.readouterr().out
    assert main([*command, packed]) == 2
    assert "an export is a folder" in capsys.readouterr().err


def test_bad_input(tmp_path, monkeypatch):
    checkpoint = case("natural")[0]
    with pytest.raises(GazeheadError, match="format must be one of stablehlo, onnx"):
        export(checkpoint, "torch", tmp_path)
    for format, package in (("onnx", "onnx"), ("stablehlo", "flatbuffers")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(GazeheadError, match=f"needs the package {package}"):
            export(checkpoint, format, tmp_path / "nothing")
        assert not (tmp_path / "nothing").exists()


def test_a_folder_holds_one_format(tmp_path):
    """Or the README of the one would tell of the other."""
    checkpoint = case("frame")[0]
    folder = export(checkpoint, "numpy", tmp_path)
    before = (folder / "README.txt").read_bytes()
    with pytest.raises(GazeheadError, match="holds an export to numpy"):
        export(checkpoint, "onnx", folder)
    assert (folder / "README.txt").read_bytes() == before
    export(checkpoint, "numpy", folder)
