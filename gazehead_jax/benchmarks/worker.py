"""A process that runs one framework: `python -m gazehead_jax.benchmarks.worker NAME CASE`.

It reads a JSON request a line and answers with a JSON line:
  {"do": "heads", "to": FILE}    one rollout, saved with NumPy
  {"do": "time", "seconds": s}   mean seconds of a rollout, repeated for about s seconds
"""

import importlib
import json
import os
import sys
import time

import numpy as np

RIVALS = "gazehead_jax.benchmarks.rivals"
# Name → (module, class, arguments after the case, what it needs).
RUNNERS = {
    "gazehead_jax": ("gazehead_jax.benchmarks.ours", "Ours", (), "jax"),
    "torch eager": (f"{RIVALS}.torch_rival", "TorchRival", ("eager",), "torch"),
    "torch script": (f"{RIVALS}.torch_rival", "TorchRival", ("script",), "torch"),
    "torch compile": (f"{RIVALS}.torch_rival", "TorchRival", ("compile",), "torch"),
    "onnx step": (f"{RIVALS}.onnx_rival", "OnnxRival", ("step",), "onnxruntime"),
    "onnx scan": (f"{RIVALS}.onnx_rival", "OnnxRival", ("scan",), "onnxruntime"),
    "numpy": (f"{RIVALS}.numpy_rival", "NumpyRival", (), "numpy"),
    "sgemm xla": ("gazehead_jax.benchmarks.limits", "MatrixPeak", ("xla",), "jax"),
    "sgemm torch": (
        "gazehead_jax.benchmarks.limits",
        "MatrixPeak",
        ("torch",),
        "torch",
    ),
    "sgemm numpy": (
        "gazehead_jax.benchmarks.limits",
        "MatrixPeak",
        ("numpy",),
        "numpy",
    ),
    "streaming": ("gazehead_jax.benchmarks.limits", "Streaming", (), "numpy"),
}


def main(name: str, folder: str) -> None:
    """Answers requests until standard input ends."""
    # Answers have a pipe of their own: libraries print what they like.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from gazehead_jax.benchmarks.cases import load

    module, kind, arguments, _ = RUNNERS[name]
    runner = getattr(importlib.import_module(module), kind)(load(folder), *arguments)
    runner.settle()
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "heads":
            np.save(request["to"], runner.heads())
            answer = {"work": getattr(runner, "work", None)}
        else:
            answer = {"seconds": mean_seconds(runner.heads, request["seconds"])}
        print(json.dumps(answer), file=answers, flush=True)


def mean_seconds(call, seconds: float) -> float:
    """Mean time of a call, repeated for about so long and at least once."""
    count, start = 0, time.perf_counter()
    while True:
        call()
        count += 1
        passed = time.perf_counter() - start
        if passed >= seconds:
            return passed / count


if __name__ == "__main__":
    main(*sys.argv[1:])
