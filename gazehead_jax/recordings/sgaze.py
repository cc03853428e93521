"""CraneHzm/SGaze: free viewing of VR scenes (MIT).

Columns, 100 Hz: eye-in-head gaze X (right +), Y (up +) in degrees, two of saliency,
then head velocity X (to the right +), Y (up +) in degrees per second, and six that are
derived. The head is their integral: it drifts, so only windows about their mean are
kept, and it has no roll (0). Who was recorded is unknown; each recording counts as a
person.

The velocity columns fold: at fast turns the horizontal one peaks near 75 °/s and comes
back down while the vertical one runs up to ±75 °/s, jumps to the other sign and returns
(as the angles of a direction do when it passes 90°). Between two such jumps the true
speed is higher than the column says, and around them the vertical one means nothing.
There the head is unknown.
"""

import re
from pathlib import Path

import numpy as np
from scipy.integrate import cumulative_trapezoid

from gazehead_jax.errors import require
from gazehead_jax.recordings.recording import Entry, Recording
from gazehead_jax.recordings.tables import folders, read_numbers

NAME = "sgaze"
LAYOUT = (
    "a clone of https://github.com/CraneHzm/SGaze, with Dataset/Data/GazeSalPosHeadVel"
    "*.txt, or a folder of recording_01.txt or .txt.gz, of 12 columns each"
)
FPS = 100.0
COLUMNS = 12
FOLD_DEG_S = 40.0
FOLD_MARGIN = 3


def find(folder: Path) -> list[Entry]:
    """The recordings below a folder that holds a clone or the numbered files.

    Raises:
      GazeheadError: nothing in the expected layout.
    """
    for root in folders(folder):
        # The names begin with the date: their order numbers the recordings.
        paths = sorted((root / "Dataset" / "Data").glob("GazeSalPosHeadVel*.txt"))
        numbered = dict(enumerate(paths, 1))
        if not numbered:
            for path in sorted(root.glob("recording_*.txt*")):
                match = re.fullmatch(r"recording_(\d+)\.txt(\.gz)?", path.name)
                if match:
                    numbered[int(match[1])] = path
        if numbered:
            return [
                Entry(f"{NAME}:{i:02d}", f"{NAME}/recording_{i:02d}", (path,))
                for i, path in numbered.items()
            ]
    require(False, f"{folder}: no recordings found; expected {LAYOUT}.")


def load(entry: Entry) -> Recording:
    """One recording of about three minutes.

    Raises:
      GazeheadError: the file does not have 12 columns of numbers.
    """
    path = entry.paths[0]
    table = read_numbers(path)
    require(
        table.shape[1] == COLUMNS,
        f"{path} must have {COLUMNS} columns, got {table.shape[1]}; expected {LAYOUT}.",
    )
    eye, velocity = np.deg2rad(table[:, [1, 0]]), table[:, [5, 4]]
    head = cumulative_trapezoid(np.deg2rad(velocity), dx=1 / FPS, axis=0, initial=0)
    head = np.pad(head, ((0, 0), (0, 1)))
    head[folded(velocity)] = np.nan
    return Recording(
        time=np.arange(len(table)) / FPS,
        head=head,
        eye=eye,
        valid=np.isfinite(eye).all(-1),
        person=entry.person,
        source=entry.source,
        fps=FPS,
        drifts=True,
        meta={
            "licence": "MIT",
            "device": "HTC Vive, 7invensun eye tracker",
            "task": "free viewing",
            "head": "integrated velocity, mean removed; roll not recorded (0)",
        },
    )


def folded(velocity: np.ndarray) -> np.ndarray:
    """`[time]`, True where a head velocity `[time, 2]` (pitch, yaw) °/s is no velocity.

    Three rows on both sides go with them.
    """
    pitch, yaw = velocity.T
    bad = np.abs(pitch) > FOLD_DEG_S
    jumps = np.abs(np.diff(pitch)) > FOLD_DEG_S
    start = None
    for i in np.flatnonzero(jumps & (np.abs(yaw[1:]) > FOLD_DEG_S)):
        # A fold ends at the next jump of the same turn.
        if start is not None and (np.sign(yaw[start:i]) == np.sign(yaw[i])).all():
            bad[start : i + 1] = True
            start = None
        else:
            start = i
    return np.convolve(bad, np.ones(2 * FOLD_MARGIN + 1), "same") > 0
