"""Checkpoints are read without PyTorch; nothing in them runs."""

import io
import json
import os
import pickle
import types
import zipfile

import ml_dtypes
import numpy as np
import pytest

from gazehead_jax.errors import GazeheadError
from gazehead_jax.torch_file import check_layout, read_state


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="needs torch to write checkpoints")


def written(torch, state, path, legacy=False):
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    return path


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_reads_what_torch_saved(torch, tmp_path, legacy):
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    tensors = {
        "whole": base,
        "transposed": base.T,
        "column": base[:, 2],
        "strided": base[1::2, 1::3],
        "expanded": torch.tensor([3.0]).expand(5),
        "scalar": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.randn(3, 2)),
        "half": torch.randn(5).half(),
        "double": torch.randn(5).double(),
        "int8": torch.tensor([-3, 4], dtype=torch.int8),
        "uint8": torch.tensor([3, 250], dtype=torch.uint8),
        "int16": torch.tensor([-300], dtype=torch.int16),
        "int32": torch.tensor([-70000], dtype=torch.int32),
        "bool": torch.tensor([True, False]),
    }
    state = read_state(written(torch, tensors, tmp_path / "net.pth", legacy))
    assert list(state) == list(tensors)
    for name, tensor in tensors.items():
        expected = tensor.detach().numpy()
        np.testing.assert_array_equal(state[name], expected)
        assert state[name].dtype == expected.dtype
        assert state[name].shape == expected.shape


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_reads_bfloat16(torch, tmp_path, legacy):
    tensor = torch.randn(9).bfloat16()
    state = read_state(written(torch, {"x": tensor}, tmp_path / "net.pth", legacy))
    assert state["x"].dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(state["x"].astype(np.float32), tensor.float().numpy())


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_finds_the_weights_in_a_training_checkpoint(torch, tmp_path, legacy):
    """With an optimizer, a schedule with functions in it, and a command line."""
    import argparse

    net = torch.nn.DataParallel(torch.nn.Linear(3, 2))
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    checkpoint = {
        "epoch": 24,
        "args": argparse.Namespace(lr=1e-4),
        "best": np.float64(3.5),
        "schedule_state": {"anneal_func": os.path.join, "lrs": [1e-4, 2e-4]},
        "optim_state": optimizer.state_dict(),
        "model_state": net.state_dict(),
    }
    state = read_state(written(torch, checkpoint, tmp_path / "c.pth.tar", legacy))
    assert set(state) == {"weight", "bias"}  # without "module."
    np.testing.assert_array_equal(state["weight"], net.module.weight.detach().numpy())


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_reads_a_model_that_was_saved_in_parts(torch, tmp_path, legacy):
    parts = {"encoder": torch.nn.Linear(3, 2), "decoder": torch.nn.Linear(2, 5)}
    saved = {name: net.state_dict() for name, net in parts.items()}
    saved["decoder"] = torch.nn.DataParallel(parts["decoder"]).state_dict()
    state = read_state(written(torch, saved, tmp_path / "parts.pt", legacy))
    assert set(state) == {
        f"{part}.{name}" for part in parts for name in ("weight", "bias")
    }
    for part, net in parts.items():
        np.testing.assert_array_equal(
            state[f"{part}.weight"], net.weight.detach().numpy()
        )


def test_a_part_that_is_no_state_dict_is_refused(torch, tmp_path):
    path = written(torch, {"net": {"w": torch.zeros(1)}, "epoch": 3}, tmp_path / "c.pt")
    with pytest.raises(GazeheadError, match="has 'net', 'epoch'"):
        read_state(path)


def test_a_saved_module_is_refused_by_name(torch, tmp_path):
    path = written(torch, torch.nn.Linear(2, 2), tmp_path / "module.pt")
    with pytest.raises(
        GazeheadError, match=r"torch\.nn\.modules\.linear\.Linear.*not r"
    ):
        read_state(path)


# --- hostile and broken files, without torch -----------------------------------------


def zip_checkpoint(path, data: bytes, storages=None, compress=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compress) as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/byteorder", b"little")
        for key, raw in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", raw)
    return path


class Runs:
    """Pickles to a call of os.mkdir."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


class Tensor:
    """Pickles as torch does, and to any sizes one likes."""

    def __init__(self, size, stride, offset=0, key="0", numel=6):
        self.arguments = (("storage", "torch FloatStorage", key, "cpu", numel), offset)
        self.arguments += (size, stride, False, None)

    def __reduce__(self):
        return (TENSOR, self.arguments)


def TENSOR():
    raise AssertionError("only its name is pickled")


def pickled(value) -> bytes:
    """A pickle in torch's dialect."""

    class Pickler(pickle._Pickler):
        def persistent_id(self, value):
            return value if isinstance(value, tuple) and "storage" in value else None

        def save_global(self, value, name=None):
            if value is TENSOR:
                self.write(b"ctorch._utils\n_rebuild_tensor_v2\n")
            else:
                super().save_global(value, name)

        def save_str(self, value):
            if value == "torch FloatStorage":
                self.write(b"ctorch\nFloatStorage\n")
            else:
                super().save_str(value)

        dispatch = pickle._Pickler.dispatch | {
            str: save_str,
            types.FunctionType: save_global,
        }

    file = io.BytesIO()
    Pickler(file, protocol=2).dump(value)
    return file.getvalue()


def raw(count=6) -> dict:
    return {"0": np.arange(count, dtype="<f4").tobytes()}


def test_a_checkpoint_written_by_hand_is_read(tmp_path):
    """So the refusals below are for what they say."""
    good = pickled({"x": Tensor((2, 2), (1, 3), offset=1)})
    state = read_state(zip_checkpoint(tmp_path / "a.pth", good, raw()))
    np.testing.assert_array_equal(state["x"], [[1, 4], [2, 5]])


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("place", ["top", "weights", "wrapped"])
def test_nothing_in_a_checkpoint_runs(tmp_path, place, legacy):
    made = tmp_path / "made"
    value = {
        "top": Runs(made),
        "weights": {"x": Tensor((6,), (1,)), "y": Runs(made)},
        "wrapped": {"epoch": 3, "model_state": Runs(made)},
    }[place]
    path = tmp_path / "evil.pth"
    if legacy:
        parts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, value]
        keys = pickled(["0"] if place == "weights" else [])
        body = (6).to_bytes(8, "little") + raw()["0"] if place == "weights" else b""
        path.write_bytes(b"".join(map(pickled, parts)) + keys + body)
    else:
        zip_checkpoint(path, pickled(value), raw())
    with pytest.raises(GazeheadError, match=r"posix\.mkdir|nt\.mkdir"):
        read_state(path)
    assert not made.exists()


def test_a_placeholder_cannot_be_made_to_run_by_any_opcode(tmp_path):
    made = tmp_path / "made"
    command = f"__import__('os').mkdir({str(made)!r})".encode()
    for program in (
        b"cbuiltins\neval\n(V" + command + b"\ntR.",  # REDUCE
        b"(V" + command + b"\nibuiltins\neval\n.",  # INST
        b"(cbuiltins\neval\nV" + command + b"\no.",  # OBJ
        b"\x80\x02cbuiltins\neval\n(V" + command + b"\nt\x81.",  # NEWOBJ
        b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93(V"
        + command
        + b"\ntR.",  # STACK_GLOBAL
        # BUILD on the stand-ins themselves.
        b"ctorch._utils\n_rebuild_tensor_v2\n(NV}\ntb.",
        b"ccollections\nOrderedDict\n}Vitems\ncbuiltins\neval\nsb.",
    ):
        with pytest.raises(GazeheadError, match="must"):
            read_state(zip_checkpoint(tmp_path / "evil.pth", program))
        assert not made.exists()


@pytest.mark.parametrize(
    "tensor",
    [
        Tensor((7,), (1,)),
        Tensor((2,), (6,)),
        Tensor((6,), (1,), offset=1),
        Tensor((6,), (-1,), offset=5),
        Tensor((-1,), (1,)),
        Tensor((2, 2), (1,)),
        Tensor((6,), (1,), numel=7),
        Tensor((6,), (1,), key="1"),
        Tensor((6,), (1,), key="../../secret"),
    ],
    ids=lambda t: str(t.arguments[1:4]) + t.arguments[0][2],
)
def test_tensors_stay_within_their_storage(tmp_path, tensor):
    path = zip_checkpoint(tmp_path / "a.pth", pickled({"x": tensor}), raw())
    with pytest.raises(GazeheadError, match="truncated or altered"):
        read_state(path)


def test_compressed_storages_are_refused(tmp_path):
    good = pickled({"x": Tensor((6,), (1,))})
    path = zip_checkpoint(tmp_path / "a.pth", good, raw(), zipfile.ZIP_DEFLATED)
    with pytest.raises(GazeheadError, match="compressed"):
        read_state(path)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_truncated_file_is_refused_wherever_it_ends(torch, tmp_path, legacy):
    path = written(torch, {"x": torch.arange(99.0)}, tmp_path / "a.pth", legacy)
    whole = path.read_bytes()
    for part in np.linspace(0.01, 0.99, 25):
        path.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(GazeheadError, match="must be"):
            read_state(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><title>Google Drive</title>", "neither .*DOCTYPE"),
        (pickle.dumps({"x": 1}), "torch.save did not write"),
        (b"PK\x03\x04 but not a zip", "truncated or altered"),
    ],
    ids=["empty", "web page", "other pickle", "no zip"],
)
def test_what_is_no_checkpoint_is_told_so(tmp_path, content, message):
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    with pytest.raises(GazeheadError, match=message):
        read_state(path)


def test_a_missing_file_and_a_folder_are_told_so(tmp_path):
    with pytest.raises(GazeheadError, match=r"nowhere\.pth.*No such file"):
        read_state(tmp_path / "nowhere.pth")
    with pytest.raises(GazeheadError, match="could not be read"):
        read_state(tmp_path)


def test_a_checkpoint_without_weights_lists_what_it_has(tmp_path):
    path = zip_checkpoint(tmp_path / "a.pth", pickled({"epoch": 3, "loss": 0.5}))
    with pytest.raises(GazeheadError, match="has 'epoch', 'loss'"):
        read_state(path)


# --- safetensors ---------------------------------------------------------------------


def safetensors(path, tensors, **change):
    header, body = {"__metadata__": {"format": "pt"}}, b""
    for name, (kind, value) in tensors.items():
        data = value.tobytes()
        offsets = [len(body), len(body) + len(data)]
        header[name] = {"dtype": kind, "shape": value.shape, "data_offsets": offsets}
        header[name] |= change
        body += data
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return path


def test_reads_safetensors(tmp_path):
    tensors = {
        "module.a": ("F32", np.arange(6, dtype="<f4").reshape(2, 3)),
        "module.b": ("BF16", np.array([1.5, -2], ml_dtypes.bfloat16)),
        "module.c": ("I64", np.array(-5)),
    }
    state = read_state(safetensors(tmp_path / "net.safetensors", tensors))
    assert list(state) == ["a", "b", "c"]
    for name, (_, value) in tensors.items():
        np.testing.assert_array_equal(state[name.removeprefix("module.")], value)


@pytest.mark.parametrize(
    "change",
    [
        {"data_offsets": [0, 28]},
        {"data_offsets": [4, 0]},
        {"dtype": "F4"},
        {"shape": [7]},
    ],
    ids=str,
)
def test_broken_safetensors_are_refused(tmp_path, change):
    value = np.arange(6, dtype="<f4")
    path = safetensors(tmp_path / "a.safetensors", {"x": ("F32", value)}, **change)
    with pytest.raises(GazeheadError, match="truncated or altered"):
        read_state(path)


# --- accounting ----------------------------------------------------------------------

SHAPES = {f"layer{i}": (i,) for i in range(1, 6)}


def test_every_tensor_is_accounted_for():
    state = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    check_layout(state, SHAPES, {"spare": (2,)}, "Net")
    check_layout(state | {"spare": np.zeros(2)}, SHAPES, {"spare": (2,)}, "Net")
    for changed, message in [
        ({}, r"5 missing \(layer1, layer2, layer3, …\)"),
        (state | {"spare": np.zeros(3)}, r"1 of another shape \(spare \(3,\) instead"),
        (state | {"odd": np.zeros(3)}, r"1 unknown \(odd\)"),
        (state | {"layer3": np.zeros((3, 1))}, r"layer3 \(3, 1\) instead of \(3,\)"),
        (dict(list(state.items())[1:]), r"1 missing \(layer1\)"),
    ]:
        with pytest.raises(GazeheadError, match=message):
            check_layout(changed, SHAPES, {"spare": (2,)}, "Net")
