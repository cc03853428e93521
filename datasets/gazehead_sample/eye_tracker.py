"""The shipped excerpt of eye-tracker recordings: where it lies and how it is read.

One .npz per split holds the frames of its sequences one after another; manifest.csv
tells in the same order whose they are and how many.
"""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from gazehead_jax.motion import Motion

DATA = Path(__file__).parent / "data" / "eye_tracker"
MANIFEST = DATA / "manifest.csv"
SPLITS = ("train", "validation", "test")
# Angles are whole numbers of this many radians, 0.006°; ±π fits into int16.
UNIT = 1e-4
FPS = 30.0
META = {
    "from": "https://github.com/ischtz/jov2023-vr-objects",
    "commit": "fe12e11c52e759d0e8fa071cbdd34e90e375a7f8",
    "licence": "MIT",
    "device": "HTC Vive Pro Eye",
    "task": "find and remember an object, walk, point or place",
}


def read_manifest() -> list[dict]:
    """The rows of manifest.csv, one per sequence."""
    with MANIFEST.open(newline="") as file:
        return list(csv.DictReader(file))


def motions(split: str) -> Iterator[Motion]:
    """The sequences of a split, in the manifest's order; `source` is the name there."""
    with np.load(DATA / f"{split}.npz") as file:
        arrays = {name: file[name] for name in file.files}
    first = 0
    for row in read_manifest():
        if row["split"] == split:
            part = slice(first, first + int(row["frames"]))
            yield from_units({name: x[part] for name, x in arrays.items()}, row)
            first = part.stop


def to_units(motion: Motion) -> dict[str, np.ndarray]:
    """gaze `[time, 2]` and head `[time, 3]` as int16 in `UNIT`, valid `[time]`."""
    return {
        "gaze": np.round(motion.gaze / UNIT).astype(np.int16),
        "head": np.round(motion.require_head() / UNIT).astype(np.int16),
        "valid": motion.valid,
    }


def from_units(arrays: Mapping[str, np.ndarray], row: Mapping[str, str]) -> Motion:
    """The motion of one sequence's arrays (see `to_units`) and its manifest row."""
    return Motion(
        gaze=arrays["gaze"] * UNIT,
        head=arrays["head"] * UNIT,
        valid=arrays["valid"],
        fps=FPS,
        subject=row["person"],
        source=row["sequence"],
        meta={**META, "start_s": float(row["start_s"])},
    )
