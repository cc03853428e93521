"""Files as OpenFace, py-feat, MediaPipe and Live Link Face write them, small."""

import numpy as np

LOOKS = [
    f"EyeLook{way}{side}"
    for side in ("Left", "Right")
    for way in ("In", "Out", "Up", "Down")
]
LIVE = ["HeadYaw", "HeadPitch", "HeadRoll"]
LIVE += [f"{side}Eye{axis}" for side in ("Left", "Right") for axis in ("Yaw", "Pitch")]
MATRIX = [f"m{row}{column}" for row in range(4) for column in range(4)]
EULER = ("pose_Rx", "pose_Ry", "pose_Rz")
EYES = [f"gaze_{eye}_{axis}" for eye in "01" for axis in "xyz"]


def write(path, columns: dict, *, comma=",", end="\n", encoding="utf-8"):
    """A CSV of columns; scalars stand in every row."""
    rows = max((len(v) for v in columns.values() if np.ndim(v)), default=3)
    table = [v if np.ndim(v) else [v] * rows for v in columns.values()]
    lines = [comma.join(columns)]
    lines += [comma.join(str(cell) for cell in row) for row in zip(*table, strict=True)]
    path.write_bytes((end.join(lines) + end).encode(encoding))
    return path


def openface_columns(frames=4, fps=25.0, **changes) -> dict:
    columns = {
        "frame": np.arange(1, frames + 1),
        "face_id": 0,
        "timestamp": np.round(np.arange(frames) / fps, 3),
        "confidence": 0.98,
        "success": 1,
        **dict.fromkeys(EYES, 0.0),
        "gaze_0_z": -1.0,
        "gaze_1_z": -1.0,
        "pose_Tx": 10.0,
        "x_0": 300.0,
        "X_0": -50.0,
        **dict.fromkeys(EULER, 0.0),
    }
    return columns | changes


def pyfeat_columns(frames=4, **changes) -> dict:
    columns = {
        "frame": np.arange(frames),
        "input": "clip.mp4",
        "approx_time": "00:00",
        "FaceRectX": 10.0,
        "FaceScore": 0.99,
        "gaze_pitch": 0.0,
        "gaze_yaw": 0.0,
        "Pitch": 0.0,
        "Roll": 0.0,
        "Yaw": 0.0,
        "Identity": "Person_0",
    }
    return columns | changes


def mediapipe_columns(frames=4, matrix=None, step_ms=40, **changes) -> dict:
    matrix = np.eye(4) if matrix is None else matrix
    columns = {
        "frame": np.arange(frames),
        "timestamp_ms": np.arange(frames) * step_ms,
        **dict(zip(MATRIX, matrix.ravel(), strict=True)),
        **{name[0].lower() + name[1:]: 0.0 for name in LOOKS},
        "eyeBlinkLeft": 0.0,
        "eyeBlinkRight": 0.0,
    }
    return columns | changes


def live_columns(frames=4, **changes) -> dict:
    codes = [f"13:13:{4 + i // 30:02d}:{2 * (i % 30):02d}.652" for i in range(frames)]
    columns = {"Timecode": codes, "BlendShapeCount": 61, "EyeBlinkLeft": 0.0}
    columns |= {"EyeBlinkRight": 0.0, **dict.fromkeys(LOOKS, 0.0)}
    return columns | dict.fromkeys(LIVE, 0.0) | {"HeadYaw": 0.001} | changes
