"""Loaders of windows that lie in memory, handed the order in which they are wanted.

A rival is made from the folder that `benchmarks.data.write_case` filled, and `run()` gives
all batches of a call.
"""

from pathlib import Path

import numpy as np

SIGN = np.float32([1, -1, -1])


class _Split:
    """Normalised frames end to end, and the windows of each step.

    Attributes:
      gaze, head, valid: `[frames, 2]`, `[frames, 3]`, `[frames]`.
      start, mirrored: `[steps, b]`.
      length: frames of a window.
    """

    def __init__(self, folder: str):
        with np.load(Path(folder) / "split.npz") as file:
            self.gaze, self.head, self.valid = (
                file[n] for n in ("gaze", "head", "valid")
            )
            self.start, self.mirrored = file["start"], file["mirrored"]
            self.length = int(file["length"])


def _rows(batches) -> np.ndarray:
    gaze, head, valid = (
        np.stack([np.asarray(b[i], np.float32) for b in batches]) for i in range(3)
    )
    return np.concatenate([gaze, head, valid[..., None]], -1)


class NumpyIndex:
    """Arrays indexed by arrays, one batch after the other."""

    def __init__(self, folder: str):
        self._split = _Split(folder)

    def run(self) -> list[tuple]:
        split, within = self._split, np.arange(self._split.length)
        batches = []
        for start, mirrored in zip(split.start, split.mirrored, strict=True):
            frames = start[:, None] + within
            sign = np.where(mirrored[:, None, None], SIGN, np.float32(1))
            gaze, head = split.gaze[frames], split.head[frames]
            gaze *= sign[..., :2]
            head *= sign
            batches.append((gaze, head, split.valid[frames]))
        return batches

    def shown(self, batches) -> np.ndarray:
        return _rows(batches)

    def settle(self) -> None:
        """There is nothing to choose."""


class TorchLoader:
    """`torch.utils.data.DataLoader` over a data set of single windows, as is usual.

    Args:
      folder: of the case.
      workers: processes that read; they are kept from one call to the next.
    """

    def __init__(self, folder: str, workers: int):
        import torch

        split = _Split(folder)
        tensors = [torch.from_numpy(x) for x in (split.gaze, split.head, split.valid)]
        sign = torch.from_numpy(SIGN)
        starts, mirrored = split.start.ravel().tolist(), split.mirrored.ravel().tolist()

        class Windows(torch.utils.data.Dataset):
            def __len__(self):
                return len(starts)

            def __getitem__(self, i):
                start = starts[i]
                gaze, head, valid = (x[start : start + split.length] for x in tensors)
                if mirrored[i]:
                    gaze, head = gaze * sign[:2], head * sign
                return gaze, head, valid

        self._loader = torch.utils.data.DataLoader(
            Windows(),
            batch_size=split.start.shape[1],
            num_workers=workers,
            persistent_workers=workers > 0,
        )

    def run(self) -> list:
        return list(self._loader)

    def shown(self, batches) -> np.ndarray:
        return _rows(batches)

    def settle(self) -> None:
        """Starts the workers."""
        self.run()


class TorchBatches:
    """A `DataLoader` whose data set hands out whole batches, gathered by an index."""

    def __init__(self, folder: str):
        import torch

        split = _Split(folder)
        gaze, head, valid = (
            torch.from_numpy(x) for x in (split.gaze, split.head, split.valid)
        )
        starts, mirrored = (torch.from_numpy(x) for x in (split.start, split.mirrored))
        sign, within = torch.from_numpy(SIGN), torch.arange(split.length)

        class Batches(torch.utils.data.Dataset):
            def __len__(self):
                return len(starts)

            def __getitem__(self, step):
                frames = starts[step][:, None] + within
                turn = torch.where(mirrored[step][:, None, None], sign, 1.0)
                return gaze[frames] * turn[..., :2], head[frames] * turn, valid[frames]

        self._loader = torch.utils.data.DataLoader(Batches(), batch_size=None)

    def run(self) -> list:
        return list(self._loader)

    def shown(self, batches) -> np.ndarray:
        return _rows(batches)

    def settle(self) -> None:
        """There is nothing to choose."""
