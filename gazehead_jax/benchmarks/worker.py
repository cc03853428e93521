"""A process that runs one framework: `python -m gazehead_jax.benchmarks.worker RUNNER FOLDER`.

It reads a JSON request a line and answers with a JSON line:
  {"do": "output", "to": FILE}   runs once, saves what comes out with NumPy ("heads" is the
                                 same)
  {"do": "time", "seconds": s}   mean seconds of a run, repeated for about s seconds
"""

import importlib
import json
import os
import sys
import time
from typing import NamedTuple

import numpy as np

RIVALS = "gazehead_jax.benchmarks.rivals"


class Runner(NamedTuple):
    """What a process runs; it can be written as JSON.

    Attributes:
      module, kind: where its class is.
      arguments: of the class, after the first.
      needs: a package without which it is left out.
      call: the method that does the work once, and gives an array, or what the method
        `shown` makes an array of.
      case: whether the first argument is the `cases.Case` in the folder, or the folder.
    """

    module: str
    kind: str
    arguments: tuple = ()
    needs: str = "numpy"
    call: str = "heads"
    case: bool = True


def _limit(kind: str, *arguments: str, needs: str) -> Runner:
    module = "gazehead_jax.benchmarks.limits"
    return Runner(module, kind, arguments, needs)


# Of `sample`.
RUNNERS = {
    "gazehead_jax": Runner("gazehead_jax.benchmarks.ours", "Ours", (), "jax"),
    "torch eager": Runner(f"{RIVALS}.torch_rival", "TorchRival", ("eager",), "torch"),
    "torch script": Runner(f"{RIVALS}.torch_rival", "TorchRival", ("script",), "torch"),
    "torch compile": Runner(
        f"{RIVALS}.torch_rival", "TorchRival", ("compile",), "torch"
    ),
    "onnx step": Runner(f"{RIVALS}.onnx_rival", "OnnxRival", ("step",), "onnxruntime"),
    "onnx scan": Runner(f"{RIVALS}.onnx_rival", "OnnxRival", ("scan",), "onnxruntime"),
    "numpy": Runner(f"{RIVALS}.numpy_rival", "NumpyRival"),
    "sgemm xla": _limit("MatrixPeak", "xla", needs="jax"),
    "sgemm torch": _limit("MatrixPeak", "torch", needs="torch"),
    "sgemm numpy": _limit("MatrixPeak", "numpy", needs="numpy"),
    "streaming": _limit("Streaming", needs="numpy"),
}


def main(runner: str, folder: str) -> None:
    """Answers requests until standard input ends.

    Args:
      runner: a `Runner` as JSON.
      folder: with what it is to work on.
    """
    # Answers have a pipe of their own: libraries print what they like.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from gazehead_jax.benchmarks.cases import load

    wanted = Runner(*json.loads(runner))
    first = load(folder) if wanted.case else folder
    kind = getattr(importlib.import_module(wanted.module), wanted.kind)
    made = kind(first, *wanted.arguments)
    made.settle()
    call = getattr(made, wanted.call)
    show = getattr(made, "shown", np.asarray)
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "time":
            answer = {"seconds": mean_seconds(call, request["seconds"])}
        else:
            np.save(request["to"], show(call()))
            answer = {"work": getattr(made, "work", None)}
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
