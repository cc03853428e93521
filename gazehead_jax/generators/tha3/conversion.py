"""The published `separable_float` files as parameters of `networks`, tensor for tensor."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gazehead_jax.generators.tha3 import networks
from gazehead_jax.generators.tha3.networks import EDITOR, FACE, ROTATOR, Body
from gazehead_jax.torch_file import check_layout, read_state

Params = dict[str, Any]
# A tensor of the network: where it goes, whence it comes, its shape there, and what of
# it is taken.
_Entry = tuple[tuple[str, ...], str, tuple[int, ...], Callable]


def read_params(folder: Path) -> dict[str, Params]:
    """Parameters of the five networks by the names of their files.

    Raises:
      GazeheadError: a file is missing, truncated or altered, or has other tensors.
    """
    return {name: convert(name, read_state(folder / f"{name}.pt")) for name in FILES}


def convert(
    name: str, state: Mapping[str, np.ndarray], body: Body | None = None
) -> Params:
    """Parameters out of a state_dict.

    Args:
      name: one of `FILES`.
      body: of a network of other sizes.

    Raises:
      GazeheadError: tensors are missing, unknown or of another shape.
    """
    published = FILES[name]
    entries = list(published.entries(body or published.body))
    shapes = {torch: shape for _, torch, shape, _ in entries}
    unused = published.unused(body or published.body)
    check_layout(state, shapes, unused, f"THA3's {name} (separable_float)")
    params: Params = {}
    for path, torch, _, take in entries:
        within = params
        for key in path[:-1]:
            within = within.setdefault(key, {})
        part = take(np.asarray(state[torch], np.float32))
        # Heads arrive one after another, as `networks.Heads` has them.
        held = within.get(path[-1])
        within[path[-1]] = part if held is None else np.concatenate([held, part], -1)
    return params


@dataclasses.dataclass(frozen=True)
class Published:
    """One of the files.

    Attributes:
      body: its sizes.
      prefix: of the names of its body.
      inputs: channels of the parts of the first convolution.
      first_size: of its kernel.
      joins: channels of the pose that joins in the middle, None if nothing is there.
      doubling: what a doubling is called; "{}" is its number.
      skips: whether features of the encoder join at the doublings.
      heads: (name, channels, whether it has a bias) as `networks.Heads` wants them.
      left_out: the same of those that are not shown.
    """

    body: Body
    prefix: str
    inputs: tuple[int, ...]
    heads: tuple[tuple[str, int, bool], ...]
    left_out: tuple[tuple[str, int, bool], ...] = ()
    first_size: int = 3
    joins: int | None = None
    doubling: str = "upsample_blocks.{}"
    doubling_size: int = 3
    skips: bool = False

    def entries(self, body: Body) -> Iterator[_Entry]:
        """Every tensor."""
        top = body.channels(body.halvings)
        down, middle = (
            f"{self.prefix}.downsample_blocks",
            f"{self.prefix}.bottleneck_blocks",
        )
        yield from _separable(
            ("encoder", "first"), f"{down}.0", self.inputs, body.start, self.first_size
        )
        for level in range(1, body.halvings + 1):
            yield from _separable(
                ("encoder", f"halving_{level}"),
                f"{down}.{level}",
                (body.channels(level - 1),),
                body.channels(level),
                4,
            )
        before = 0
        if self.joins is not None:
            parts = (top, self.joins) if self.joins else (top,)
            yield from _separable(("join",), f"{middle}.0", parts, top, 3)
            before = 1
        for i in range(body.blocks):
            path = f"{middle}.{i + before}.resnet_path"
            for part, (convolution, norm) in (("first", (0, 1)), ("second", (3, 4))):
                yield from _separable(
                    ("blocks", f"block_{i}", part),
                    f"{path}.{convolution}",
                    (top,),
                    top,
                    3,
                    norm=f"{path}.{norm}",
                )
        for i, level in enumerate(reversed(range(body.halvings))):
            parts = (body.channels(level + 1),)
            if self.skips:
                parts += (body.channels(level),)
            yield from _separable(
                ("doublings", f"doubling_{level}"),
                f"{self.prefix}.{self.doubling.format(i)}",
                parts,
                body.channels(level),
                self.doubling_size,
            )
        yield from _heads(self.heads, body)

    def unused(self, body: Body) -> dict[str, tuple[int, ...]]:
        """Shapes of what is not shown."""
        return {
            torch: shape for _, torch, shape, _ in _heads(self.left_out, body) if torch
        }


def _separable(path, torch: str, inputs, outputs: int, size: int, norm=None):
    total = sum(inputs)
    start = 0
    for i, channels in enumerate(inputs):
        part = slice(start, start + channels)
        yield (
            (*path, f"depthwise_{i}", "kernel"),
            f"{torch}.0.weight",
            (total, 1, size, size),
            lambda w, part=part: w[part, 0].transpose(1, 2, 0),
        )
        yield (
            (*path, f"pointwise_{i}", "kernel"),
            f"{torch}.1.weight",
            (outputs, total, 1, 1),
            lambda w, part=part: w[:, part, 0, 0].T,
        )
        start += channels
    norm = norm or f"{torch}.2"
    yield (*path, "norm", "scale"), f"{norm}.weight", (outputs,), np.copy
    yield (*path, "norm", "bias"), f"{norm}.bias", (outputs,), np.copy


def _heads(heads, body: Body) -> Iterator[_Entry]:
    for name, channels, bias in heads:
        shape = (channels, body.start, 3, 3)
        kernel, vector = ("heads", "all", "kernel"), ("heads", "all", "bias")
        # Behind a head that ends in an activation torch has one more level of names.
        weight = f"{name}.0.weight" if bias else f"{name}.weight"
        yield kernel, weight, shape, lambda w: w.transpose(2, 3, 1, 0)
        if bias:
            yield vector, f"{name}.0.bias", (channels,), np.copy
        else:
            yield vector, weight, shape, lambda w: np.zeros(len(w), np.float32)


FILES = {
    "eyebrow_decomposer": Published(
        FACE,
        "body",
        inputs=(4,),
        joins=0,
        doubling_size=4,
        heads=(
            ("background_layer_alpha", 1, True),
            ("background_layer_color_change", 4, True),
            ("eyebrow_layer_alpha", 1, True),
            ("eyebrow_layer_color_change", 4, True),
        ),
    ),
    "eyebrow_morphing_combiner": Published(
        FACE,
        "body",
        inputs=(8,),
        joins=networks.EYEBROW_POSE,
        doubling_size=4,
        heads=(
            ("morphed_eyebrow_layer_grid_change", 2, False),
            ("morphed_eyebrow_layer_alpha", 1, True),
            ("morphed_eyebrow_layer_color_change", 4, True),
        ),
        # For a blend that the original makes but by default does not show.
        left_out=(("combine_alpha", 1, True),),
    ),
    "face_morpher": Published(
        FACE,
        "body",
        inputs=(4,),
        joins=networks.FACE_POSE,
        doubling_size=4,
        heads=(
            ("iris_mouth_grid_change", 2, False),
            ("iris_mouth_color_change", 4, True),
            ("iris_mouth_alpha", 1, True),
            ("eye_color_change", 4, True),
            ("eye_alpha", 1, True),
        ),
    ),
    "two_algo_face_body_rotator": Published(
        ROTATOR,
        "encoder_decoder",
        inputs=(4, networks.ROTATION_POSE),
        first_size=7,
        doubling="upsample_blocks.{}.1",
        heads=(("grid_change_creator", 2, False),),
        # A picture that training asked for; the original does not pass it on.
        left_out=(("direct_creator", 4, True),),
    ),
    "editor": Published(
        EDITOR,
        "body",
        inputs=(10, networks.ROTATION_POSE),
        skips=True,
        heads=(
            ("color_change_creator", 4, True),
            ("alpha_creator", 4, True),
            ("grid_change_creator", 2, False),
        ),
    ),
}
