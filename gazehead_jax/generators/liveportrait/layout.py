"""Which tensors of the published files make which parameters.

Names and shapes are those that the published source code creates.
"""

import dataclasses
import math
from collections.abc import Iterator

from gazehead_jax.generators.liveportrait.architecture import Architecture
from gazehead_jax.generators.liveportrait.motion_extractor import head_sizes

Path = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Layer:
    """A convolution or a linear layer.

    Attributes:
      path: of its kernel and bias among the parameters.
      torch: its module; of several, the outputs are put one behind the other.
      shape: of each module's weight, (outputs, inputs, *kernel).
      norm: the batch norm behind it, folded into it.
      spectral: whether its weight has a spectral norm, folded into it.
      bias: whether it has one.
    """

    path: Path
    torch: str | tuple[str, ...]
    shape: tuple[int, ...]
    norm: str = ""
    spectral: bool = False
    bias: bool = True

    @property
    def modules(self) -> tuple[str, ...]:
        return (self.torch,) if isinstance(self.torch, str) else self.torch

    def tensors(self) -> dict[str, tuple[int, ...]]:
        outputs, inputs, *kernel = self.shape
        weight = "weight_orig" if self.spectral else "weight"
        shapes = {}
        for module in self.modules:
            shapes[f"{module}.{weight}"] = self.shape
            if self.spectral:
                shapes[f"{module}.weight_u"] = (outputs,)
                shapes[f"{module}.weight_v"] = (inputs * math.prod(kernel),)
            if self.bias:
                shapes[f"{module}.bias"] = (outputs,)
        return shapes | (batch_norm(self.norm, outputs) if self.norm else {})


@dataclasses.dataclass(frozen=True)
class Scale:
    """A batch norm that no convolution precedes: `scale` and `shift` at `path`."""

    path: Path
    torch: str
    channels: int

    def tensors(self) -> dict[str, tuple[int, ...]]:
        return batch_norm(self.torch, self.channels)


@dataclasses.dataclass(frozen=True)
class Vector:
    """One number for each channel, as it is."""

    path: Path
    torch: str
    shape: tuple[int, ...]

    def tensors(self) -> dict[str, tuple[int, ...]]:
        return {self.torch: self.shape}


Entry = Layer | Scale | Vector


def batch_norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    """Tensors of torch's batch norm that count; it also has `num_batches_tracked`."""
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (channels,) for part in parts}


def appearance(net: Architecture) -> Iterator[Entry]:
    width = net.width
    yield Layer(("first",), "first.conv", (width, 3, 3, 3), "first.norm")
    for i in range(2):
        shape = (width * 2 ** (i + 1), width * 2**i, 3, 3)
        block = f"down_blocks.{i}"
        yield Layer((f"down{i}",), f"{block}.conv", shape, f"{block}.norm")
    yield Layer(("second",), "second", (net.channels, 4 * width, 1, 1))
    n = net.planes
    for i in range(net.resblocks):
        path, block = f"block{i}", f"resblocks_3d.3dr{i}"
        yield Scale((path,), f"{block}.norm1", n)
        shape = (n, n, 3, 3, 3)
        yield Layer((path, "conv1"), f"{block}.conv1", shape, f"{block}.norm2")
        yield Layer((path, "conv2"), f"{block}.conv2", shape)


def motion(net: Architecture) -> Iterator[Entry]:
    before = 3
    for stage, (width, blocks) in enumerate(zip(net.stages, net.blocks, strict=True)):
        down = f"detector.downsample_layers.{stage}"
        # The first convolution comes before its norm, the others after.
        conv, norm, step = (1, 0, 2) if stage else (0, 1, 4)
        normed = before if stage else width
        yield Layer((f"down{stage}",), f"{down}.{conv}", (width, before, step, step))
        yield from _layer_norm((f"down_norm{stage}",), f"{down}.{norm}", normed)
        for i in range(blocks):
            path, block = f"stage{stage}_{i}", f"detector.stages.{stage}.{i}"
            yield Layer((path, "depthwise"), f"{block}.dwconv", (width, 1, 7, 7))
            yield from _layer_norm((path, "norm"), f"{block}.norm", width)
            yield Layer((path, "expand"), f"{block}.pwconv1", (4 * width, width))
            yield Layer((path, "project"), f"{block}.pwconv2", (width, 4 * width))
            for part in ("gamma", "beta"):
                where = (path, "response", part)
                yield Vector(where, f"{block}.grn.{part}", (1, 1, 1, 4 * width))
        before = width
    yield from _layer_norm(("norm",), "detector.norm", before)
    for name, outputs in head_sizes(net).items():
        yield Layer((name,), f"detector.fc_{name}", (outputs, before))


def warping(net: Architecture) -> Iterator[Entry]:
    dense, glass = "dense_motion_network", "dense_motion_network.hourglass"
    n, points = net.compress, net.keypoints + 1
    compress = f"{dense}.compress"
    yield Layer(
        ("flow", "compress"), compress, (n, net.planes, 1, 1, 1), f"{dense}.norm"
    )
    inputs = net.flow_inputs
    for i in range(net.flow_levels):
        outputs = net.flow_channels(i + 1)
        block = f"{glass}.encoder.down_blocks.{i}"
        shape = (outputs, inputs, 3, 3, 3)
        path = ("flow", "hourglass", f"down{i}")
        yield Layer(path, f"{block}.conv", shape, f"{block}.norm")
        inputs = outputs
    for i in range(net.flow_levels):
        level = net.flow_levels - i
        outputs = net.flow_channels(level - 1)
        # All but the deepest also get what was seen on the way down.
        inputs = net.flow_channels(level) * (2 if i else 1)
        block = f"{glass}.decoder.up_blocks.{i}"
        shape = (outputs, inputs, 3, 3, 3)
        path = ("flow", "hourglass", f"up{i}")
        yield Layer(path, f"{block}.conv", shape, f"{block}.norm")
    last, out = f"{glass}.decoder", net.flow_outputs
    path = ("flow", "hourglass", "last")
    yield Layer(path, f"{last}.conv", (out, out, 3, 3, 3), f"{last}.norm")
    yield Layer(("flow", "mask"), f"{dense}.mask", (points, out, 7, 7, 7))
    shape = (1, out * net.depth, 7, 7)
    yield Layer(("flow", "occlusion"), f"{dense}.occlusion", shape)
    n = net.warped
    yield Layer(("third",), "third.conv", (n, net.channels, 3, 3), "third.norm")
    yield Layer(("fourth",), "fourth", (n, n, 1, 1))


def generator(net: Architecture) -> Iterator[Entry]:
    wide, n = 2 * net.warped, net.warped
    yield Layer(("first",), "fc", (wide, n, 3, 3))
    for i in range(6):
        yield from _spade_block(net, f"middle{i}", f"G_middle_{i}", wide, wide)
    yield from _spade_block(net, "up0", "up_0", wide, n)
    yield from _spade_block(net, "up1", "up_1", n, net.width)
    yield Layer(("image",), "conv_img.0", (12, net.width, 3, 3))


def _spade_block(net: Architecture, path: str, torch: str, inputs: int, outputs: int):
    middle = min(inputs, outputs)
    norms = [("norm0", "norm_0", inputs), ("norm1", "norm_1", middle)]
    convs = [
        ("conv0", "conv_0", (middle, inputs, 3, 3)),
        ("conv1", "conv_1", (outputs, middle, 3, 3)),
    ]
    if inputs != outputs:
        norms.append(("norm_shortcut", "norm_s", inputs))
        convs.append(("shortcut", "conv_s", (outputs, inputs, 1, 1)))
    for name, module, shape in convs:
        bias = name != "shortcut"
        yield Layer((path, name), f"{torch}.{module}", shape, spectral=True, bias=bias)
    for name, module, channels in norms:
        norm, hidden = f"{torch}.{module}", net.hidden
        shape = (hidden, net.warped, 3, 3)
        yield Layer((path, name, "shared"), f"{norm}.mlp_shared.0", shape)
        both = (f"{norm}.mlp_gamma", f"{norm}.mlp_beta")
        yield Layer((path, name, "modulation"), both, (channels, hidden, 3, 3))


def retargeting(net: Architecture) -> Iterator[Entry]:
    """All three small networks, which share a file."""
    for name, part, inputs in (
        ("stitching", "retarget_shoulder", 6 * net.keypoints),
        ("lip", "retarget_mouth", 3 * net.keypoints + 2),
        ("eye", "retarget_eye", 3 * net.keypoints + 3),
    ):
        for i, outputs in enumerate(mlp_widths(net, name)):
            # Every other module is a ReLU.
            yield Layer((name, f"layer{i}"), f"{part}.mlp.{2 * i}", (outputs, inputs))
            inputs = outputs


def mlp_widths(net: Architecture, name: str) -> tuple[int, ...]:
    """Widths of the layers of "stitching", "lip" or "eye", the outputs' last.

    Stitching also tells how far to shift all keypoints in x and y.
    """
    return (*getattr(net, name), 3 * net.keypoints + (2 if name == "stitching" else 0))


def _layer_norm(path: Path, torch: str, channels: int) -> Iterator[Entry]:
    yield Vector((*path, "scale"), f"{torch}.weight", (channels,))
    yield Vector((*path, "bias"), f"{torch}.bias", (channels,))
