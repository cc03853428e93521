"""OpenFace 2 (`FeatureExtraction`, `FaceLandmarkVidMulti`): the .csv it writes.

- `gaze_0_*`, `gaze_1_*`: directions of the two eyes in the camera's axes (x right, y
  down, z away from the camera), which are ours. Their mean is the gaze. Files with
  `gaze_angle_x, gaze_angle_y` only: atan2(x, -z) and atan2(y, -z) of that mean.
- `pose_Rx, pose_Ry, pose_Rz`: radians, R = Rx·Ry·Rz in the same axes, so Rx is + down,
  Ry + to the subject's right, Rz + clockwise; the head's own axes are ours too.
- `success` and `confidence` (0 to 1) of the tracker; it writes zeros where it lost the
  face. `face_id` tells several people apart.

Sources: the project's wiki (Output-Format), its RotationHelpers.h, issues 66, 483, 966.
"""

import numpy as np
from jaxtyping import Float

from gazehead_jax.errors import require
from gazehead_jax.formats.reading import Options, Reading, times
from gazehead_jax.formats.table import Table, rows_of_face
from gazehead_jax.motion import matrix_to_head, vector_to_angles

NAME = "openface"
TITLE = "OpenFace 2"
COLUMNS = (
    "gaze_0_x … gaze_1_z (or gaze_angle_x, gaze_angle_y), pose_Rx, pose_Ry, pose_Rz"
)
FACES = ("face_id",)  # columns that tell people apart
# Below this the landmarks are a guess; the tracker's own `success` is as lenient.
LEAST_CONFIDENCE = 0.5

_EYES = [f"gaze_{eye}_{axis}" for eye in "01" for axis in "xyz"]
_ANGLES = ["gaze_angle_x", "gaze_angle_y"]
_POSE = ["pose_Rx", "pose_Ry", "pose_Rz"]


def matches(table: Table) -> bool:
    """Whether the header is one of OpenFace."""
    return table.has(*_EYES) or table.has(*_ANGLES) or table.has(*_POSE)


def read(table: Table, options: Options) -> Reading:
    """One person of an OpenFace file.

    Raises:
      GazeheadError: no gaze columns, or several people and none chosen.
    """
    path = table.path
    seen = _EYES if table.has(*_EYES) else _ANGLES
    require(
        table.has(*seen),
        f"{path}: an OpenFace file without gaze; a motion needs it: run OpenFace with "
        "-gaze.",
    )
    pose = _POSE if table.has(*_POSE) else []
    extra = [n for n in ("frame", "timestamp", "success", "confidence") if table.has(n)]
    who = table.first(*FACES)
    numbers, labels = table.read([*seen, *pose, *extra], [who] if who else [])
    if who:
        numbers = numbers[rows_of_face(path, who, labels[0], options.face)]
    column = dict(zip([*seen, *pose, *extra], numbers.T, strict=True))
    valid = column.get("success", np.ones(len(numbers))) == 1
    valid &= ~(column.get("confidence", np.ones(len(numbers))) < LEAST_CONFIDENCE)
    if seen is _EYES:
        eyes = np.stack([column[name] for name in _EYES], -1).reshape(-1, 2, 3)
        size = np.linalg.norm(eyes, axis=-1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            direction = (eyes / size).mean(1)
    else:
        unit = options.radians("radians")
        x, y = (np.tan(column[name] * unit) for name in _ANGLES)
        direction = np.stack([x, y, -np.ones_like(x)], -1)
    head = None
    if pose:
        angles = numbers[:, len(seen) : len(seen) + 3] * options.radians("radians")
        head = matrix_to_head(euler_to_matrix(angles))
    frames = column.get("frame", np.arange(len(numbers), dtype=float))
    return Reading(
        time_s=times(path, column.get("timestamp"), frames, options),
        gaze=vector_to_angles(direction),
        head=head,
        valid=valid,
        gaze_frame=options.gaze_frame or "camera",
    )


def euler_to_matrix(angles: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3 3"]:
    """R = Rx·Ry·Rz of OpenFace's (Rx, Ry, Rz) in radians."""
    (sx, sy, sz), (cx, cy, cz) = np.sin(angles).T, np.cos(angles).T
    rows = [
        [cy * cz, -cy * sz, sy],
        [cx * sz + sx * sy * cz, cx * cz - sx * sy * sz, -sx * cy],
        [sx * sz - cx * sy * cz, sx * cz + cx * sy * sz, cx * cy],
    ]
    return np.moveaxis(np.array(rows), -1, 0)
