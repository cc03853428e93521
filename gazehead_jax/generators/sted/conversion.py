"""Parameters from ST-ED's published checkpoint, every tensor accounted for.

The file holds three state_dicts: encoder, decoder, and the discriminator of the
training, which drawing does not need. The gaze networks of the training (VGG, ResNet)
have files of their own and are not needed either. Nothing else belongs in it: instance
norm has no parameters.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from gazehead_jax.errors import require
from gazehead_jax.generators.sted.blocks import BLOCKS, LAYERS
from gazehead_jax.generators.sted.decoder import START
from gazehead_jax.generators.sted.encoder import HIDDEN
from gazehead_jax.generators.sted.latents import Latents
from gazehead_jax.torch_file import check_layout

MODEL = "ST-ED (encoder and decoder)"
GROWTH = 32
_DISCRIMINATOR = (3, 64, 128, 256, 512, 1)

Params = dict[str, Any]


def from_torch(
    state: Mapping[str, np.ndarray],
    growth: int = GROWTH,
    latents: Latents | None = None,
) -> dict[str, Params]:
    """Parameters of `Encoder` and `Decoder` by those names.

    Args:
      state: from `torch_file.read_state`: names begin with "encoder.", "decoder." or
        "discriminator."; the last are left out.
      growth, latents: of the network; the published one's if left out.

    Raises:
      GazeheadError: these are not the tensors of that network.
    """
    latents = latents or Latents()
    require(
        latents.features % START**2 == 0,
        f"the factors must have a multiple of {START**2} features in all, got "
        f"{latents.features}.",
    )
    shapes = {name: shape for name, _, _, shape in layout(growth, latents)}
    check_layout(state, shapes, discriminator_shapes(), MODEL)
    params: Params = {}
    dense: dict[tuple, list[np.ndarray]] = {}
    for name, path, kind, _ in layout(growth, latents):
        value = np.asarray(state[name], np.float32)
        value = _CONVERT[kind.removeprefix("dense ")](value)
        if kind.startswith("dense "):
            dense.setdefault(path, []).append(value)
        else:
            _put(params, path, value)
    for path, kernels in dense.items():
        for source, kernel in enumerate(_by_source(kernels, growth)):
            _put(params, (*path, f"from{source}", "kernel"), kernel)
    return params


def layout(
    growth: int, latents: Latents
) -> Iterator[tuple[str, tuple[str, ...], str, tuple[int, ...]]]:
    """(torch's name, path of the parameter, kind, torch's shape) of each tensor."""
    yield from _encoder(growth, latents)
    yield from _decoder(growth, latents)


def discriminator_shapes() -> dict[str, tuple[int, ...]]:
    """What the checkpoint holds besides: a PatchGAN, whatever the network's width."""
    shapes: dict[str, tuple[int, ...]] = {}
    widths = _DISCRIMINATOR
    for i in range(1, len(widths)):
        shapes[f"discriminator.conv{i}.weight"] = (widths[i], widths[i - 1], 4, 4)
    for i in (1, 5):
        shapes[f"discriminator.conv{i}.bias"] = (widths[i],)
    for i in (1, 2, 3):
        for name in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"discriminator.norm{i}.{name}"] = (widths[i + 1],)
        shapes[f"discriminator.norm{i}.num_batches_tracked"] = ()
    return shapes


def _encoder(growth: int, latents: Latents):
    trunk = ("encoder", "trunk")
    before, width = 2 * growth, 4 * growth
    for name, shape in (
        ("conv1", (before, 3, 3, 3)),
        ("conv2", (width, before, 3, 3)),
    ):
        path = (*trunk, name, "kernel")
        yield f"encoder.encoder.initial.{name}.weight", path, "conv", shape
    for block in range(1, BLOCKS + 1):
        for i in range(1, LAYERS + 1):
            name = f"encoder.encoder.block{block}.compo{i}.conv.weight"
            shape = (growth, width, 3, 3)
            yield name, (*trunk, f"block{block}"), "dense conv", shape
            width += growth
        if block < BLOCKS:
            name = f"encoder.encoder.trans{block}.composite.conv.weight"
            path = (*trunk, f"down{block}", "kernel")
            yield name, path, "conv", (width, width, 1, 1)
    flat = START**2 * width
    for name, path, kind, outputs, inputs in (
        ("pseudo_labels1", "angles1", "from map", HIDDEN, flat),
        ("pseudo_labels2", "angles2", "linear", latents.angles, HIDDEN),
        ("embeddings1", "features1", "from map", flat, flat),
        ("embeddings2", "features2", "linear", latents.features, flat),
    ):
        name = f"encoder.encoder_fc_{name}"
        yield f"{name}.weight", ("encoder", path, "kernel"), kind, (outputs, inputs)
        yield f"{name}.bias", ("encoder", path, "bias"), "bias", (outputs,)


def _decoder(growth: int, latents: Latents):
    width = latents.features // START**2
    for block in range(1, BLOCKS + 1):
        for i in range(1, LAYERS + 1):
            name = f"decoder.decoder.block{block}.compo{i}.conv.weight"
            shape = (width, growth, 3, 3)
            yield name, ("decoder", f"block{block}"), "dense transposed", shape
            width += growth
        if block < BLOCKS:
            name = f"decoder.decoder.trans{block}.conv.weight"
            path = ("decoder", f"up{block}", "kernel")
            yield name, path, "transposed", (width, width, 3, 3)
    for name, kind, shape in (
        ("conv1", "transposed", (width, 4 * growth, 3, 3)),
        ("conv2", "transposed", (4 * growth, 2 * growth, 3, 3)),
        ("conv3", "conv", (3, 2 * growth, 3, 3)),
    ):
        path = ("decoder", "head", name, "kernel")
        yield f"decoder.decoder.last.{name}.weight", path, kind, shape


def _from_map(value):
    """A linear layer's kernel; the map before it has its channels last here."""
    kernel = value.reshape(len(value), -1, START, START).transpose(2, 3, 1, 0)
    return kernel.reshape(-1, len(value))


_CONVERT = {
    "conv": lambda value: value.transpose(2, 3, 1, 0),
    # A transposed convolution is one with its kernel turned by 180°.
    "transposed": lambda value: value[:, :, ::-1, ::-1].transpose(2, 3, 0, 1),
    "linear": lambda value: value.T,
    "from map": _from_map,
    "bias": lambda value: value,
}


def _by_source(kernels: list[np.ndarray], growth: int) -> Iterator[np.ndarray]:
    """A dense block's kernels by what they read, see `DenseBlock`.

    A layer reads the block's input first, then the outputs of the layers before it.
    """
    first = kernels[0].shape[2]
    edges = [0, *(first + i * growth for i in range(len(kernels)))]
    for source in range(len(kernels)):
        part = slice(edges[source], edges[source + 1])
        yield np.concatenate([k[:, :, part] for k in kernels[source:]], axis=-1)


def _put(params: Params, path: tuple[str, ...], value: np.ndarray) -> None:
    for name in path[:-1]:
        params = params.setdefault(name, {})
    params[path[-1]] = value
