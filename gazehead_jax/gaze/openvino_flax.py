"""From a graph of `openvino_ir` to the parameters of a Flax network.

A network is written as runs of layers: Flax modules and the functions below. The same
runs drive the conversion, which follows the data through the graph and compares every
operation with the layer in its place. So the converted network is the graph or there is
an error; that holds for the order of branches and for strides and padding, too.

Pictures are `[b, height, width, channel]` here and `[b, channel, height, width]` there.
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jaxtyping import Float

from gazehead_jax.errors import require
from gazehead_jax.gaze.estimator import CHUNK
from gazehead_jax.gaze.openvino_ir import Graph, Layer

Step = nn.Module | Callable

# These move numbers about but do not change them.
_RESHAPING = {"Reshape", "Squeeze", "Unsqueeze", "StridedSlice"}
_SHAPES = {"ShapeOf", "Gather", "Concat"} | _RESHAPING


class Affine(nn.Module):
    """Scale and shift of each channel: what conversion leaves of a batch norm."""

    @nn.compact
    def __call__(self, x: Float[jax.Array, "*b c"]) -> Float[jax.Array, "*b c"]:
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:])
        shift = self.param("bias", nn.initializers.zeros, x.shape[-1:])
        alike = (1,) * (x.ndim - 1) + scale.shape
        return x * scale.reshape(alike) + shift.reshape(alike)


def conv(
    name: str, features: int, size: int = 3, *, stride: int = 1, padding: int = 1
) -> nn.Conv:
    """A convolution, in full float32 also where the device would rather not."""
    return nn.Conv(
        features,
        (size, size),
        (stride, stride),
        padding,
        precision=jax.lax.Precision.HIGHEST,
        name=name,
    )


def dense(name: str, features: int) -> nn.Dense:
    return nn.Dense(features, precision=jax.lax.Precision.HIGHEST, name=name)


def max_pool(x: Float[jax.Array, "b h w c"]) -> Float[jax.Array, "b h2 w2 c"]:
    """3 × 3 with stride 2, of an even size; the last window hangs over the edge."""
    return nn.max_pool(x, (3, 3), (2, 2), ((0, 1), (0, 1)))


def flatten(x: Float[jax.Array, "b h w c"]) -> Float[jax.Array, "b n"]:
    """Channel by channel, as OpenVINO does."""
    return x.transpose(0, 3, 1, 2).reshape(len(x), -1)


def run(steps: Sequence[Step], x: jax.Array) -> jax.Array:
    for step in steps:
        x = step(x)
    return x


class Conversion:
    """Parameters taken out of a graph, operation by operation."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.params: dict[str, dict[str, np.ndarray]] = {}
        self._seen: set[str] = set()

    def follow(self, steps: Sequence[Step], after: Layer) -> Layer:
        """Converts a run of layers that begins behind `after`; gives its last operation.

        Raises:
          GazeheadError: the graph goes on in another way.
        """
        self._seen.add(after.id)
        for step in steps:
            after = self._step(step, after)
        return after

    def branch(self, steps: Sequence[Step], after: Layer, first: str) -> Layer:
        """As `follow`, for one of several ways on: that through the operation `first`."""
        op = self.graph.named(first, "Convolution")
        require(
            op.inputs[:1] == (after.id,), self._other(f"{first} after {after.name}")
        )
        self._seen.add(op.id)
        return self.follow(steps[1:], self._convolution(steps[0], op))

    def concat(self, *parts: Layer) -> Layer:
        """The operation that joins the channels of these, in this order."""
        ends = [self._through_reshaping(part) for part in parts]
        op = self._next(parts[0], "Concat")
        require(
            op.inputs == tuple(end.id for end in ends)
            and op.attributes.get("axis") == "1",
            self._other(f"{[p.name for p in parts]} joined by {op.name} in this order"),
        )
        return op

    def result(self, after: Layer, size: int) -> None:
        """Checks that the network ends here with `size` numbers."""
        end = self._through_reshaping(after)
        self._next(after, "Result")
        require(end.shape == (1, size), self._other(f"{size} numbers as {end.name}"))

    def finish(self, net: nn.Module, *inputs: Any) -> dict:
        """The parameters, for `net.apply`; `inputs` are examples of what it takes.

        Raises:
          GazeheadError: an operation or a constant of the graph was not converted, or a
            shape is wrong.
        """
        for layer in self.graph.layers.values():
            users = self.graph.users(layer)
            # A reshape takes its target from a small graph of its own.
            of_shape = bool(users) and all(user.type in _SHAPES for user in users)
            if layer.value is not None and layer.value.dtype.kind != "i":
                of_shape = False
            require(
                layer.id in self._seen or of_shape,
                self._other(f"no place for {layer.type} {layer.name!r}"),
            )
        wanted = jax.eval_shape(net.init, jax.random.key(0), *inputs)["params"]
        for name, tensors in wanted.items():
            for kind, tensor in tensors.items():
                got = self.params[name][kind].shape
                require(
                    tensor.shape == got,
                    self._other(f"shape {tensor.shape} for {name}'s {kind}, not {got}"),
                )
        return {"params": self.params}

    def _step(self, step: Step, after: Layer) -> Layer:
        if isinstance(step, nn.Conv | nn.Dense):
            if isinstance(step, nn.Dense) and self._kind_after(after) == "MatMul":
                return self._matmul(step, self._next(after, "MatMul"))
            return self._convolution(step, self._next(after, "Convolution"))
        if isinstance(step, Affine):
            multiply = self._next(after, "Multiply")
            add = self._next(multiply, "Add")
            self.params[step.name] = {
                "scale": self._constant(multiply).reshape(-1),
                "bias": self._constant(add).reshape(-1),
            }
            return add
        if step is nn.relu:
            return self._next(after, "ReLU")
        if step is max_pool:
            op = self._next(after, "MaxPool")
            self._agrees(
                op,
                kernel="3,3",
                strides="2,2",
                pads_begin="0,0",
                pads_end="0,0",
                rounding_type="ceil",
            )
            even = all(n % 2 == 0 for n in after.shape[2:])
            require(even, self._other(f"an even size before {op.name}"))
            return op
        assert step is flatten
        op = self._through_reshaping(after)
        require(
            op.shape == (1, int(np.prod(after.shape))), self._other(f"{op.name} flat")
        )
        return after

    def _convolution(self, step: nn.Conv | nn.Dense, op: Layer) -> Layer:
        weights = self._constant(op)
        require(weights.ndim == 4, self._other(f"a kernel in {op.name}"))
        if isinstance(step, nn.Dense):
            stride, padding, kernel = 1, 0, weights[:, :, 0, 0].T
            require(weights.shape[2:] == (1, 1), self._other(f"{op.name} of size 1"))
        else:
            stride, padding = step.strides[0], step.padding
            kernel = weights.transpose(2, 3, 1, 0)
        pads = f"{padding},{padding}"
        self._agrees(
            op,
            strides=f"{stride},{stride}",
            pads_begin=pads,
            pads_end=pads,
            dilations="1,1",
        )
        return self._biased(step, kernel, op)

    def _matmul(self, step: nn.Dense, op: Layer) -> Layer:
        self._agrees(op, transpose_a="False", transpose_b="True")
        return self._biased(step, self._constant(op).T, op)

    def _biased(self, step: nn.Module, kernel: np.ndarray, op: Layer) -> Layer:
        add = self._next(op, "Add")
        bias = self._constant(add).reshape(-1)
        self.params[step.name] = {"kernel": np.ascontiguousarray(kernel), "bias": bias}
        return add

    def _constant(self, op: Layer) -> np.ndarray:
        """The second input of an operation."""
        require(len(op.inputs) == 2, self._other(f"two inputs of {op.name}"))
        layer = self.graph.layers[op.inputs[1]]
        require(
            layer.value is not None and layer.value.dtype == np.float32,
            self._other(f"a constant into {op.name}, not {layer.type} {layer.name!r}"),
        )
        self._seen.add(layer.id)
        return layer.value

    def _agrees(self, op: Layer, **attributes: str) -> None:
        got = {key: op.attributes.get(key) for key in attributes}
        require(
            got == attributes, self._other(f"{op.name} with {attributes}, not {got}")
        )

    def _ways_on(self, layer: Layer) -> list[Layer]:
        return [user for user in self.graph.users(layer) if user.type != "ShapeOf"]

    def _through_reshaping(self, layer: Layer) -> Layer:
        """The last of the operations behind `layer` that only rearrange its numbers."""
        ways = self._ways_on(layer)
        if len(ways) == 1 and ways[0].type in _RESHAPING:
            self._seen.add(ways[0].id)
            return self._through_reshaping(ways[0])
        return layer

    def _kind_after(self, layer: Layer) -> str:
        ways = self._ways_on(self._through_reshaping(layer))
        return ways[0].type if len(ways) == 1 else f"{len(ways)} layers"

    def _next(self, layer: Layer, kind: str) -> Layer:
        """The one operation behind `layer`, which must be of that kind."""
        got = self._kind_after(layer)
        require(got == kind, self._other(f"{kind} after {layer.name}, not {got}"))
        end = self._through_reshaping(layer)
        op = self._ways_on(end)[0]
        self._seen.add(op.id)
        # Concat checks the order of its inputs itself.
        require(
            kind == "Concat" or op.inputs[0] == end.id,
            self._other(f"{end.name} as the first input of {op.name}"),
        )
        return op

    def _other(self, wanted: str) -> str:
        return (
            f"{self.graph.path}: this is another network than the one expected; that one "
            f"has {wanted}."
        )


def in_batches(
    net: Callable, params: dict, *inputs: Float[np.ndarray, "n ..."]
) -> Float[np.ndarray, "n out"]:
    """`net(params, *inputs)` in batches of `CHUNK`, the last one filled up: one compile.

    In float32; the result in float64.
    """
    outputs = []
    for start in range(0, max(len(inputs[0]), 1), CHUNK):
        parts = [np.asarray(x[start : start + CHUNK], np.float32) for x in inputs]
        size = len(parts[0])
        full = [np.resize(x, (CHUNK, *x.shape[1:])) for x in parts]
        outputs.append(np.asarray(net(params, *full), np.float64)[:size])
    return np.concatenate(outputs)
