"""Parameters out of the published files; every tensor in them is accounted for."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gazehead_jax.generators.liveportrait import layout
from gazehead_jax.generators.liveportrait.architecture import PUBLISHED, Architecture
from gazehead_jax.torch_file import check_layout, read_state

Params = dict[str, Any]

# Network → its tensors, and its file as it lies in the published folder.
NETWORKS = {
    "appearance": (layout.appearance, "base_models/appearance_feature_extractor.pth"),
    "motion": (layout.motion, "base_models/motion_extractor.pth"),
    "warping": (layout.warping, "base_models/warping_module.pth"),
    "generator": (layout.generator, "base_models/spade_generator.pth"),
    "retargeting": (
        layout.retargeting,
        "retargeting_models/stitching_retargeting_module.pth",
    ),
}
_EPSILON = 1e-5  # of torch's batch norms


def read_networks(
    folder: str | os.PathLike, net: Architecture = PUBLISHED
) -> dict[str, Params]:
    """Parameters of all networks from the folder with LivePortrait's files.

    Raises:
      GazeheadError: a file is missing, truncated, or holds other tensors.
    """
    return {
        name: from_torch(name, read_state(Path(folder) / file), net)
        for name, (_, file) in NETWORKS.items()
    }


def from_torch(
    name: str, state: Mapping[str, np.ndarray], net: Architecture = PUBLISHED
) -> Params:
    """Parameters of one of `NETWORKS` from its state_dict.

    Raises:
      GazeheadError: a tensor is missing, unknown or of another shape.
    """
    entries, file = NETWORKS[name]
    shapes, unused = tensors(entries(net))
    check_layout(state, shapes, unused, f"LivePortrait's {Path(file).name}")
    params: Params = {}
    for entry in entries(net):
        *path, last = entry.path
        within = params
        for part in path:
            within = within.setdefault(part, {})
        if isinstance(entry, layout.Vector):
            within[last] = _f32(state[entry.torch]).reshape(-1)
        elif isinstance(entry, layout.Scale):
            scale, shift = _affine(state, entry.torch)
            within.setdefault(last, {}).update(scale=scale, shift=shift)
        else:
            within[last] = _layer(state, entry)
    return params


def tensors(
    entries: Iterable[layout.Entry],
) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """Shapes by name: of the tensors that are needed, and of those that tell nothing."""
    shapes = {}
    for entry in entries:
        shapes |= entry.tensors()
    means = [name for name in shapes if name.endswith(".running_mean")]
    counts = [name.replace("running_mean", "num_batches_tracked") for name in means]
    return shapes, dict.fromkeys(counts, ())


def _layer(state: Mapping[str, np.ndarray], entry: layout.Layer) -> Params:
    kernels = [_weight(state, module, entry.spectral) for module in entry.modules]
    kernel = np.concatenate(kernels)
    # (outputs, inputs, *kernel) to (*kernel, inputs, outputs).
    kernel = np.moveaxis(kernel, (1, 0), (-2, -1))
    if not entry.bias:
        return {"kernel": kernel}
    bias = np.concatenate([_f32(state[f"{module}.bias"]) for module in entry.modules])
    if entry.norm:
        scale, shift = _affine(state, entry.norm)
        kernel, bias = kernel * scale, bias * scale + shift
    return {"kernel": kernel, "bias": bias}


def _weight(state, module: str, spectral: bool) -> np.ndarray:
    if not spectral:
        return _f32(state[f"{module}.weight"])
    weight, u, v = (
        _f32(state[f"{module}.weight_{part}"]) for part in ("orig", "u", "v")
    )
    # The largest singular value, as training last estimated it.
    return weight / (u @ weight.reshape(len(weight), -1) @ v)


def _affine(state, norm: str) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift that a batch norm comes to."""
    weight, bias, mean, variance = (
        _f32(state[name]) for name in layout.batch_norm(norm, 0)
    )
    scale = weight / np.sqrt(variance + np.float32(_EPSILON))
    return scale, bias - mean * scale


def _f32(array: np.ndarray) -> np.ndarray:
    return np.asarray(array, np.float32)
