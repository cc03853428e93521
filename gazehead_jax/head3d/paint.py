"""Where brows, hair, shirt and lashes are, as masks over points of the head.

Points are `[n, 3]` in metres, head axes, origin between the eyes; masks are 0 to 1.
"""

import numpy as np

from gazehead_jax.head3d.mesh import HeadMesh


def smooth(low, high, value):
    """0 below `low`, 1 above `high`, a smooth step between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def brow(p: np.ndarray) -> np.ndarray:
    """Two arcs above the eyes, thinner outwards."""
    x, up, away = np.abs(p[:, 0]), -p[:, 1], p[:, 2]
    along = np.clip((x - 0.011) / 0.043, 0, 1)
    arc = 0.0188 + 0.0056 * np.sin(np.pi * along**0.9) - 0.0012 * along
    thick = 0.0040 - 0.0022 * along
    body = 1 - smooth(0.45, 1.15, np.abs(up - arc) / thick)
    ends = smooth(0.008, 0.016, x) * (1 - smooth(0.047, 0.056, x))
    return body * ends * (away < 0.03)


def hair(p: np.ndarray, ears: np.ndarray) -> np.ndarray:
    """Short hair: above a hairline that runs round the head."""
    around = np.rad2deg(np.arctan2(np.abs(p[:, 0]), -(p[:, 2] - 0.085)))
    line = np.interp(
        around,
        [0, 20, 36, 46, 58, 66, 74, 92, 112, 130, 180],
        [58, 57, 55, 50, 32, 20, -2, -8, -18, -50, -58],
    )
    return smooth(-3, 3, -1000 * p[:, 1] - line) * (1 - np.clip(2 * ears, 0, 1))


def cloth(p: np.ndarray) -> np.ndarray:
    """A shirt with a round neck."""
    x, y, z = p.T
    neckline = 0.176 - 0.25 * np.clip(z - 0.02, 0, None) - 0.25 * np.abs(x)
    return smooth(-0.0025, 0.0025, y - neckline)


def lid_rim(mesh: HeadMesh) -> np.ndarray:
    """Where the lids touch the eyeballs; the upper ones carry more lashes."""
    offset = mesh.vertices[:, None] - mesh.eyes
    nearest = np.abs(np.linalg.norm(offset, axis=2) - mesh.eye_radius)
    rim = 1 - smooth(0.0018, 0.0034, nearest)
    rim *= np.where(offset[..., 1] < 0, 1.0, 0.3) * (offset[..., 2] < 0)
    return rim.max(1)
