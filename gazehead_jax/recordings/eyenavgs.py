"""EyeNavGS: free exploration of twelve scenes in VR, two sites (Apache-2.0).

Meta Quest Pro; head and gaze poses are quaternions in a right-handed frame (x to the
person's right, y up, z backward; -z is forward), tilted against gravity by the scene's
quaternion. Ours is that frame turned half around z: x and y change sign.

Three faults of the recordings are mended or rejected here.
1. Some have no eye tracking: left and right gaze are one pose, or the gaze is glued to
   the head. Both still give a negative VOR correlation, through fault 2.
2. Gaze was put into the world with a head pose 41 to 78 ms older than the logged one.
   The tracker knows no eye torsion, so what torsion there is shows the mistake: the age
   that minimises it is the right one.
3. The tracker itself is late (`eye_lag_s`).
"""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.spatial.transform import Rotation, Slerp

from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.motion import matrix_to_head, vector_to_angles
from gazehead_jax.recordings.recording import Entry, Recording, Rejected
from gazehead_jax.recordings.tables import folders, read_columns

NAME = "eyenavgs"
LAYOUT = (
    "clones of https://github.com/sawalee0811/EyeNavGS_NTHU_Dataset (scene_setting.csv "
    "and <scene>/user<id>_<scene>.csv) and https://github.com/symmru/"
    "EyeNavGS_Rutgers_Dataset (the same, below dataset/), or one of them"
)
# 33 to 72 Hz, and not steady; 30 is below them all.
FPS = 30.0
HEAD_AGES_S = (0.02, 0.12)
# Real eyes span over 7° (5th to 95th percentile) in every recording, dead ones below 3°.
MIN_EYE_SPAN = np.deg2rad(5)
TO_CAMERA = np.array([-1.0, -1.0, 1.0])


class Site(NamedTuple):
    name: str
    scenes: str
    time: str
    eye_lag_s: float


NTHU = Site("eyenavgs_nthu", ".", "timestep", 0.045)
RUTGERS = Site("eyenavgs_rutgers", "dataset", "Timestamp", 0.025)


def find(folder: Path) -> list[Entry]:
    """The recordings below a folder that holds one or both clones, or is one.

    Raises:
      GazeheadError: nothing in the expected layout.
    """
    entries = []
    for root in folders(folder):
        if not (root / "scene_setting.csv").is_file():
            continue
        site = RUTGERS if (root / "dataset").is_dir() else NTHU
        gravity = scene_quaternions(root / "scene_setting.csv")
        for path in sorted((root / site.scenes).glob("*/user*_*.csv")):
            scene = path.parent.name
            user = path.stem.split("_")[0].removeprefix("user")
            entries.append(
                Entry(
                    f"{site.name}:{user}",
                    f"{site.name}/{scene}/{path.stem}",
                    (path,),
                    {"site": site, "scene": scene, "gravity": gravity.get(scene)},
                )
            )
    require(bool(entries), f"{folder}: no recordings found; expected {LAYOUT}.")
    return entries


def scene_quaternions(path: Path) -> dict[str, tuple[float, ...]]:
    """The quaternion (x, y, z, w) of each scene that sets it upright.

    Raises:
      GazeheadError: the file is not a scene_setting.csv.
    """
    quaternions = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            try:
                numbers = tuple(float(x) for x in row["Quaternion"].split(","))
                scene = row["Scene_Name"]
            except (KeyError, AttributeError, ValueError) as error:
                raise GazeheadError(
                    f"{path}: expected columns Scene_Name and Quaternion ('x, y, z, "
                    f"w'), got the row {dict(row)}."
                ) from error
            require(
                len(numbers) == 4 and any(numbers),
                f"{path}: the quaternion of {scene!r} must be four numbers x, y, z, w, "
                f"got {numbers}.",
            )
            quaternions[scene] = numbers
    return quaternions


def load(entry: Entry) -> Recording:
    """One user in one scene.

    Raises:
      Rejected: the eye tracking was dead, or nothing says what was upright.
      GazeheadError: the file is broken.
    """
    site = entry.meta["site"]
    if entry.meta["gravity"] is None:
        # One folder of the NTHU site ("trian"): upright as "train" it rolls by 25°.
        raise Rejected(f"no scene_setting for {entry.meta['scene']!r}")
    time, head, left, right = _rows(entry.paths[0], site)
    if np.mean((left == right).all(-1)) > 0.5:
        raise Rejected("left and right gaze are the same pose: no eye tracking")
    head = Slerp(time, Rotation.from_quat(head))
    left, right = Rotation.from_quat(left), Rotation.from_quat(right)
    age = head_age(time, head, left)
    later = time - age >= time[0]
    time, left, right = time[later], left[later], right[later]
    head = head(time - age)
    forward = left.apply([0, 0, -1.0]) + right.apply([0, 0, -1.0])
    eye = vector_to_angles(head.inv().apply(forward) * TO_CAMERA)
    span = np.subtract(*np.percentile(eye, [95, 5], axis=0))
    if (span < MIN_EYE_SPAN).all():
        raise Rejected(
            f"gaze is glued to the head (eye spans {np.rad2deg(span.max()):.1f}°): no "
            "eye tracking"
        )
    upright = Rotation.from_quat(entry.meta["gravity"]) * head
    return Recording(
        time=time - time[0],
        head=matrix_to_head(_in_camera(upright)),
        eye=eye,
        valid=np.ones(len(time), bool),
        person=entry.person,
        source=entry.source,
        fps=FPS,
        eye_lag_s=site.eye_lag_s,
        meta={
            "licence": "Apache-2.0",
            "device": "Meta Quest Pro",
            "task": "free exploration, standing",
            "scene": entry.meta["scene"],
            "head_retimed_s": round(age, 4),
        },
    )


def head_age(time: np.ndarray, head: Slerp, gaze: Rotation) -> float:
    """How much older, in seconds, the head was that gaze was built on.

    Args:
      time: `[time]` seconds, when each gaze was logged.
      head: the logged head over time.
      gaze: `[time]` gaze poses in the world.
    """

    def torsion(age):
        later = time - age >= time[0]
        eye = head(time[later] - age).inv() * gaze[later]
        angle = matrix_to_head(_in_camera(eye))[:, 2]
        return np.abs(angle - np.median(angle)).mean()

    step = 0.004
    ages = np.arange(*HEAD_AGES_S, step)
    best = ages[np.argmin([torsion(age) for age in ages])]
    bounds = (best - step, best + step)
    return float(minimize_scalar(torsion, bounds=bounds, options={"xatol": 1e-4}).x)


def _in_camera(rotation):
    return rotation.as_matrix() * np.outer(TO_CAMERA, TO_CAMERA)


def _rows(path, site):
    """Time, head, left and right gaze quaternions, with increasing time."""
    names = ["ViewIndex", site.time]
    names += [f"{p}{k}" for p in ("Quaternion", "GazeQ") for k in "XYZW"]
    table = read_columns(path, tuple(names))
    left, right = table[table[:, 0] == 0], table[table[:, 0] == 1]
    count = min(len(left), len(right))
    require(
        count > 1,
        f"{path}: each moment takes a row of ViewIndex 0 and one of ViewIndex 1, got "
        f"{len(left)} and {len(right)} rows.",
    )
    left, right = left[:count], right[:count]
    time = left[:, 1] / 1000
    quaternions = [left[:, 2:6], left[:, 6:10], right[:, 6:10]]
    keep = np.append(True, time[1:] > np.maximum.accumulate(time)[:-1])
    for q in quaternions:
        keep &= np.isfinite(q).all(-1) & (np.abs(q).max(-1) > 0)
    require(bool(keep.sum() > 1), f"{path}: fewer than two usable rows.")
    return time[keep], *(q[keep] for q in quaternions)
