"""Motions from files of other programs, and whether any motion's numbers make sense.

    from gazehead_jax import formats

    motion = formats.load("clip.csv")            # OpenFace, py-feat, MediaPipe, …
    for finding in formats.check(motion):
        print(finding)

One module per format, each with `NAME`, `TITLE`, `COLUMNS`, `FACES`, `matches(table)`
and `read(table, options)`; it says there which convention it takes the file to be in.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.formats import live_link, mediapipe_csv, openface, pyfeat
from gazehead_jax.formats.checks import Finding as Finding
from gazehead_jax.formats.checks import check as check
from gazehead_jax.formats.reading import UNITS, Options, to_motion, uniform
from gazehead_jax.formats.repair import CHANNELS as CHANNELS
from gazehead_jax.formats.repair import repair as repair
from gazehead_jax.formats.table import Table
from gazehead_jax.motion import Motion
from gazehead_jax.motion_io import (
    GAZE_COLUMNS,
    is_uniform,
    load_motion,
    read_columns,
    uniform_fps,
)

NATIVE = "gazehead"
# Asked in this order: a Live Link Face file has eyeLook shapes as MediaPipe's have.
_READERS = (live_link, openface, pyfeat, mediapipe_csv)
FORMATS = (NATIVE, *(reader.NAME for reader in _READERS))


def load(
    path: str | Path,
    format: str | None = None,
    *,
    fps: float | int | None = None,
    units: str | None = None,
    face: str | None = None,
    gaze_frame: str | None = None,
    negate: Sequence[str] = (),
    swap: Sequence[str] = (),
) -> Motion:
    """Reads a motion file of this project or of another program.

    `meta["format"]` and `meta["notes"]` of a foreign file tell what it was taken for.

    Args:
      path: `.npz` or `.csv`.
      format: one of `FORMATS`; told from the header when left out.
      fps: rate of the recording, where the file tells no times or wrong ones.
      units: "radians", "degrees" or "half-turns", where the file's angles are in
        something else than its format says.
      face: which person of several, as the file's face column names them.
      gaze_frame: "head" if the file's gaze is relative to the head, against its format.
      negate: channels with the wrong sign, of `CHANNELS`.
      swap: "gaze" or "head" or both, where pitch and yaw are exchanged.

    Raises:
      GazeheadError: the file is missing or broken, of no known format, has no gaze,
        no time, or several people of whom none was chosen.
    """
    require(
        format is None or format in FORMATS,
        f"format must be one of {', '.join(FORMATS)}, got {format!r}.",
    )
    path = Path(path)
    options = Options(
        fps=fps,
        units=units,
        face=face,
        gaze_frame=gaze_frame,
        negate=tuple(negate),
        swap=tuple(swap),
    )
    if format == NATIVE or (format is None and path.suffix == ".npz"):
        return _native(path, options)
    table = Table(path)
    if format is None and table.has(*GAZE_COLUMNS):
        return _native(path, options)
    reader = _reader(table, format)
    require(
        face is None or table.first(*reader.FACES) is not None,
        f"{path}: no column tells people apart"
        f"{' by ' + ' or '.join(reader.FACES) if reader.FACES else ''}; leave --face out.",
    )
    return to_motion(path, reader.read(table, options), reader.NAME, options)


def _reader(table: Table, format: str | None):
    named = [r for r in _READERS if r.NAME == format]
    fits = [r for r in named or _READERS if r.matches(table)]
    if fits:
        return fits[0]
    header = ", ".join(table.header[:8]) + (" …" if len(table.header) > 8 else "")
    if named:
        raise GazeheadError(
            f"{table.path}: a file of {named[0].TITLE} has the columns "
            f"{named[0].COLUMNS}; got {header}."
        )
    known = "; ".join(f"{r.TITLE} ({r.COLUMNS})" for r in _READERS)
    raise GazeheadError(
        f"{table.path}: its columns are of no known format: gazehead (time_s, "
        f"{', '.join(GAZE_COLUMNS)} …); {known}; got {header}."
    )


def _native_csv(path: Path, options: Options) -> Motion:
    """Also of a camera whose rate varies, which `load_motion` refuses."""
    found, fps, notes = read_columns(path), options.fps, []
    gaze, head, valid = found.gaze, found.head, found.valid
    if fps is None and is_uniform(found.time_s):
        fps = uniform_fps(path, found.time_s)
    elif fps is None:
        angles = gaze if head is None else np.concatenate([gaze, head], 1)
        fps, angles, valid = uniform(path, found.time_s, angles, valid)
        gaze, head = angles[:, :2], None if head is None else angles[:, 2:]
        notes = [f"its times are not even: brought to {fps:g} frames a second"]
    meta = {"notes": notes} if notes else {}
    return Motion(gaze, head, fps, valid, source=path.stem, meta=meta)


def _native(path: Path, options: Options) -> Motion:
    require(
        options.face is None,
        f"{path}: a gazehead motion is of one person; --face is for other formats.",
    )
    motion = _native_csv(path, options) if path.suffix == ".csv" else load_motion(path)
    if options.units is not None:
        # A native .csv is in degrees and a .npz in radians.
        written = UNITS["degrees"] if path.suffix == ".csv" else UNITS["radians"]
        scale = UNITS[options.units] / written
        head = None if motion.head is None else motion.head * scale
        motion = motion.replace(gaze=motion.gaze * scale, head=head)
    if options.fps is not None:
        motion = motion.replace(fps=options.fps)
    return repair(
        motion,
        negate=options.negate,
        swap=options.swap,
        gaze_frame=options.gaze_frame or "camera",
    )
