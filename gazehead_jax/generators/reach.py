"""Motion bent to what a generator can do, and how much had to be bent."""

import dataclasses

import numpy as np

from gazehead_jax.controls import soft_limit
from gazehead_jax.generators.generator import Reach
from gazehead_jax.motion import Motion, gaze_in_camera, gaze_in_head

# Radians; what is bent by less is not worth a word.
NOTED = float(np.deg2rad(0.5))


@dataclasses.dataclass(frozen=True)
class Bent:
    """What bending changed.

    Attributes:
      shares: share of the frames in which an angle was bent by more than half a degree,
        of those angles where there are any: "head yaw", "eye pitch", …
      off_target: share of the frames whose gaze missed its target by as much.
    """

    shares: dict[str, float]
    off_target: float

    def __str__(self) -> str:
        """One sentence, empty if nothing was bent."""
        if not self.shares:
            return ""
        parts = ", ".join(
            f"{name} in {_percent(share)}" for name, share in self.shares.items()
        )
        missed = f"misses its target in {_percent(self.off_target)}"
        return (
            f"beyond what the generator can do and bent to it: {parts} of the frames; "
            f"the gaze {missed if self.off_target else 'keeps its target'}."
        )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else "less than 1 %"


def bend_to_reach(motion: Motion, reach: Reach) -> tuple[Motion, Bent]:
    """The motion within a generator's reach, approached softly.

    The head is bent first. Then the eyes turn to where the gaze was, as far as they can:
    a head that stops early does not move the gaze off its target.

    Raises:
      GazeheadError: the motion has no head.
    """
    head = motion.require_head()
    nearer = _bent(head, (reach.head_pitch, reach.head_yaw, reach.head_roll))
    wanted = gaze_in_head(motion.gaze, nearer)
    eye = _bent(wanted, (reach.eye_pitch, reach.eye_yaw))
    gaze = gaze_in_camera(eye, nearer)
    changed = {
        f"head {name}": nearer[:, i] - head[:, i]
        for i, name in enumerate(("pitch", "yaw", "roll"))
    } | {
        f"eye {name}": eye[:, i] - wanted[:, i]
        for i, name in enumerate(("pitch", "yaw"))
    }
    drawn = motion.valid
    share = lambda off: (
        float((np.abs(off) > NOTED)[drawn].mean()) if drawn.any() else 0.0
    )
    shares = {name: share(off) for name, off in changed.items()}
    shares = {name: part for name, part in shares.items() if part}
    missed = np.hypot(*(eye - wanted).T)
    # A motion that is not bent stays as it is to the last bit.
    if shares:
        motion = motion.replace(gaze=gaze, head=nearer)
    return motion, Bent(shares, share(missed))


def _bent(angles: np.ndarray, limits: tuple[float, ...]) -> np.ndarray:
    # An angle that a generator does not honour has a limit of 0.
    limits = [max(limit, 1e-9) for limit in limits]
    return soft_limit(angles, limits).astype(np.float32)
