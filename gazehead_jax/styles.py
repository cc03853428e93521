"""What a learned style does: the direction in which heads take more of a gaze shift.

Styles are learned without labels, so that their axes mean nothing by themselves. Here
heads of many styles follow one gaze that jumps aside and back, and the direction along
which their share of the jump grows most becomes the axis that users turn: from people who
look with their eyes to people who look with their heads (eye-movers and head-movers,
Fuller 1992).
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from gazehead_jax.checkpoint import Checkpoint
from gazehead_jax.errors import require
from gazehead_jax.rollout import initial_state, rollout, sample_keys

STYLES = 256
# Where people differ most: some turn the head for these, some only the eyes.
JUMPS_DEG = (8.0, -12.0, 16.0, -10.0, 14.0, -18.0)
STAY_S = 1.5
# Places on the axis, in standard deviations of styles, at which shares are told.
AMOUNTS = (-2.0, -1.0, 0.0, 1.0, 2.0)


def head_shares(
    checkpoint: Checkpoint, styles: Float[np.ndarray, "n s"], seed: int = 0
) -> Float[np.ndarray, " n"]:
    """How much of a yaw jump of gaze the head has taken when the next one comes, meant
    over jumps of 8 to 18°; all styles get the same noise."""
    fps = checkpoint.config.data.fps
    stay = round(STAY_S * fps)
    aims = np.deg2rad([0.0, *np.ravel([(jump, 0.0) for jump in JUMPS_DEG])])
    yaw = np.repeat(aims, stay)
    gaze = np.stack([np.zeros_like(yaw), yaw], -1).astype(np.float32)
    keys = sample_keys(seed, 1)
    state = initial_state(checkpoint, keys[np.zeros(len(styles), int)])
    carry = state.carry.replace(style=np.asarray(styles, np.float32))
    rows = np.broadcast_to(gaze, (len(styles), *gaze.shape))
    valid = np.ones(rows.shape[:2], bool)
    chunks = rollout(checkpoint, state.replace(carry=carry), rows, valid)
    ends = np.concatenate(list(chunks), 1)[:, stay - 1 :: stay, 1]
    moved, asked = np.diff(ends, axis=1), np.diff(aims)
    return (moved * asked).sum(1) / (asked**2).sum()


@dataclasses.dataclass(frozen=True)
class StyleAxis:
    """The direction and what it does.

    Attributes:
      direction: `[s]`, of length 1.
      amounts, head_share: places on it, and the head's share of gaze jumps there.
    """

    direction: tuple[float, ...]
    amounts: tuple[float, ...]
    head_share: tuple[float, ...]


def measure_axis(checkpoint: Checkpoint, seed: int = 0) -> StyleAxis:
    """Finds the axis of a model that has styles.

    Raises:
      GazeheadError: it has none.
    """
    size = checkpoint.config.model.style
    require(size > 0, f"model {checkpoint.name} has no styles to measure.")
    styles = np.random.default_rng(seed).normal(size=(STYLES, size))
    shares = head_shares(checkpoint, styles, seed)
    known = np.concatenate([styles, np.ones((STYLES, 1))], 1)
    slope = np.linalg.lstsq(known, shares, rcond=None)[0][:size]
    direction = slope / max(float(np.linalg.norm(slope)), 1e-12)
    along = np.array(AMOUNTS)[:, None] * direction
    # Beside the axis styles are drawn as ever.
    beside = styles - (styles @ direction)[:, None] * direction
    found = [float(head_shares(checkpoint, a + beside, seed).mean()) for a in along]
    return StyleAxis(tuple(direction.tolist()), AMOUNTS, tuple(found))


def with_axis(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with its axis in its provenance, where sampling looks for it; one
    without styles as it is."""
    if not checkpoint.config.model.style:
        return checkpoint
    axis = dataclasses.asdict(measure_axis(checkpoint))
    facts = dict(checkpoint.provenance) | {"style_axis": axis}
    return dataclasses.replace(checkpoint, provenance=facts)
