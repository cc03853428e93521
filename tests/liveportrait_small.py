"""LivePortrait at reduced width, and weights that NumPy makes from the tensors' names.

Shared by the tests and by `golden/make_liveportrait.py`, which gives the same weights to
the original modules.
"""

import math
import zlib

import numpy as np

from gazehead_jax.generators.liveportrait.architecture import Architecture
from gazehead_jax.generators.liveportrait.conversion import NETWORKS, tensors

SMALL = Architecture(
    size=32,
    width=8,
    channels=64,
    depth=8,
    resblocks=2,
    stages=(8, 12, 16, 20),
    blocks=(1, 1, 2, 1),
    flow_width=8,
    flow_most=24,
    flow_levels=2,
    stitching=(16, 12),
    lip=(16, 12),
    eye=(24, 16, 8),
)
NAMES = list(NETWORKS)
# Keypoints must lie within the picture, or nothing that depends on them is seen.
KEYPOINT_GAINS = {
    "fc_kp": 0.2,
    "fc_exp": 0.05,
    "fc_t.": 0.1,
    "fc_scale": 0.05,
    "retarget_": 0.5,
}
EYES = np.float32([[0.31, 0.27]])  # how open they are
MOUTH = np.float32([[0.12]])


def shapes(name, net=SMALL):
    """Every tensor of a published file, by name."""
    needed, unused = tensors(NETWORKS[name][0](net))
    return needed | unused


def random_state(shapes, seed=0):
    """Weights that keep activations of order 1: a state_dict of NumPy arrays."""
    state = {name: _tensor(name, shape, seed) for name, shape in shapes.items()}
    for name, u in state.items():
        if name.endswith("weight_u"):
            # As spectral norm leaves them: one step of the power iteration.
            prefix = name.removesuffix("weight_u")
            weight = state[f"{prefix}weight_orig"].astype(np.float64)
            weight = weight.reshape(len(weight), -1)
            v = weight.T @ u
            v = v / np.linalg.norm(v)
            state[f"{prefix}weight_v"] = v.astype(np.float32)
            u = weight @ v
            state[name] = (u / np.linalg.norm(u)).astype(np.float32)
    return state


def _tensor(name, shape, seed):
    if name.endswith("num_batches_tracked"):
        return np.array(1000)
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    normal = rng.standard_normal(shape).astype(np.float32)
    if name.endswith("fc_scale.bias"):
        return normal * np.float32(0.1) + np.float32(1.2)
    for layer, gain in KEYPOINT_GAINS.items():
        if layer in name:
            normal = normal * np.float32(gain)
    if name.endswith(("weight", "weight_orig")):
        return normal * np.float32(1.4 / math.sqrt(math.prod(shape[1:])))
    return normal * np.float32(0.2)


def states(net=SMALL):
    """state_dicts of all files."""
    return {name: random_state(shapes(name, net)) for name in NAMES}


def picture(size=32, seed=1):
    """A smooth RGB picture of 0 to 1, `[size, size, 3]`."""
    rng = np.random.default_rng(seed)
    coarse = np.kron(rng.uniform(0, 1, (size // 4, size // 4, 3)), np.ones((4, 4, 1)))
    fine = rng.uniform(0, 1, (size, size, 3))
    return (0.8 * coarse + 0.2 * fine).astype(np.float32)


def normal(seed, *shape, scale=1.0):
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(
        np.float32
    )
