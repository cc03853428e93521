"""Which face is whose: faces of successive frames joined to one track per person."""

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

# A face moves by less than this many of its own widths from frame to frame, and its size
# changes by less than this factor.
REACH = 0.6
GROWTH = 1.5
# A face that was away for longer may be another's.
GAP_S = 0.5


class Tracker:
    """Gives faces numbers that stay with the person. `reset` at a cut."""

    def __init__(self):
        self._next = 0
        self.reset()

    def reset(self) -> None:
        """Nobody of before is here any more."""
        self._seen: dict[int, tuple[float, np.ndarray, float]] = {}

    def assign(
        self, landmarks: Float[np.ndarray, "faces 478 3"], time_s: float
    ) -> Int[np.ndarray, " faces"]:
        """The track of each face in a frame."""
        self._seen = {
            k: seen for k, seen in self._seen.items() if time_s - seen[0] <= GAP_S
        }
        centres, widths = centre_and_width(landmarks)
        tracks = list(self._seen)
        ids = np.full(len(landmarks), -1)
        if tracks and len(landmarks):
            old = np.stack([self._seen[k][1] for k in tracks])
            size = np.array([self._seen[k][2] for k in tracks])
            away = np.linalg.norm(centres[:, None] - old[None], axis=-1) / size
            grown = np.maximum(widths[:, None] / size, size / widths[:, None])
            cost = np.where((away < REACH) & (grown < GROWTH), away, 1e3)
            for face, track in zip(*linear_sum_assignment(cost), strict=True):
                if cost[face, track] < 1e3:
                    ids[face] = tracks[track]
        for face in np.flatnonzero(ids < 0):
            ids[face] = self._next
            self._next += 1
        for face, track in enumerate(ids):
            self._seen[int(track)] = (time_s, centres[face], float(widths[face]))
        return ids


def centre_and_width(
    landmarks: Float[np.ndarray, "n 478 3"],
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
    """Middle and width of faces in pixels. The width is the larger side's, since a face
    that turns away grows narrow but stays as high."""
    low, high = landmarks[..., :2].min(1), landmarks[..., :2].max(1)
    return (low + high) / 2, (high - low).max(1)
