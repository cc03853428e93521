"""Recordings made up in memory, and as each source writes them."""

import csv
import gzip

import numpy as np
from scipy.spatial.transform import Rotation

from gazehead_jax.recordings import eyenavgs, vr_objects
from gazehead_jax.recordings.recording import Recording

TILT = Rotation.from_euler("XZ", [-20, 8], degrees=True)  # of EyeNavGS's scene
# Where the right ear is, seen from the head: on the image's left.
RIGHT_EAR = np.array([-1.0, 0.0, 0.0])
SCALP = np.array([0.0, -1.0, 0.0])


def wave(time, amplitude_deg, *hertz, phase=0.0):
    """A smooth angle, radians."""
    angle = sum(np.sin(2 * np.pi * f * time + phase + i) for i, f in enumerate(hertz))
    return np.deg2rad(amplitude_deg) * angle / len(hertz)


def angles(time):
    """Head (pitch, yaw, roll) and eye (pitch, yaw) in this project's signs."""
    head = [
        wave(time, 15, 0.13, 0.31),
        wave(time, 50, 0.07, 0.23, phase=1),
        wave(time, 20, 0.11, 0.37, phase=2),
    ]
    eye = [wave(time, 12, 0.7, 1.1), wave(time, 20, 0.5, 0.9, phase=2)]
    return np.stack(head, -1), np.stack(eye, -1)


def a_recording(seconds=12.0, rate=60.0, **changes):
    time = np.arange(round(seconds * rate)) / rate
    head, eye = angles(time)
    values = {
        "time": time,
        "head": head,
        "eye": eye,
        "valid": np.ones(len(time), bool),
        "person": "vr_objects:1",
        "source": "vr_objects/scene/1/S001",
        "fps": rate,
    }
    return Recording(**{**values, **changes})


def direction(pitch, yaw):
    """Independent of motion.py: camera x right, y down, z away; yaw to image-left."""
    return np.stack(
        [-np.cos(pitch) * np.sin(yaw), -np.sin(pitch), -np.cos(pitch) * np.cos(yaw)], -1
    )


def write_vr_objects(root, person="6", scene="office_cube", seconds=8.0, lost=()):
    """Two trials of a made-up session, in Unity's axes; the eye is late as it is."""
    trackers = root / "data" / scene / person / "S001" / "trackers"
    trackers.mkdir(parents=True)
    for trial in (1, 2):
        time = 20.0 + 100 * trial + np.arange(round(seconds * 90)) / 90
        head = angles(time)[0]
        pitch, yaw = angles(time - vr_objects.EYE_LAG_S)[1].T
        forward = np.stack(
            [np.cos(pitch) * np.sin(yaw), np.sin(pitch), np.cos(pitch) * np.cos(yaw)],
            -1,
        )
        pupils = np.full((len(time), 2), 3.1)
        for i in lost:
            pupils[i, 1] = -1
        with (trackers / f"Eye_gaze_T{trial:03d}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(
                "time,ori_x,ori_y,ori_z,dir_x,dir_y,dir_z,gaze_x,gaze_y,gaze_z,"
                "gaze_object,pupil_l,pupil_r".split(",")
            )
            for t, d, p in zip(time, forward, pupils, strict=True):
                writer.writerow([t, 0, 0, 0, *d, -99999, -99999, 0, "Mug", *p])
        euler = np.rad2deg(head * [-1, 1, 1]) % 360
        with (trackers / f"VR_move_T{trial:03d}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(
                "time,head_pos_x,head_pos_y,head_pos_z,head_rot_x,head_rot_y,"
                "head_rot_z,grab".split(",")
            )
            for t, e in zip(time, euler, strict=True):
                writer.writerow([t, 0, 1.6, 0, *e, "False"])
    return trackers


def write_eyenavgs(root, rutgers=False, user=10, age=0.06, eyes="alive", seconds=15.0):
    """A made-up recording: x right, y up, z back; a tilted scene; a stale head."""
    scenes = root / "dataset" if rutgers else root
    (scenes / "alameda").mkdir(parents=True, exist_ok=True)
    quaternion = ", ".join(f"{x:.8f}" for x in TILT.as_quat())
    (root / "scene_setting.csv").write_text(
        f'Scene_Name,Quaternion,Scale\nalameda,"{quaternion}",0.4\n', "utf-8-sig"
    )
    site = eyenavgs.RUTGERS if rutgers else eyenavgs.NTHU
    time = np.round(np.arange(0, 1000 * seconds, 1000 / 72)) / 1000

    def head_at(t):
        # Upright first, then as the tilted scene has it.
        head = angles(t)[0]
        upright = Rotation.from_euler("YXZ", head[:, [1, 0, 2]] * [-1, 1, 1])
        return TILT.inv() * upright

    eye = angles(time - age - site.eye_lag_s)[1]
    eye = 0.02 * eye if eyes == "glued" else eye
    scale = "XYZW"
    columns = [f"Quaternion{k}" for k in scale] + [f"GazeQ{k}" for k in scale]
    table = []
    logged = head_at(time)
    for view, vergence in ((0, -0.03), (1, 0.03)):
        if eyes == "identical":
            vergence = 0
        local = Rotation.from_euler(
            "YX", np.stack([-eye[:, 1] + vergence, eye[:, 0]], -1)
        )
        gaze = head_at(time - age) * local
        table.append(
            np.column_stack(
                [
                    np.full(len(time), view),
                    logged.as_quat(),
                    gaze.as_quat(),
                    1000 * time + 7 * view,
                ]
            )
        )
    path = scenes / "alameda" / f"user{user}_alameda.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["ViewIndex", *columns, site.time])
        writer.writerows(np.stack(table, 1).reshape(-1, 10).tolist())
    return path


def write_sgaze(path, seconds=40.0, fold=None):
    time = np.arange(round(seconds * 100)) / 100
    head, eye = angles(time)
    velocity = np.rad2deg(np.gradient(head[:, [1, 0]], 0.01, axis=0))
    if fold is not None:
        lo, hi = fold
        velocity[lo - 20 : hi + 20, 0] = 70
        velocity[lo:hi, 1] = -70
        velocity[lo - 5 : lo, 1] = velocity[hi : hi + 5, 1] = 70
    table = np.zeros((len(time), 12))
    table[:, [1, 0]], table[:, 4:6] = np.rad2deg(eye), velocity
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        with gzip.open(path, "wt") as file:
            np.savetxt(file, table, "%.6f", delimiter="\t")
    else:
        np.savetxt(path, table, "%.6f", delimiter="\t")
    return head, eye


def write_converted(root, file="vr_objects/a.npz", person="ischtz:6", roll=0.0):
    time = np.arange(900) / 90
    head, eye = angles(time)
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        root / file,
        t=time.astype(np.float32),
        head=(head + [0, 0, roll]).astype(np.float32),
        eye_in_head=eye.astype(np.float32),
        valid=np.ones(900, bool),
        eye_lag_s=np.float32(0.087),
    )
    with (root / "manifest.csv").open("w", newline="") as manifest:
        writer = csv.writer(manifest)
        writer.writerow(["file", "person", "licence", "task"])
        writer.writerow([file, person, "MIT", "a task"])
