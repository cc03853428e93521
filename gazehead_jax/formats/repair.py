"""Changes of convention that a wrong file needs: signs, axes, frame."""

from collections.abc import Sequence

import numpy as np

from gazehead_jax.errors import require
from gazehead_jax.formats.reading import GAZE_FRAMES
from gazehead_jax.motion import Motion, gaze_in_camera

CHANNELS = ("gaze_pitch", "gaze_yaw", "head_pitch", "head_yaw", "head_roll")
PARTS = ("gaze", "head")


def repair(
    motion: Motion,
    *,
    negate: Sequence[str] = (),
    swap: Sequence[str] = (),
    gaze_frame: str = "camera",
) -> Motion:
    """The motion that was meant by a file with another convention.

    In this order: pitch and yaw are swapped, channels negated, and eye-in-head turned
    into gaze in the camera frame.

    Args:
      motion: as it was read.
      negate: of `CHANNELS`.
      swap: of `PARTS`: whose pitch and yaw to exchange.
      gaze_frame: "head" if its gaze is relative to the head.

    Raises:
      GazeheadError: an unknown name, a head that is not there, or a swapped yaw that
        can be no pitch.
    """
    for name, values, known in (
        ("negate", negate, CHANNELS),
        ("swap", swap, PARTS),
        ("gaze_frame", [gaze_frame], GAZE_FRAMES),
    ):
        wrong = [value for value in values if value not in known]
        require(
            not wrong,
            f"{name} takes {', '.join(known)}; got {', '.join(map(repr, wrong))}.",
        )
    if gaze_frame == "head" or any("head" in name for name in (*negate, *swap)):
        motion.require_head()
    gaze = motion.gaze
    channels = [gaze] if motion.head is None else [gaze, motion.head]
    table = dict(zip(CHANNELS, np.concatenate(channels, axis=1).T, strict=False))
    for part in swap:
        pitch, yaw = f"{part}_pitch", f"{part}_yaw"
        table[pitch], table[yaw] = table[yaw], table[pitch]
    for name in negate:
        table[name] = -table[name]
    values = np.stack(list(table.values()), axis=-1)
    gaze, head = values[:, :2], values[:, 2:] if motion.head is not None else None
    if gaze_frame == "head":
        gaze = gaze_in_camera(gaze, head)
    return motion.replace(gaze=gaze, head=head)
