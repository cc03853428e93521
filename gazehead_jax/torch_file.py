"""Tensors out of PyTorch checkpoints, without PyTorch and without running anything.

A checkpoint is a pickle, and a pickle may call whatever it names. Here nothing that it
names is imported or called: tensors and the dictionaries around them are rebuilt by the
stand-ins below, and any other name becomes an inert placeholder. A placeholder beside
the weights (a learning-rate schedule, the command line of a training run) is left
alone; one where weights must be is refused by its name.

Read are the zip files of `torch.save` since 1.6, the stream that it wrote before (such
as ETH-XGaze's checkpoint, by PyTorch 1.1), and safetensors.
"""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import ml_dtypes
import numpy as np

from gazehead_jax.errors import GazeheadError, require

_STORAGES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
_SAFETENSORS = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
# Where training scripts put the state_dict among the rest.
_WRAPPERS = ("model_state", "state_dict", "model_state_dict", "model")
_REMEDY = "download it again, or save model.state_dict() anew with torch.save"
_NOT_RUN = "which was not run; save model.state_dict() of a model that you trust"


def read_state(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The state_dict in a checkpoint: read-only arrays by name.

    A dictionary of several things is searched for "model_state", "state_dict",
    "model_state_dict" and "model"; where it holds nothing but state_dicts, one for each
    part of a model, their names become PART.NAME. The prefix "module." of
    nn.DataParallel is dropped.

    Raises:
      GazeheadError: the file is missing, truncated, no checkpoint, or has something
        other than tensors where the weights must be.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(9)
            file.seek(0)
            if start.startswith(b"PK\x03\x04"):
                return _arrays(*_read_zip(file), path)
            if start[8:] == b"{":
                return _read_safetensors(file)
            require(
                start.startswith(b"\x80"),
                f"{path} must be a PyTorch checkpoint or a safetensors file, but it is "
                f"{'empty' if not start else f'neither (it begins with {start!r})'}; "
                f"{_REMEDY}.",
            )
            return _arrays(*_read_legacy(file), path)
    except GazeheadError:
        raise
    except OSError as error:
        raise GazeheadError(
            f"{path} could not be read: {error.strerror or error}; check the path."
        ) from error
    except Exception as error:  # an altered file can fail in any way
        raise GazeheadError(
            f"{path} must be a whole PyTorch checkpoint, but it is truncated or altered "
            f"({error or type(error).__name__}); {_REMEDY}."
        ) from error


def check_layout(
    state: Mapping[str, np.ndarray],
    shapes: Mapping[str, tuple[int, ...]],
    unused: Mapping[str, tuple[int, ...]],
    model: str,
) -> None:
    """Accounts for every tensor of a state_dict.

    Args:
      state: from `read_state`.
      shapes: what the model needs, by name.
      unused: what its checkpoints hold besides and the model does not read; may lack.
      model: its name, for the message.

    Raises:
      GazeheadError: a tensor is missing, unknown, or of another shape.
    """
    known = {**unused, **shapes}
    wrong = [
        f"{name} {state[name].shape} instead of {tuple(shape)}"
        for name, shape in known.items()
        if name in state and state[name].shape != tuple(shape)
    ]
    problems = [
        f"{len(names)} {what} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
        for what, names in (
            ("missing", [name for name in shapes if name not in state]),
            ("unknown", [name for name in state if name not in known]),
            ("of another shape", wrong),
        )
        if names
    ]
    require(
        not problems,
        f"the weights must be those of {model}, tensor for tensor, but of "
        f"{len(state)} tensors in the file and {len(shapes)} expected there are "
        f"{', '.join(problems)}; give the checkpoint of {model}.",
    )


# --- stand-ins for what a checkpoint may name ----------------------------------------


class _Inert:
    # A pickle can set the state of any object, and of the classes below themselves.
    def __setstate__(self, state):
        raise pickle.UnpicklingError("state for an object that has none")


class _Dict(dict):
    """In place of OrderedDict; state_dicts carry a `_metadata` that nobody needs."""

    def __setstate__(self, state):
        pass


class _Storage(_Inert):
    def __init__(self, name: str, key: str, size: int):
        self.dtype = np.dtype(_STORAGES[name])
        self.key = str(key)
        self.size = int(size)


class _Tensor(_Inert):
    """In place of torch._utils._rebuild_tensor_v2."""

    def __init__(self, storage, offset, size, stride, *_):
        if not isinstance(storage, _Storage):
            raise pickle.UnpicklingError("a tensor without a storage")
        self.storage = storage
        self.offset = int(offset)
        self.size = tuple(int(n) for n in size)
        self.stride = tuple(int(n) for n in stride)

    def array(self, read: Callable[[_Storage], np.ndarray]) -> np.ndarray:
        flat = read(self.storage)
        if min((self.offset, *self.size, *self.stride)) < 0:
            raise ValueError("negative tensor sizes")
        last = self.offset + sum(
            (n - 1) * step for n, step in zip(self.size, self.stride, strict=True)
        )
        if 0 not in self.size and last >= len(flat):
            raise ValueError("a tensor reaches beyond its storage")
        steps = [step * flat.itemsize for step in self.stride]
        return np.lib.stride_tricks.as_strided(
            flat[self.offset :], self.size, steps, writeable=False
        )


class _Parameter(_Inert):
    """In place of torch._utils._rebuild_parameter."""

    def __new__(cls, tensor, *_):
        return tensor


class _Foreign:
    """In place of everything else: takes any call and does nothing."""

    called = ""

    def __new__(cls, *_, **__):
        return super().__new__(cls)

    def __init__(self, *_, **__):
        pass

    def __setstate__(self, state):
        pass

    def __setitem__(self, key, value):
        pass

    def append(self, value):
        pass

    def extend(self, values):
        pass


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BufferedIOBase):
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str):
        if module == "torch" and name in _STORAGES:
            return name
        stand_in = {
            "collections.OrderedDict": _Dict,
            "torch.Size": tuple,
            "torch._utils._rebuild_tensor_v2": _Tensor,
            "torch._utils._rebuild_parameter": _Parameter,
        }.get(f"{module}.{name}")
        # A new class each time, so that a file cannot leave anything behind.
        return stand_in or type("_Foreign", (_Foreign,), {"called": f"{module}.{name}"})

    def persistent_load(self, pid):
        kind, name, key, _, size, *view = pid
        if kind != "storage" or name not in _STORAGES or any(view):
            raise pickle.UnpicklingError(f"an unknown kind of storage, {kind!r}")
        storage = _Storage(name, key, size)
        return self.storages.setdefault(storage.key, storage)


# --- containers ----------------------------------------------------------------------


def _read_zip(file: io.BufferedIOBase):
    archive = zipfile.ZipFile(file)
    names = set(archive.namelist())
    pickles = [name for name in names if name.split("/", 1)[-1] == "data.pkl"]
    if len(pickles) != 1:
        raise ValueError("a zip file without a checkpoint's data.pkl")
    folder = pickles[0].removesuffix("data.pkl")
    order = f"{folder}byteorder"
    if order in names and archive.read(order) != b"little":
        raise ValueError("big-endian numbers")
    with archive.open(pickles[0]) as data:
        top = _Unpickler(data).load()
    loaded = {}

    def read(storage: _Storage) -> np.ndarray:
        if storage.key not in loaded:
            entry = archive.getinfo(f"{folder}data/{storage.key}")
            # torch never compresses, so a file cannot claim more than it brings.
            if entry.compress_type != zipfile.ZIP_STORED:
                raise ValueError("compressed tensors")
            loaded[storage.key] = _flat(archive.read(entry), storage)
        return loaded[storage.key]

    return top, read


def _read_legacy(file: io.BufferedIOBase):
    if _Unpickler(file).load() != _LEGACY_MAGIC:
        raise ValueError("a pickle that torch.save did not write")
    _Unpickler(file).load()  # the version, 1001 since 2017
    if not _Unpickler(file).load()["little_endian"]:
        raise ValueError("big-endian numbers")
    unpickler = _Unpickler(file)
    top = unpickler.load()
    starts = {}
    for key in _Unpickler(file).load():
        size = int.from_bytes(file.read(8), "little")
        storage = unpickler.storages[key]
        if size != storage.size:
            raise ValueError("sizes that disagree")
        starts[key] = file.tell()
        file.seek(size * storage.dtype.itemsize, os.SEEK_CUR)
    loaded = {}

    def read(storage: _Storage) -> np.ndarray:
        if storage.key not in loaded:
            file.seek(starts[storage.key])
            data = file.read(storage.size * storage.dtype.itemsize)
            loaded[storage.key] = _flat(data, storage)
        return loaded[storage.key]

    return top, read


def _flat(data: bytes, storage: _Storage) -> np.ndarray:
    if len(data) != storage.size * storage.dtype.itemsize:
        raise ValueError("tensors end early")
    return np.frombuffer(data, storage.dtype)


def _read_safetensors(file: io.BufferedIOBase) -> dict[str, np.ndarray]:
    size = int.from_bytes(file.read(8), "little")
    header = json.loads(file.read(size))
    start, state = file.tell(), {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype = np.dtype(_SAFETENSORS[entry["dtype"]])
        begin, end = entry["data_offsets"]
        file.seek(start + begin)
        data = file.read(end - begin)
        if len(data) != end - begin:
            raise ValueError("tensors end early")
        state[name] = np.frombuffer(data, dtype).reshape(entry["shape"])
    return _without_module(state)


def _arrays(top, read, path: Path) -> dict[str, np.ndarray]:
    """The state_dict within what a checkpoint holds."""
    state = top
    if isinstance(top, dict) and not any(isinstance(v, _Tensor) for v in top.values()):
        if top and all(map(_is_state, top.values())) and not set(top) & set(_WRAPPERS):
            return {
                f"{part}.{name}": value
                for part, state in top.items()
                for name, value in _without_module(
                    {name: tensor.array(read) for name, tensor in state.items()}
                ).items()
            }
        wrapped = [key for key in _WRAPPERS if top.get(key)]
        require(
            bool(wrapped),
            f"{path} must hold a state_dict, or one under {', '.join(_WRAPPERS)}; it "
            f"has {', '.join(map(repr, list(top)[:5])) or 'nothing'}; {_REMEDY}.",
        )
        state = top[wrapped[0]]
    require(
        isinstance(state, dict),
        f"{path} must hold a state_dict, but it holds a {_name(state)}, {_NOT_RUN}.",
    )
    for name, value in state.items():
        require(
            isinstance(name, str) and isinstance(value, _Tensor),
            f"{path} must have tensors for weights, but {name!r} is a {_name(value)}, "
            f"{_NOT_RUN}.",
        )
    return _without_module({name: value.array(read) for name, value in state.items()})


def _is_state(value) -> bool:
    return (
        isinstance(value, dict)
        and len(value) > 0
        and all(isinstance(name, str) for name in value)
        and all(isinstance(tensor, _Tensor) for tensor in value.values())
    )


def _name(value) -> str:
    return getattr(value, "called", type(value).__name__)


def _without_module(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if all(name.startswith("module.") for name in state):
        return {name.removeprefix("module."): value for name, value in state.items()}
    return state
