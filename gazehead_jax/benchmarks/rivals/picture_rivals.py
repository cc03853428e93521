"""Rivals of extraction: another decoder, and the gaze network in other frameworks."""

import os
import time
from pathlib import Path

import numpy as np

from gazehead_jax.benchmarks.gaze_net import load

STAGES = (3, 4, 6, 3)


class OpenCvDecoder:
    """`cv2.VideoCapture`, RGB pictures."""

    def __init__(self, folder: str):
        self._clip = str(Path(folder) / "clip.mp4")

    def run(self) -> list[np.ndarray]:
        import cv2

        capture, frames = cv2.VideoCapture(self._clip), []
        while True:
            there, image = capture.read()
            if not there:
                capture.release()
                return frames
            frames.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))

    def shown(self, frames) -> np.ndarray:
        return np.stack(frames)

    def settle(self) -> None:
        """There is nothing to choose."""


class ResNetRival:
    """ResNet-50 with our parameters, batch norms folded away as in ours.

    Args:
      folder: of the case.
      form: "eager"; "script", traced, frozen and optimised for inference; "openvino", the
        same network converted.
    """

    def __init__(self, folder: str, form: str):
        import torch

        torch.set_grad_enabled(False)
        params, images = load(folder)
        images = torch.from_numpy(images).permute(0, 3, 1, 2)
        network = _resnet(params).eval()
        if form == "openvino":
            self.run, self._threads = _openvino(network, images), None
            return
        # Both layouts were tried: channels last is the faster one in torch.
        network = network.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
        if form == "script":
            network = torch.jit.freeze(torch.jit.trace(network, images))
            network = torch.jit.optimize_for_inference(network)
        self.run = lambda: network(images).numpy()
        self._threads = torch.set_num_threads

    def settle(self) -> None:
        """Takes the number of threads that is faster."""
        times = {}
        for threads in {1, os.cpu_count()} if self._threads else ():
            self._threads(threads)
            self.run()
            start = time.perf_counter()
            self.run()
            times[threads] = time.perf_counter() - start
        if times:
            self._threads(min(times, key=times.get))


def _openvino(network, images):
    import openvino

    model = openvino.convert_model(network, example_input=images)
    # Full precision, as all others have.
    compiled = openvino.compile_model(
        model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    )
    images = np.ascontiguousarray(images.numpy())
    return lambda: np.asarray(compiled(images)[0])


def _resnet(params: dict[str, np.ndarray]):
    import torch
    from torch import nn

    def conv(name: str, stride: int = 1) -> nn.Conv2d:
        kernel = torch.from_numpy(params[f"{name}/kernel"]).permute(3, 2, 0, 1)
        outputs, inputs, size, _ = kernel.shape
        layer = nn.Conv2d(inputs, outputs, size, stride, size // 2)
        layer.weight.copy_(kernel)
        layer.bias.copy_(torch.from_numpy(params[f"{name}/bias"]))
        return layer

    class Block(nn.Module):
        def __init__(self, name: str, stride: int):
            super().__init__()
            self.conv1 = conv(f"{name}/conv1")
            self.conv2 = conv(f"{name}/conv2", stride)
            self.conv3 = conv(f"{name}/conv3")
            first = f"{name}/downsample/kernel" in params
            self.short = conv(f"{name}/downsample", stride) if first else nn.Identity()

        def forward(self, x):
            y = self.conv2(self.conv1(x).relu()).relu()
            return (self.conv3(y) + self.short(x)).relu()

    class Mean(nn.Module):
        def forward(self, x):
            return x.mean((2, 3))

    blocks = [
        Block(f"layer{stage}_{block}", 2 if stage > 1 and not block else 1)
        for stage, count in enumerate(STAGES, 1)
        for block in range(count)
    ]
    head = nn.Linear(*params["head/kernel"].shape)
    head.weight.copy_(torch.from_numpy(params["head/kernel"].T.copy()))
    head.bias.copy_(torch.from_numpy(params["head/bias"]))
    return nn.Sequential(
        conv("conv1", 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1), *blocks, Mean(), head
    )
