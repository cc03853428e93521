"""ischtz/jov2023-vr-objects: find, remember, walk, point and place, in VR (MIT).

HTC Vive Pro Eye. Unity logs the head as Euler degrees of R = Ry(y) Rx(x) Rz(z) in a
left-handed frame (x to the person's right, y up, z forward) and the eye as a direction
in the head. Our camera looks at the person, so each of its axes is the opposite of
Unity's; a rotation matrix is the same in both, and

    pitch = -x,   yaw = y,   roll = z.
"""

from pathlib import Path

import numpy as np

from gazehead_jax.errors import require
from gazehead_jax.motion import vector_to_angles, wrap
from gazehead_jax.recordings.recording import Entry, Recording
from gazehead_jax.recordings.tables import folders, read_columns

NAME = "vr_objects"
LAYOUT = (
    "a clone of https://github.com/ischtz/jov2023-vr-objects, with data/<scene>/"
    "<person>/<session>/trackers/Eye_gaze_T001.csv and VR_move_T001.csv"
)
EYE_COLUMNS = ("time", "dir_x", "dir_y", "dir_z", "pupil_l", "pupil_r")
HEAD_COLUMNS = ("time", "head_rot_x", "head_rot_y", "head_rot_z")
# The head is logged at 90 Hz, the eye renewed at about 60 Hz.
FPS = 60.0
EYE_LAG_S = 0.087
# The eye is wrong for a moment before and after the pupil is lost.
BLINK_MARGIN_S = 0.06


def find(folder: Path) -> list[Entry]:
    """The sessions below a folder that holds a clone, or is one.

    Raises:
      GazeheadError: nothing in the expected layout, or an eye file without head file.
    """
    entries = []
    for root in folders(folder):
        for trackers in sorted(root.glob("data/*/*/*/trackers")):
            scene, person, session = trackers.parts[-4:-1]
            eyes = sorted(trackers.glob("Eye_gaze_T*.csv"))
            heads = [p.with_name(p.name.replace("Eye_gaze", "VR_move")) for p in eyes]
            for eye, head in zip(eyes, heads, strict=True):
                require(head.is_file(), f"{eye} has no {head.name} beside it.")
            if eyes:
                source = f"{NAME}/{scene}/{person}/{session}"
                paths = tuple(p for pair in zip(eyes, heads, strict=True) for p in pair)
                entries.append(Entry(f"{NAME}:{person}", source, paths))
    require(bool(entries), f"{folder}: no recordings found; expected {LAYOUT}.")
    return entries


def load(entry: Entry) -> Recording:
    """A session of about 50 trials; between trials there is a gap in time.

    Raises:
      GazeheadError: a file is broken, or the rows of eye and head do not belong
        together.
    """
    trials = [
        _trial(*pair) for pair in zip(entry.paths[::2], entry.paths[1::2], strict=True)
    ]
    time, head, eye, valid = (np.concatenate(x) for x in zip(*trials, strict=True))
    later = np.append(True, time[1:] > np.maximum.accumulate(time)[:-1])
    return Recording(
        time=(time - time[0])[later],
        head=head[later],
        eye=eye[later],
        valid=valid[later],
        person=entry.person,
        source=entry.source,
        fps=FPS,
        eye_lag_s=EYE_LAG_S,
        meta={
            "licence": "MIT",
            "device": "HTC Vive Pro Eye",
            "task": "find and remember an object, walk, point or place",
            "scene": entry.source.split("/")[1],
        },
    )


def _trial(eye_path, head_path):
    eye = read_columns(eye_path, EYE_COLUMNS)
    head = read_columns(head_path, HEAD_COLUMNS)
    require(
        len(eye) == len(head) and np.allclose(eye[:, 0], head[:, 0], atol=1e-3),
        f"{eye_path} and {head_path.name} must have the same times, row by row, got "
        f"{len(eye)} and {len(head)} rows.",
    )
    time, direction, pupils = eye[:, 0], eye[:, 1:4], eye[:, 4:6]
    # Straight ahead to the last digit is what the tracker says when it knows nothing.
    lost = (pupils <= 0).any(-1) | (direction == [0, 0, 1]).all(-1)
    lost |= ~np.isfinite(eye).all(-1) | (direction == 0).all(-1)
    moments = time[lost]
    nearest = np.searchsorted(moments, time)
    lost = (
        np.minimum(
            np.abs(time - np.append(moments, np.inf)[nearest]),
            np.abs(time - np.insert(moments, 0, -np.inf)[nearest]),
        )
        <= BLINK_MARGIN_S
    )
    x, y, z = np.deg2rad(head[:, 1:]).T
    head = np.stack([-wrap(x), wrap(y), wrap(z)], axis=-1)
    return time, head, vector_to_angles(-direction), ~lost
