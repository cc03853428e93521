"""ResNet-50 gaze networks in Flax, and their published checkpoints.

The network is He et al. 2016 in torchvision's layout, with the stride in the 3×3
convolution ("v1.5"). Batch norm is folded into the convolutions when weights are
converted, in float32: that leaves convolutions with biases and nothing else.

- ETH-XGaze (Zhang et al. 2020, github.com/xucong-zhang/ETH-XGaze): `gaze_network.*` is
  the ResNet with an `fc` that its forward pass leaves out, `gaze_fc.0` the head.
- L2CS-Net (Abdelrahman et al. 2022, github.com/Ahmednull/L2CS-Net): the ResNet's names
  without a prefix, one head of 90 bins for each angle, and `fc_finetune`, which nothing
  uses.

The names and shapes are those that the published source code creates; the published
checkpoints themselves were not at hand.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from gazehead_jax.torch_file import check_layout

STAGES = (3, 4, 6, 3)
WIDTH = 64
L2CS_BINS = 90
_EPSILON = 1e-5  # of torch's BatchNorm2d

Params = dict[str, Any]


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 convolutions about a shortcut."""

    width: int
    stride: int
    project: bool
    dtype: Any

    @nn.compact
    def __call__(self, x):
        y = nn.relu(_conv(self.width, 1, 1, self.dtype, "conv1")(x))
        y = nn.relu(_conv(self.width, 3, self.stride, self.dtype, "conv2")(y))
        y = _conv(4 * self.width, 1, 1, self.dtype, "conv3")(y)
        if self.project:
            x = _conv(4 * self.width, 1, self.stride, self.dtype, "downsample")(x)
        return nn.relu(x + y)


class ResNetGaze(nn.Module):
    """ResNet-50 with one linear head.

    Attributes:
      outputs: of the head.
      width: channels of the first convolution; the last features have 32 × width.
      dtype: of the convolutions; the head is float32.
    """

    outputs: int
    width: int = WIDTH
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Float[jax.Array, "b h w 3"]) -> Float[jax.Array, "b n"]:
        x = nn.relu(_conv(self.width, 7, 2, self.dtype, "conv1")(images))
        x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        for stage, blocks in enumerate(STAGES):
            for block in range(blocks):
                x = Bottleneck(
                    self.width * 2**stage,
                    stride=2 if stage and not block else 1,
                    project=not block,
                    dtype=self.dtype,
                    name=f"layer{stage + 1}_{block}",
                )(x)
        x = x.astype(jnp.float32).mean((1, 2))
        return nn.Dense(self.outputs, name="head")(x)


def _conv(features: int, size: int, stride: int, dtype, name: str) -> nn.Conv:
    # Padded alike on both sides, as torch does; "SAME" shifts strided convolutions.
    return nn.Conv(
        features, (size, size), stride, padding=size // 2, dtype=dtype, name=name
    )


def xgaze_from_torch(state: Mapping[str, np.ndarray], width: int = WIDTH) -> Params:
    """Parameters of `ResNetGaze(2)` from ETH-XGaze's `model_state`.

    Raises:
      GazeheadError: these are not the tensors of that network.
    """
    # The first published version had nn.DataParallel inside the network.
    old, new = "gaze_network.module.", "gaze_network."
    state = {name.replace(old, new): value for name, value in state.items()}
    shapes, unused = _shapes(new, width)
    unused |= {
        "gaze_network.fc.weight": (1000, 32 * width),
        "gaze_network.fc.bias": (1000,),
    }
    shapes |= {"gaze_fc.0.weight": (2, 32 * width), "gaze_fc.0.bias": (2,)}
    check_layout(state, shapes, unused, "ETH-XGaze's ResNet-50")
    head = state["gaze_fc.0.weight"], state["gaze_fc.0.bias"]
    return _params(state, new, width, *head)


def l2cs_from_torch(state: Mapping[str, np.ndarray], width: int = WIDTH) -> Params:
    """Parameters of `ResNetGaze(180)` from L2CS-Net: yaw's 90 bins, then pitch's.

    Raises:
      GazeheadError: these are not the tensors of that network.
    """
    shapes, unused = _shapes("", width)
    heads = ("fc_yaw_gaze", "fc_pitch_gaze")
    for name in heads:
        shapes |= {
            f"{name}.weight": (L2CS_BINS, 32 * width),
            f"{name}.bias": (L2CS_BINS,),
        }
    unused |= {"fc_finetune.weight": (3, 32 * width + 3), "fc_finetune.bias": (3,)}
    check_layout(state, shapes, unused, "L2CS-Net (ResNet-50, Gaze360)")
    weight, bias = (
        np.concatenate([state[f"{name}.{part}"] for name in heads])
        for part in ("weight", "bias")
    )
    return _params(state, "", width, weight, bias)


def _convolutions(width: int) -> Iterator[tuple]:
    """(path of parameters, torch's convolution, its batch norm, shape) of each."""
    yield ("conv1",), "conv1", "bn1", (width, 3, 7, 7)
    before = width
    for stage, blocks in enumerate(STAGES):
        inside = width * 2**stage
        for block in range(blocks):
            path, torch = f"layer{stage + 1}_{block}", f"layer{stage + 1}.{block}"
            for i, shape in enumerate(
                [
                    (inside, before, 1, 1),
                    (inside, inside, 3, 3),
                    (4 * inside, inside, 1, 1),
                ],
                start=1,
            ):
                yield (path, f"conv{i}"), f"{torch}.conv{i}", f"{torch}.bn{i}", shape
            if not block:
                shortcut = f"{torch}.downsample"
                shape = (4 * inside, before, 1, 1)
                yield (path, "downsample"), f"{shortcut}.0", f"{shortcut}.1", shape
            before = 4 * inside


def _shapes(prefix: str, width: int) -> tuple[dict, dict]:
    shapes, unused = {}, {}
    for _, conv, norm, shape in _convolutions(width):
        shapes[f"{prefix}{conv}.weight"] = shape
        for name in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{prefix}{norm}.{name}"] = shape[:1]
        unused[f"{prefix}{norm}.num_batches_tracked"] = ()
    return shapes, unused


def _params(state, prefix: str, width: int, head: np.ndarray, bias: np.ndarray):
    params = {"head": {"kernel": _f32(head).T, "bias": _f32(bias)}}
    for path, conv, norm, _ in _convolutions(width):
        kernel = _f32(state[f"{prefix}{conv}.weight"])
        scale, shift, mean, variance = (
            _f32(state[f"{prefix}{norm}.{name}"])
            for name in ("weight", "bias", "running_mean", "running_var")
        )
        scale = scale / np.sqrt(variance + np.float32(_EPSILON))
        within = params
        for name in path[:-1]:
            within = within.setdefault(name, {})
        within[path[-1]] = {
            "kernel": kernel.transpose(2, 3, 1, 0) * scale,
            "bias": shift - mean * scale,
        }
    return params


def _f32(array: np.ndarray) -> np.ndarray:
    return np.asarray(array, np.float32)
