"""What the machine can do at best, for the same work: measured, not looked up."""

import os
import time

import numpy as np

from gazehead_jax.benchmarks.cases import Case

SIZE = 2048


class MatrixPeak:
    """Large float32 matrix products on all cores, in one library.

    Args:
      case: what is benchmarked; not used.
      library: "xla", "torch" or "numpy".
    """

    # Of one call of `heads`.
    work = 2 * SIZE**3

    def __init__(self, case: Case, library: str):
        rng = np.random.default_rng(0)
        a = rng.normal(size=(SIZE, SIZE)).astype(np.float32)
        if library == "xla":
            import jax

            product = jax.jit(lambda a: a @ a)
            a = jax.device_put(a)
            self.heads = lambda: product(a).block_until_ready()
        elif library == "torch":
            import torch

            torch.set_num_threads(os.cpu_count())
            a = torch.from_numpy(a)
            self.heads = lambda: a @ a
        else:
            self.heads = lambda: a @ a

    def settle(self) -> None:
        self.heads()


class Streaming:
    """One core reading as many bytes as a model has weights, again and again, from
    whatever cache keeps them."""

    def __init__(self, case: Case):
        half = case.weights // 2
        self.work = 2 * half * 4
        rng = np.random.default_rng(0)
        a, b = rng.normal(size=(2, half)).astype(np.float32)
        self.heads = lambda: np.dot(a, b)

    def settle(self) -> None:
        """Two ways of reading; the faster one counts."""
        half = self.work // 8
        matrix = np.ones((half // 128 * 2, 128), np.float32)
        vector = np.ones(len(matrix), np.float32)
        ways = [self.heads, lambda: vector @ matrix]
        self.heads = min(ways, key=_time)


def _time(call) -> float:
    best = float("inf")
    for _ in range(50):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best
