"""py-feat 0.7 and later: the .csv of a `Fex`.

- `gaze_pitch, gaze_yaw` in radians. Detectorv1, and MPDetector by default, run L2CS-Net
  on a crop of the face: pitch + up, yaw + to the subject's right (image-left), relative
  to the ray from the camera to the face, which is the camera frame for a face near the
  image's middle. py-feat calls them head-centric, but no head pose enters; only
  `MPDetector(gaze_model="geometric")` turns them into the head (`--gaze-frame head`).
  py-feat's drawing takes the yaw the other way round from L2CS-Net's own; if a file
  proves it right, `--negate gaze_yaw`.
- `Pitch, Roll, Yaw` in radians. The detectors say: + up, + tilt to the subject's right,
  + turn to the subject's right, from R = Rz·Ry·Rx in the camera's axes; roll is against
  ours. MPDetector gives the raw Euler angles of R = Rz·Ry·Rx with y up and z towards the
  camera, under names that do not fit: `Roll` is about y and `Yaw` about z. Its files are
  told by their z_0 … z_478.
- `frame`, no times: the frame rate must be named. `Identity` tells people apart; frames
  without a face have empty cells and `FaceScore` 0.

Source: py-feat's code (detector.py, detector_v2.py, MPDetector.py, utils/face_pose.py).
"""

import re

import numpy as np
from jaxtyping import Float

from gazehead_jax.errors import require
from gazehead_jax.formats.reading import Options, Reading, times
from gazehead_jax.formats.table import Table, rows_of_face
from gazehead_jax.motion import matrix_to_head

NAME = "pyfeat"
TITLE = "py-feat"
COLUMNS = "frame, gaze_pitch, gaze_yaw, Pitch, Roll, Yaw"
FACES = ("Identity",)  # columns that tell people apart

_GAZE = ["gaze_pitch", "gaze_yaw"]
_POSE = ["Pitch", "Roll", "Yaw"]
# A rotation in axes x right, y up, z towards the viewer, and one in the camera's.
_FLIP = np.array([1.0, -1.0, -1.0])


def matches(table: Table) -> bool:
    """Whether the header is one of a Fex."""
    return table.has(*_GAZE) or table.has("FaceRectX", *_POSE)


def read(table: Table, options: Options) -> Reading:
    """One person of a Fex.

    Raises:
      GazeheadError: no gaze columns, no frame rate, or several people and none chosen.
    """
    path = table.path
    require(
        table.has(*_GAZE),
        f"{path}: a py-feat file without gaze_pitch and gaze_yaw; a motion needs gaze: "
        "run py-feat 0.7 or later with a gaze_model.",
    )
    pose = _POSE if table.has(*_POSE) else []
    extra = [name for name in ("frame", "FaceScore") if table.has(name)]
    who = table.first(*FACES)
    numbers, labels = table.read([*_GAZE, *pose, *extra], [who] if who else [])
    if who:
        numbers = numbers[rows_of_face(path, who, labels[0], options.face)]
    column = dict(zip([*_GAZE, *pose, *extra], numbers.T, strict=True))
    unit = options.radians("radians")
    head = None
    if pose:
        mesh = any(re.fullmatch(r"z_\d+", name) for name in table.header)
        angles = np.stack([column[name] for name in _POSE], -1) * unit
        head = mesh_head(angles) if mesh else detector_head(angles)
    frames = column.get("frame", np.arange(len(numbers), dtype=float))
    frame = options.gaze_frame or "camera"
    return Reading(
        time_s=times(path, None, frames, options),
        gaze=np.stack([column[name] for name in _GAZE], -1) * unit,
        head=head,
        valid=~(column.get("FaceScore", np.ones(len(numbers))) <= 0),
        gaze_frame=frame,
        notes=(
            f"gaze is taken as relative to the {frame}; gaze_model='geometric' of "
            "MPDetector gives it relative to the head (--gaze-frame head)",
        ),
    )


def detector_head(angles: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Head of the (Pitch, Roll, Yaw) of Detectorv1 and Detectorv2, radians."""
    pitch, roll, yaw = angles.T
    return matrix_to_head(_zyx(-pitch, yaw, -roll))


def mesh_head(angles: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Head of the (Pitch, Roll, Yaw) of MPDetector, radians."""
    about_x, about_y, about_z = angles.T
    turn = _zyx(about_x, about_y, about_z)
    return matrix_to_head(_FLIP[:, None] * turn * _FLIP)


def _zyx(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """R = Rz·Ry·Rx of turns about each axis, radians."""
    sx, cx, sy, cy, sz, cz = (f(a) for a in (x, y, z) for f in (np.sin, np.cos))
    rows = [
        [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
        [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
        [-sy, cy * sx, cy * cx],
    ]
    return np.moveaxis(np.array(rows), -1, 0)
