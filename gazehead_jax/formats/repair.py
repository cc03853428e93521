"""Changes of convention that a wrong file needs: signs, axes, frame."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from gazehead_jax.errors import require
from gazehead_jax.motion import Motion, gaze_in_camera

CHANNELS = ("gaze_pitch", "gaze_yaw", "head_pitch", "head_yaw", "head_roll")
PARTS = ("gaze", "head")
GAZE_FRAMES = ("camera", "head")


def repair(
    motion: Motion,
    *,
    negate: Sequence[str] = (),
    swap: Sequence[str] = (),
    gaze_frame: str = "camera",
) -> Motion:
    """The motion that was meant by numbers in another convention.

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
    check_names(negate, swap, gaze_frame)
    gaze, head = repaired(motion.gaze, motion.head, negate, swap)
    if gaze_frame == "head":
        gaze = gaze_in_camera(gaze, motion.replace(head=head).require_head())
    return motion.replace(gaze=gaze, head=head)


def repaired(
    gaze: Float[np.ndarray, "t 2"],
    head: Float[np.ndarray, "t 3"] | None,
    negate: Sequence[str],
    swap: Sequence[str],
) -> tuple[Float[np.ndarray, "t 2"], Float[np.ndarray, "t 3"] | None]:
    """gaze and head with pitch and yaw swapped, then channels negated.

    Raises:
      GazeheadError: the head is to be changed and there is none.
    """
    require(
        head is not None or not any("head" in name for name in (*negate, *swap)),
        "the head is to be negated or swapped, and the motion has gaze but no head.",
    )
    parts = {"gaze": gaze, "head": head}
    for part in swap:
        parts[part] = parts[part][:, [1, 0, 2][: parts[part].shape[1]]]
    for part, angles in parts.items():
        if angles is not None:
            names = [name for name in CHANNELS if name.startswith(part)]
            signs = [-1 if name in negate else 1 for name in names]
            parts[part] = angles * np.array(signs, angles.dtype)
    return parts["gaze"], parts["head"]


def check_names(
    negate: Sequence[str], swap: Sequence[str], gaze_frame: str | None
) -> None:
    """Raises GazeheadError for a channel, part or frame that there is not."""
    for name, values, known in (
        ("negate", negate, CHANNELS),
        ("swap", swap, PARTS),
        ("gaze_frame", [gaze_frame or "camera"], GAZE_FRAMES),
    ):
        wrong = [value for value in values if value not in known]
        require(
            not wrong,
            f"{name} takes {', '.join(known)}; got {', '.join(map(repr, wrong))}.",
        )
