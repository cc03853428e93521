"""Makes the shipped eye-tracker excerpt again from a copy of the recordings.

    python -m gazehead_jax.datasets.gazehead_sample.regenerate_eye_tracker \\
        --recordings DIR [--out DIR]

DIR holds a clone of ischtz/jov2023-vr-objects, which gives the shipped files, or the
converted files with their manifest.csv, which give nearly the same; see the README of
eyehead_recordings. About 20 seconds on two cores.
"""

import argparse
import re
import sys
from collections.abc import Iterable
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np

from gazehead_jax import recordings
from gazehead_jax.datasets.gazehead_sample.eye_tracker import (
    DATA,
    FPS,
    SPLITS,
    from_units,
    to_units,
)
from gazehead_jax.datasets.gazehead_sample.manifest import write_manifest
from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.files import atomic_path
from gazehead_jax.motion import Motion, resample, wrap

# Who is in the excerpt. Four more test people of the recordings (8, 13, 18, 21) stay
# out of it, and so unseen.
PEOPLE = tuple(f"vr_objects:{i}" for i in (6, 9, 10, 12, 14, 15, 17, 19, 11, 16, 7, 20))
SECONDS_PER_PERSON = {"train": 75.0, "validation": 60.0, "test": 90.0}

MIN_SECONDS, MAX_SECONDS = 8.0, 30.0
MIN_VALID_SHARE = 0.9
# From the median heading: what a character on a screen can be asked to do.
HEAD_YAW_LIMIT = np.deg2rad(48)
GAZE_YAW_LIMIT = np.deg2rad(70)
# People look down at what they place; further down the face would be gone.
HEAD_PITCH_LIMIT = np.deg2rad(45)
GAZE_PITCH_LIMIT = np.deg2rad(60)
MIN_HEAD_YAW_SD = np.deg2rad(4)

# "vr_objects/kitchen_cube/10/S002/017" of a clone, "vr_objects/kitchen_cube_10_S002/017"
# of converted files.
SOURCE = re.compile(r"vr_objects/(\w+?)[/_](\d+)[/_](S\d+)/(\d+)")


def fits(motion: Motion) -> bool:
    """Whether a sequence is of the length, quality and range of the excerpt.

    How gaze and head move *together* is not asked.
    """
    head, gaze = np.abs(motion.require_head()), np.abs(motion.gaze)
    head, gaze = head[motion.valid], gaze[motion.valid]
    return bool(
        MIN_SECONDS <= motion.duration_s <= MAX_SECONDS
        and motion.valid.mean() >= MIN_VALID_SHARE
        and (head[:, :2].max(0) <= (HEAD_PITCH_LIMIT, HEAD_YAW_LIMIT)).all()
        and (gaze.max(0) <= (GAZE_PITCH_LIMIT, GAZE_YAW_LIMIT)).all()
        and motion.require_head()[motion.valid, 1].std() >= MIN_HEAD_YAW_SD
    )


def candidate(motion: Motion) -> Motion | None:
    """What the excerpt can take of a sequence: renamed, 30 fps, rounded.

    The longest window in whole seconds that `fits` (the earliest of them), turned about
    the vertical so that its median heading is yaw 0; None if there is none.
    """
    match = SOURCE.fullmatch(motion.source)
    require(match is not None, f"{motion.source} is no sequence of vr_objects.")
    start_s, motion = motion.meta["start_s"], resample(motion, FPS)
    second = round(FPS)
    for seconds in range(len(motion) // second, int(MIN_SECONDS) - 1, -1):
        for first in range(0, len(motion) - seconds * second + 1, second):
            window = motion[first : first + seconds * second]
            if not window.valid.any():
                continue
            row = {
                "sequence": "/".join(match.groups()),
                "person": motion.subject,
                "start_s": start_s + first / FPS,
            }
            window = from_units(to_units(level(window)), row)
            if fits(window):
                return window
    return None


def level(motion: Motion) -> Motion:
    """The motion with its median heading at yaw 0."""
    heading = float(np.median(motion.require_head()[motion.valid, 1]))
    return motion.replace(
        gaze=wrap(motion.gaze - np.float32([0, heading])),
        head=wrap(motion.require_head() - np.float32([0, heading, 0])),
    )


def select(candidates: Iterable[Motion], seconds: float) -> list[Motion]:
    """At most so many seconds of one person's sequences, from all scenes alike.

    The longest of each scene, then the second longest of each, and so on; what would
    be too much is passed over.
    """
    scenes: dict[str, list[Motion]] = {}
    for motion in sorted(candidates, key=lambda m: (-len(m), m.source)):
        scenes.setdefault(motion.source.split("/")[0], []).append(motion)
    turns = zip_longest(*(scenes[scene] for scene in sorted(scenes)))
    chosen, left = [], seconds
    for motion in filter(None, chain.from_iterable(turns)):
        if motion.duration_s <= left:
            chosen.append(motion)
            left -= motion.duration_s
    return sorted(chosen, key=lambda m: m.source)


def person_motions(folder: Path, person: str) -> list[Motion]:
    """The sequences of a person that are shipped.

    Raises:
      GazeheadError: the folder has no recordings, none of this person, or nothing fits.
    """
    layout = "converted" if (folder / "manifest.csv").exists() else "vr_objects"
    entries = [e for e in recordings.find(layout, folder) if e.person == person]
    require(
        bool(entries),
        f"{folder} has no recordings of {person}; the excerpt takes those of "
        f"{', '.join(PEOPLE)}.",
    )
    found = map(candidate, recordings.motions(layout, entries))
    seconds = SECONDS_PER_PERSON[recordings.split_of(person)]
    chosen = select(filter(None, found), seconds)
    require(bool(chosen), f"no sequence of {person} in {folder} fits the excerpt.")
    return chosen


def manifest_row(motion: Motion) -> dict:
    """What manifest.csv tells about a sequence."""
    return {
        "sequence": motion.source,
        "person": motion.subject,
        "split": recordings.split_of(motion.subject),
        "start_s": f"{motion.meta['start_s']:.3f}",
        "seconds": f"{motion.duration_s:.2f}",
        "frames": len(motion),
        "valid_fraction": f"{motion.valid.mean():.4f}",
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=Path, required=True, help="your copy")
    parser.add_argument("--out", type=Path, default=DATA, help="default: in place")
    options = parser.parse_args(arguments)
    try:
        motions = []
        for person in PEOPLE:
            found = person_motions(options.recordings, person)
            seconds = sum(m.duration_s for m in found)
            split = recordings.split_of(person)
            print(f"{person} {split} {len(found)} {seconds:.1f} s", flush=True)
            motions += found
        for split in SPLITS:
            parts = [
                to_units(m) for m in motions if recordings.split_of(m.subject) == split
            ]
            with atomic_path(options.out / f"{split}.npz") as temporary:
                np.savez_compressed(
                    temporary,
                    **{
                        name: np.concatenate([part[name] for part in parts])
                        for name in parts[0]
                    },
                )
        write_manifest(options.out, [manifest_row(motion) for motion in motions])
    except GazeheadError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
