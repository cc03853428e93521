"""Public eye-tracker recordings of gaze and head, read from a user's own copy.

One module per source, each with `NAME`, `LAYOUT`, `find(folder)` and `load(entry)`;
`recording.py` makes them sequences. `motions` does it all.
"""

import functools
import json
import logging
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from gazehead_jax.errors import require
from gazehead_jax.motion import Motion
from gazehead_jax.recordings import converted, eyenavgs, sgaze, vr_objects
from gazehead_jax.recordings.recording import Entry as Entry
from gazehead_jax.recordings.recording import Recording as Recording
from gazehead_jax.recordings.recording import Rejected, sequences

SOURCES = {module.NAME: module for module in (vr_objects, eyenavgs, sgaze, converted)}
SPLITS = ("train", "validation", "test")

_log = logging.getLogger(__name__)


@functools.cache
def _persons() -> dict[str, str]:
    lists = json.loads(resources.files(__package__).joinpath("split.json").read_text())
    return {person: split for split, persons in lists.items() for person in persons}


def split_of(person: str) -> str:
    """The split of a person: as split.json says, else "train".

    The same whichever part of the data a user has, raw or converted.
    """
    return _persons().get(person, "train")


def find(source: str, folder: str | Path) -> list[Entry]:
    """The recordings of a source below a folder.

    Raises:
      GazeheadError: an unknown source, no such folder, or nothing in its layout.
    """
    require(
        source in SOURCES,
        f"source must be one of {', '.join(SOURCES)}, got {source!r}.",
    )
    return SOURCES[source].find(Path(folder))


def motions(
    source: str, entries: list[Entry], fps: float | None = None
) -> Iterator[Motion]:
    """The sequences of found recordings; rejected ones are logged.

    Args:
      source: where the entries were found.
      entries: recordings, as `find` gives them.
      fps: rate of the sequences; what suits the source by default.

    Raises:
      GazeheadError: a file is broken, or not one recording is usable.
    """
    made, reason = 0, "no stretch of three seconds is valid"
    for entry in entries:
        try:
            recording = SOURCES[source].load(entry)
        except Rejected as rejected:
            reason = str(rejected)
            _log.info("%s rejected: %s", entry.source, reason)
            continue
        for motion in sequences(recording, fps):
            made += 1
            yield motion
    require(
        made > 0,
        f"none of {len(entries)} {source} recordings is usable, the last one "
        f"({entries[-1].source if entries else 'there is none'}) because {reason}.",
    )
