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
    return smooth(-0.0025, 0.0025, below_neckline(p))


def below_neckline(p: np.ndarray) -> np.ndarray:
    """Metres below the edge of the shirt."""
    x, y, z = p.T
    return y - (0.176 - 0.25 * np.clip(z - 0.02, 0, None) - 0.25 * np.abs(x))


def blush(p: np.ndarray) -> np.ndarray:
    """Where skin is redder: cheeks, nose, chin and, palely, the forehead's middle."""
    x, y, z = p.T
    blob = lambda at, size: np.exp(
        -((np.stack([np.abs(x), y, z]).T - at) ** 2 / np.square(size)).sum(1)
    )
    cheek = blob([0.040, 0.034, 0.004], [0.020, 0.017, 0.03])
    nose = blob([0.0, 0.036, -0.024], [0.011, 0.010, 0.014])
    ear = smooth(0.068, 0.074, np.abs(x)) * blob(
        [0.075, 0.02, 0.09], [0.03, 0.04, 0.05]
    )
    chin = blob([0.0, 0.086, -0.01], [0.016, 0.012, 0.02])
    return np.clip(cheek + 0.8 * nose + 0.8 * ear + 0.5 * chin, 0, 1)


def strands(p: np.ndarray, hair: np.ndarray) -> np.ndarray:
    """Which strand of hair combed back a point lies on, 0 to 1 across the head; more than
    1 where there is no hair."""
    x, y, _ = p.T
    across = np.arctan2(x, 0.08 - y) / np.pi + 0.5  # about an axis behind the mouth
    return np.clip(across, 0, 1) + 1.2 * (1 - hair)


def lid_rim(mesh: HeadMesh) -> np.ndarray:
    """Where the lids touch the eyeballs; the upper ones carry more lashes."""
    offset = mesh.vertices[:, None] - mesh.eyes
    nearest = np.abs(np.linalg.norm(offset, axis=2) - mesh.eye_radius)
    rim = 1 - smooth(0.0018, 0.0034, nearest)
    rim *= np.where(offset[..., 1] < 0, 1.0, 0.3) * (offset[..., 2] < 0)
    return rim.max(1)
