"""MediaPipe's Face Landmarker: a .csv of what the Task returned, one row per frame.

There is no standard; this is what people write, and what is read:

- a time: `timestamp_ms`, `time_ms`, `timestamp`, `time_s`, `time` or `time_stamp`
  (milliseconds where the name says so, or where `timestamp` grows by more than 2 a row),
  or only `frame`, with the rate named;
- the facial transformation matrix as 16 columns, row by row, with any prefix that has an
  m in it: `m00 … m33`, `m_0_0 … m_3_3`, `matrix_0 … matrix_15`. JavaScript flattens it
  column by column; which of the two it is shows where the zeros are. It takes the
  canonical face (cm; x to the face's left, y up, z out of the face) into a camera with y
  up that looks along -z, so it is turned by diag(1, -1, -1) on both sides;
- the eyeLook and eyeBlink shapes, whatever case and prefix: eye-in-head, see eye_shapes.

Gaze in the camera frame takes both. On ten clips the head of these matrices correlates
by .97 to 1.00 with this project's own, with slopes of .85 to 1.19 and the same signs;
MediaPipe assumes a 63° field of view, so a face off the middle reads as turned.
"""

import re

import numpy as np
from jaxtyping import Float

from gazehead_jax.errors import require
from gazehead_jax.formats import eye_shapes
from gazehead_jax.formats.reading import BLINK, Options, Reading, times
from gazehead_jax.formats.table import Table, rows_of_face
from gazehead_jax.motion import matrix_to_head

NAME = "mediapipe"
TITLE = "MediaPipe"
COLUMNS = "timestamp_ms, m00 … m33 and eyeLookInLeft … eyeLookDownRight"
FACES = ("face_id", "face_index", "face")  # columns that tell people apart

_TIMES = ("timestamp_ms", "time_ms", "timestamp", "time_s", "time", "time_stamp")
_BY_ROW = [f"{row}{column}" for row in range(4) for column in range(4)]
_BY_NUMBER = [str(i) for i in range(16)]
_FLIP = np.array([1.0, -1.0, -1.0])


def matches(table: Table) -> bool:
    """Whether the header has a 4 × 4 matrix or eyeLook shapes."""
    found = eye_shapes.columns(table)
    return bool(_matrix_columns(table)) or eye_shapes.has_looks(found)


def read(table: Table, options: Options) -> Reading:
    """One person of a MediaPipe file.

    Raises:
      GazeheadError: matrix or eyeLook shapes are missing, the matrix is no rotation, or
        there are several people and none chosen.
    """
    path = table.path
    matrix, shapes = _matrix_columns(table), eye_shapes.columns(table)
    require(
        eye_shapes.has_looks(shapes),
        f"{path}: a motion needs gaze, and the file has no eyeLook shapes (eyeLookInLeft "
        "… eyeLookDownRight); write the Task's face_blendshapes too "
        "(output_face_blendshapes=True).",
    )
    require(
        bool(matrix),
        f"{path}: the eyeLook shapes tell where the eyes look in the head; for gaze in "
        "the camera frame the head is needed: write facial_transformation_matrixes too, "
        "as m00 … m33 (output_facial_transformation_matrixes=True).",
    )
    stamp, who = table.first(*_TIMES), table.first(*FACES)
    extra = [n for n in (stamp, table.first("frame", "frame_index")) if n]
    wanted = [*matrix, *shapes.values(), *extra]
    numbers, labels = table.read(wanted, [who] if who else [])
    if who:
        numbers = numbers[rows_of_face(path, who, labels[0], options.face)]
    column = dict(zip(wanted, numbers.T, strict=True))
    rotation = numbers[:, :16].reshape(-1, 4, 4)
    value = {shape: column[name] for shape, name in shapes.items()}
    shut = eye_shapes.blink(value)
    valid = np.isfinite(numbers[:, : 16 + len(shapes)]).all(-1)
    if shut is not None:
        valid &= ~(shut > BLINK)
    rotation = _by_row(path, rotation, valid)
    head = np.full((len(numbers), 3), np.nan)
    head[valid] = matrix_head(path, rotation[valid])
    frames = column[extra[-1]] if len(extra) > bool(stamp) else np.arange(len(numbers))
    return Reading(
        time_s=times(path, _seconds(stamp, column), np.asarray(frames, float), options),
        gaze=eye_shapes.eye_in_head(value),
        head=head,
        valid=valid,
        gaze_frame="head",
        notes=("gaze is guessed from the eyeLook shapes, which know it to about 5°",),
    )


def matrix_head(path, matrix: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n 3"]:
    """Head of facial transformation matrices, whatever their scale.

    Raises:
      GazeheadError: the upper left of a matrix is not a scaled rotation.
    """
    u, s, vt = np.linalg.svd(matrix[:, :3, :3])
    fine = (s[:, 2] > 0.8 * s[:, 0]) & (np.linalg.det(u @ vt) > 0)
    require(
        bool(fine.all()),
        f"{path}: the 4 × 4 matrix must hold a rotation, and {(~fine).sum()} of "
        f"{len(fine)} do not; are its columns in the order m00, m01, … m33?",
    )
    return matrix_to_head(_FLIP[:, None] * (u @ vt) * _FLIP)


def _by_row(path, matrix: np.ndarray, valid: np.ndarray) -> np.ndarray:
    known = matrix[valid]
    zeros = np.array([0.0, 0.0, 0.0, 1.0])
    if np.allclose(known[:, 3], zeros, atol=1e-4):
        return matrix
    require(
        np.allclose(known[:, :, 3], zeros, atol=1e-4),
        f"{path}: the 4 × 4 matrix must have 0, 0, 0, 1 in its last row (or its last "
        "column, if it was written column by column); it has neither.",
    )
    return matrix.swapaxes(1, 2)


def _matrix_columns(table: Table) -> list[str]:
    """The 16 columns of the matrix in the order of their numbers, or []."""
    groups: dict[str, dict[str, str]] = {}
    for name in table.header:
        found = re.fullmatch(r"(.*?)_?\[?(\d\d?|\d[_,]\d)\]?", name.lower())
        if found and "m" in found[1]:
            key = re.sub(r"\D", "", found[2])
            groups.setdefault(found[1], {})[key] = name
    for group in groups.values():
        for order in (_BY_ROW, _BY_NUMBER):
            if set(group) == set(order):
                return [group[key] for key in order]
    return []


def _seconds(stamp: str | None, column: dict[str, np.ndarray]) -> np.ndarray | None:
    if stamp is None:
        return None
    values = column[stamp]
    step = np.diff(values)
    # No camera is slower than one frame in two seconds.
    coarse = stamp == "timestamp" and len(step) and np.median(step) > 2
    return values / 1000 if stamp.endswith("_ms") or coarse else values
