"""THA3's 45 parameters, and how many degrees of drawn motion they make."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from gazehead_jax.errors import require
from gazehead_jax.generators.generator import Reach
from gazehead_jax.motion import gaze_in_head, head_to_matrix, matrix_to_head


def _pair(name: str) -> tuple[str, str]:
    return f"{name}_left", f"{name}_right"


# In the networks' order. Left and right are the character's own. All are 0 in the
# neutral face, which has its eyes open and its mouth shut.
NAMES: tuple[str, ...] = (
    *_pair("eyebrow_troubled"),
    *_pair("eyebrow_angry"),
    *_pair("eyebrow_lowered"),
    *_pair("eyebrow_raised"),
    *_pair("eyebrow_happy"),
    *_pair("eyebrow_serious"),
    *_pair("eye_wink"),
    *_pair("eye_happy_wink"),
    *_pair("eye_surprised"),
    *_pair("eye_relaxed"),
    *_pair("eye_unimpressed"),
    *_pair("eye_raised_lower_eyelid"),
    *_pair("iris_small"),
    "mouth_aaa",
    "mouth_iii",
    "mouth_uuu",
    "mouth_eee",
    "mouth_ooo",
    "mouth_delta",
    *_pair("mouth_lowered_corner"),
    *_pair("mouth_raised_corner"),
    "mouth_smirk",
    "iris_rotation_x",
    "iris_rotation_y",
    "head_x",
    "head_y",
    "neck_z",
    "body_y",
    "body_z",
    "breathing",
)
INDEX: Mapping[str, int] = {name: i for i, name in enumerate(NAMES)}
# These go from -1 to 1, all others from 0 to 1.
TWO_SIDED = NAMES[INDEX["iris_rotation_x"] : INDEX["breathing"]]

# Beyond 10° of yaw or roll the neck alone does not reach: the trunk goes with the head.
# At the end of the reach the parameters are these; in between in proportion. A little
# over 1 for the head is beyond what the networks were trained for, and looks right.
_AT_REACH = {"head_y": 1.2, "body_y": 1.0, "neck_z": 1.2, "body_z": 0.7}


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Degrees of drawn motion by one unit of each parameter.

    By default what `python -m gazehead_jax.generators.tha3.calibrate` measures, as it
    says there, in the ten characters of many styles that come with the original: the
    means, beside them the standard deviations. Heads vary because drawn heads are of
    many depths: to the networks all turn alike.
    """

    head_x_deg: float = 16.2  # ± 2.7
    head_y_deg: float = 10.5  # ± 1.7
    neck_z_deg: float = 9.7  # ± 0.6
    body_y_deg: float = 3.7  # ± 1.0
    body_z_deg: float = 4.8  # ± 0.5
    iris_x_deg: float = 31.4  # ± 7.6: with the height of the eyes
    iris_y_deg: float = 26.2  # ± 2.9

    @property
    def yaw_deg(self) -> float:
        """Largest yaw of the head."""
        at = _AT_REACH
        return at["head_y"] * self.head_y_deg + at["body_y"] * self.body_y_deg

    @property
    def roll_deg(self) -> float:
        """Largest roll of the head."""
        at = _AT_REACH
        return at["neck_z"] * self.neck_z_deg + at["body_z"] * self.body_z_deg

    def reach(self) -> Reach:
        """How far the parameters go."""
        return Reach(
            eye_pitch=float(np.deg2rad(self.iris_x_deg)),
            eye_yaw=float(np.deg2rad(self.iris_y_deg)),
            head_pitch=float(np.deg2rad(self.head_x_deg)),
            head_yaw=float(np.deg2rad(self.yaw_deg)),
            head_roll=float(np.deg2rad(self.roll_deg)),
        )


def motion_poses(
    gaze: Float[np.ndarray, "n 2"],
    head: Float[np.ndarray, "n 3"],
    shut: Float[np.ndarray, " n"],
    calibration: Calibration,
) -> Float[np.ndarray, "n 45"]:
    """The parameters that draw a motion; eyebrows and mouth stay neutral.

    Args:
      gaze, head: in the camera frame, radians.
      shut: of the lids, 0 to 1.
    """
    pitch, yaw, roll = np.rad2deg(_neck_last(head)).T
    eye_pitch, eye_yaw = np.rad2deg(gaze_in_head(gaze, head)).T
    yaw, roll = yaw / calibration.yaw_deg, roll / calibration.roll_deg
    values = {
        "eye_wink_left": shut,
        "eye_wink_right": shut,
        "iris_rotation_x": eye_pitch / calibration.iris_x_deg,
        "iris_rotation_y": eye_yaw / calibration.iris_y_deg,
        "head_x": pitch / calibration.head_x_deg,
        "head_y": yaw * _AT_REACH["head_y"],
        "body_y": yaw * _AT_REACH["body_y"],
        # Ours is clockwise in the image, theirs counter-clockwise.
        "neck_z": -roll * _AT_REACH["neck_z"],
        "body_z": -roll * _AT_REACH["body_z"],
    }
    poses = np.zeros((len(gaze), len(NAMES)), np.float32)
    for name, value in values.items():
        poses[:, INDEX[name]] = value
    return poses


def _neck_last(head: np.ndarray) -> np.ndarray:
    """(pitch, yaw, roll) of the same rotation when the roll is made last.

    THA3's neck rolls the head that has turned and nodded already; in our convention the
    head rolls first. At 15° of yaw and roll the face would point 4° elsewhere.
    """
    rotation = head_to_matrix(np.asarray(head, np.float64))
    roll = np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0])
    still = np.zeros_like(roll)
    neck = head_to_matrix(np.stack([still, still, roll], -1))
    turned = matrix_to_head(np.einsum("nij,nik->njk", neck, rotation))
    return np.stack([turned[:, 0], turned[:, 1], roll], -1)


def expression_pose(values: Mapping[str, float]) -> Float[np.ndarray, " 45"]:
    """A pose out of some of `NAMES`.

    Raises:
      GazeheadError: a name is not known, or a value is out of range.
    """
    pose = np.zeros(len(NAMES), np.float32)
    for name, value in values.items():
        require(
            name in INDEX,
            f"THA3's parameters are {', '.join(NAMES)}; got {name!r}.",
        )
        least = -1 if name in TWO_SIDED else 0
        require(
            bool(least <= value <= 1),
            f"THA3's parameter {name} must be {least} to 1, got {value}.",
        )
        pose[INDEX[name]] = value
    return pose
