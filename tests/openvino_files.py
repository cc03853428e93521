"""OpenVINO IR files with random weights, and what such a network computes, by NumPy.

The networks are written as Open Model Zoo's converter left them: NCHW, batch norms as
Multiply and Add behind the ReLU, reshapes whose targets are small graphs of their own.
"""

import numpy as np


class Writer:
    """Adds operations one by one; each gives its id, shape and values for a batch."""

    def __init__(self, name, seed=0):
        self.name, self.rng = name, np.random.default_rng(seed)
        self.layers, self.edges, self.bytes = [], [], b""
        self.shapes, self.values, self.names = [], [], []

    def op(self, kind, inputs, values, shape, name="", **data):
        own = len(self.layers)
        name = name or f"{kind}{own}"
        dims = "".join(f"<dim>{n}</dim>" for n in shape)
        output = f"<output><port id='9'>{dims}</port></output>" * (kind != "Result")
        text = " ".join(f"{key}='{value}'" for key, value in data.items())
        self.layers.append(
            f"<layer id='{own}' name='{name}' type='{kind}' version='opset1'>"
            f"<data {text}/>{output}</layer>"
        )
        self.edges += [
            f"<edge from-layer='{source}' from-port='9' to-layer='{own}' to-port='{i}'/>"
            for i, source in enumerate(inputs)
        ]
        self.shapes.append(tuple(shape))
        self.values.append(values)
        self.names.append(name)
        return own

    def const(self, values, kind="f16"):
        # Values that FP16 holds exactly, so that the oracle has the same.
        stored = np.asarray(values, {"f16": "<f2", "i64": "<i8"}[kind])
        start, raw = len(self.bytes), stored.tobytes()
        self.bytes += raw
        data = {"element_type": kind, "offset": start, "size": len(raw)}
        return self.op("Const", (), stored.astype(float), stored.shape, **data)

    def parameter(self, name, values):
        return self.op("Parameter", (), values, (1, *values.shape[1:]), name)

    def random(self, shape, spread=1.0, around=0.0):
        return self.const(around + spread * self.rng.normal(size=shape))

    def affine(self, x):
        channels = (1, self.shapes[x][1], 1, 1)
        scale, shift = self.random(channels, 0.1, 1.0), self.random(channels, 0.1)
        y = self.op(
            "Multiply", (x, scale), self.values[x] * self.values[scale], self.shapes[x]
        )
        return self.op(
            "Add", (y, shift), self.values[y] + self.values[shift], self.shapes[x]
        )

    def pixels(self, x):
        """Brings 0 to 255 to about one, as the true networks do first."""
        scale, shift = (
            self.const(np.full((1, 3, 1, 1), 2.0**-7)),
            self.random((1, 3, 1, 1)),
        )
        values = self.values[x] * self.values[scale]
        x = self.op("Multiply", (x, scale), values, self.shapes[x])
        return self.op("Add", (x, shift), values + self.values[shift], self.shapes[x])

    def relu(self, x):
        return self.op("ReLU", (x,), np.maximum(self.values[x], 0), self.shapes[x])

    def conv(self, x, features, size=3, stride=1, pad=1, name=""):
        channels = self.shapes[x][1]
        kernel = self.random(
            (features, channels, size, size), (channels * size**2) ** -0.5
        )
        bias = self.random((1, features, 1, 1), 0.1)
        padded = np.pad(self.values[x], ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (2, 3))
        windows = windows[:, :, ::stride, ::stride]
        values = np.einsum(
            "bchwij,fcij->bfhw", windows, self.values[kernel], optimize=True
        )
        shape = (1, *values.shape[1:])
        data = {"strides": f"{stride},{stride}", "dilations": "1,1"}
        data |= {"pads_begin": f"{pad},{pad}", "pads_end": f"{pad},{pad}"}
        y = self.op("Convolution", (x, kernel), values, shape, name, **data)
        return self.op("Add", (y, bias), values + self.values[bias], shape)

    def max_pool(self, x):
        values = self.values[x]
        height = -(-(values.shape[2] - 3) // 2) + 1
        out = np.array(
            [
                [
                    values[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max((2, 3))
                    for j in range(height)
                ]
                for i in range(height)
            ]
        ).transpose(2, 3, 0, 1)
        data = {
            "kernel": "3,3",
            "strides": "2,2",
            "pads_begin": "0,0",
            "pads_end": "0,0",
        }
        return self.op(
            "MaxPool", (x,), out, (1, *out.shape[1:]), rounding_type="ceil", **data
        )

    def concat(self, a, b):
        values = np.concatenate([self.values[a], self.values[b]], 1)
        return self.op("Concat", (a, b), values, (1, *values.shape[1:]), axis="1")

    def reshape(self, x, *shape):
        """To (batch, *shape); the batch comes out of the data, as keep_shape_ops has it."""
        of = self.op("ShapeOf", (x,), None, (4,))
        first, axis = self.const([0], "i64"), self.const(0, "i64")
        batch = self.op("Gather", (of, first, axis), None, (1,))
        target = self.op(
            "Concat", (batch, self.const(shape, "i64")), None, (2,), axis="0"
        )
        values = self.values[x].reshape(-1, *shape)
        return self.op("Reshape", (x, target), values, (1, *shape), special_zero="True")

    def matmul(self, x, features):
        weights = self.random((features, self.shapes[x][1]), self.shapes[x][1] ** -0.5)
        bias = self.random((1, features))
        values = self.values[x] @ self.values[weights].T
        data = {"transpose_a": "False", "transpose_b": "True"}
        y = self.op("MatMul", (x, weights), values, (1, features), **data)
        return self.op("Add", (y, bias), values + self.values[bias], (1, features))

    def result(self, x):
        self.op("Result", (x,), None, ())

    def write(self, folder):
        """Both files into `folder`; gives the path of the .xml."""
        path = folder / f"{self.name}.xml"
        path.write_text(
            f"<?xml version='1.0'?><net name='{self.name}' version='10'>"
            f"<layers>{''.join(self.layers)}</layers>"
            f"<edges>{''.join(self.edges)}</edges></net>"
        )
        path.with_suffix(".bin").write_bytes(self.bytes)
        return path


def nchw(pictures):
    return np.moveaxis(pictures, -1, 1).astype(float)


def gaze_net(left, right, head_deg, swap=False):
    """(writer, gaze) of a random gaze-estimation-adas-0002."""
    net = Writer("gaze-estimation-adas-0002")
    eyes = []
    for side, eye in (("left", left), ("right", right)):
        x = net.pixels(net.parameter(f"{side}_eye_image", nchw(eye)))
        x = net.affine(net.relu(net.conv(x, 32)))
        x = net.conv(x, 16, stride=2)
        x = net.affine(net.relu(net.conv(x, 64)))
        eyes.append(net.conv(x, 32, stride=2))
    x = net.concat(*(eyes[::-1] if swap else eyes))
    x = net.affine(net.relu(net.conv(x, 128)))
    x = net.conv(x, 64, stride=2)
    x = net.affine(net.relu(net.conv(x, 128)))
    x = net.conv(x, 64, stride=2, pad=0)
    x = net.affine(net.relu(net.conv(x, 256)))
    x = net.reshape(net.conv(x, 512, pad=0), 512)
    head = net.reshape(net.parameter("head_pose_angles", head_deg.astype(float)), 3)
    x = net.reshape(net.concat(x, head), 515, 1, 1)
    x = net.relu(net.conv(x, 320, 1, pad=0))
    x = net.affine(net.relu(net.conv(x, 80, 1, pad=0)))
    x = net.reshape(net.conv(x, 3, 1, pad=0), 3)
    net.result(x)
    return net, net.values[x]


def head_net(faces):
    """(writer, (pitch, yaw, roll)) of a random head-pose-estimation-adas-0001."""
    net = Writer("head-pose-estimation-adas-0001", 1)
    x = net.pixels(net.parameter("data", nchw(faces)))
    x = net.conv(net.affine(net.relu(net.conv(x, 32))), 16, stride=2)
    x = net.max_pool(net.affine(net.relu(net.conv(x, 64))))
    x = net.conv(net.affine(net.relu(net.conv(x, 128))), 64, stride=2)
    x = net.max_pool(net.affine(net.relu(net.conv(x, 128))))
    x = net.conv(net.affine(net.relu(net.conv(x, 256))), 512, pad=0)
    angles = {}
    for name in "pry":
        y = net.relu(net.conv(x, 128, 1, pad=0, name=f"angle_{name}/WithoutBiases"))
        y = net.reshape(y if name == "r" else net.affine(y), 512)
        y = net.matmul(y, 1)
        net.result(y)
        angles[name] = net.values[y]
    return net, np.concatenate([angles["p"], angles["y"], angles["r"]], 1)
