"""Recordings already converted: a manifest.csv and one .npz each.

Each .npz has `t` (s), `head` `[time, 3]` and `eye_in_head` `[time, 2]` in radians
(pitch up +, yaw to the person's own right +, roll right ear down +; NaN where unknown),
`valid` and `eye_lag_s`. The head's rotation is yaw, then pitch, then roll about its own
axes, as here. Only roll changes its sign: the camera faces the person, whose right ear
is on the image's left, and what goes down on the left turns anticlockwise.
"""

import csv
import zipfile
from pathlib import Path

import numpy as np

from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.recordings import eyenavgs, vr_objects
from gazehead_jax.recordings.recording import Entry, Recording, Rejected

NAME = "converted"
LAYOUT = (
    "a folder with manifest.csv (columns file, person, licence, task) and the .npz "
    "files it names (t, head, eye_in_head, valid, eye_lag_s)"
)
ARRAYS = ("t", "head", "eye_in_head", "valid", "eye_lag_s")
COLUMNS = ("file", "person", "licence", "task")
FPS = {
    "vr_objects": vr_objects.FPS,
    "eyenavgs_nthu": eyenavgs.FPS,
    "eyenavgs_rutgers": eyenavgs.FPS,
    "tobii_test": 50.0,
    "tobii_demo": 50.0,
}
# Their head is integrated from a gyroscope.
DRIFTING = ("tobii_test", "tobii_demo")
# A headset on askew made 18° in one person; beyond it the vertical is another.
MAX_MEDIAN_ROLL = np.deg2rad(20)


def find(folder: Path) -> list[Entry]:
    """The recordings of a folder's manifest.

    Raises:
      GazeheadError: no manifest, one that lacks columns or is empty, or files that are
        missing or of a source that is not known.
    """
    manifest = folder / "manifest.csv"
    require(manifest.is_file(), f"{manifest}: no such file; expected {LAYOUT}.")
    with manifest.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    require(
        not missing,
        f"{manifest}: missing column(s) {', '.join(missing)}; expected {LAYOUT}.",
    )
    require(bool(rows), f"{manifest}: there is a header but no row.")
    entries = []
    for row in rows:
        path = folder / row["file"]
        require(path.is_file(), f"{path}: named by {manifest.name} but not there.")
        source = Path(row["file"]).parts[0]
        require(
            source in FPS,
            f"{manifest}: file {row['file']!r} must lie in one of {', '.join(FPS)}.",
        )
        # Persons are named as by the raw copies, so that both split alike.
        person = f"{source}:{row['person'].split(':')[-1]}"
        name = str(Path(row["file"]).with_suffix(""))
        entries.append(Entry(person, name, (path,), {k: row[k] for k in COLUMNS}))
    return entries


def load(entry: Entry) -> Recording:
    """One converted recording.

    Raises:
      Rejected: the head is not upright.
      GazeheadError: the file is not a .npz of the expected arrays.
    """
    path = entry.paths[0]
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ARRAYS if name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise GazeheadError(
            f"{path}: not a readable .npz of plain arrays ({error})."
        ) from error
    missing = [name for name in ARRAYS if name not in arrays]
    require(not missing, f"{path}: missing {', '.join(missing)}; expected {LAYOUT}.")
    time, valid = arrays["t"].astype(np.float64), arrays["valid"].astype(bool)
    head = arrays["head"].astype(np.float64) * [1, 1, -1]
    eye = arrays["eye_in_head"].astype(np.float64)
    count = len(time)
    require(
        head.shape == (count, 3) and eye.shape == (count, 2) and len(valid) == count,
        f"{path}: expected head [time, 3], eye_in_head [time, 2] and valid [time] for "
        f"{count} times, got {head.shape}, {eye.shape} and {valid.shape}.",
    )
    source = entry.source.split("/")[0]
    meta = {"licence": entry.meta["licence"], "task": entry.meta["task"]}
    if not np.isfinite(head[:, 2]).any():
        head[:, 2] = 0
        meta["head"] = "roll not recorded (0)"
    roll = float(np.nanmedian(head[:, 2]))
    if source not in DRIFTING and abs(roll) > MAX_MEDIAN_ROLL:
        raise Rejected(
            f"the head rolls by {np.rad2deg(roll):.0f}° at the median, so it was set "
            "upright with the wrong scene"
        )
    later = np.append(True, time[1:] > np.maximum.accumulate(time)[:-1])
    return Recording(
        time=time[later],
        head=head[later],
        eye=eye[later],
        valid=valid[later],
        person=entry.person,
        source=entry.source,
        fps=FPS[source],
        eye_lag_s=float(arrays["eye_lag_s"]),
        drifts=source in DRIFTING,
        meta=meta,
    )
