"""Motions on disk: `.npz` (radians, native) and `.csv` (degrees, for everyone else)."""

import csv
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.files import UNREADABLE, atomic_path
from gazehead_jax.motion import CONVENTION, Motion

SCHEMA_VERSION = 1
SUFFIXES = (".npz", ".csv")
GAZE_COLUMNS = ("gaze_pitch_deg", "gaze_yaw_deg")
HEAD_COLUMNS = ("head_pitch_deg", "head_yaw_deg", "head_roll_deg")
CSV_COLUMNS = ("time_s", *GAZE_COLUMNS, *HEAD_COLUMNS, "valid")


def load_motion(path: str | Path) -> Motion:
    """Reads one motion.

    A `.csv` has the columns `time_s, gaze_pitch_deg, gaze_yaw_deg` and, if known,
    `head_pitch_deg, head_yaw_deg, head_roll_deg, valid`. Without `valid`, rows with an
    empty or NaN angle are invalid.

    Raises:
      GazeheadError: the file is missing, empty, of another format, convention or
        schema version, its columns or times are wrong, or its angles are.
    """
    path = Path(path)
    check_suffix(path)
    require(path.is_file(), f"{path}: there is no such file.")
    require(path.stat().st_size > 0, f"{path}: the file is empty (0 bytes).")
    motion = _load_npz(path) if path.suffix == ".npz" else _load_csv(path)
    return motion if motion.source else motion.replace(source=path.stem)


def save_motion(path: str | Path, motion: Motion) -> Path:
    """Writes one motion as `.npz` or `.csv`, by the suffix; whole or not at all.

    Raises:
      GazeheadError: another suffix, or the place cannot be written.
    """
    path = Path(path)
    check_suffix(path)
    with atomic_path(path) as temporary:
        if path.suffix == ".npz":
            _save_npz(temporary, motion)
        else:
            _save_csv(temporary, motion)
    return path


def check_suffix(path: str | Path) -> None:
    """Raises GazeheadError unless `path` ends in .npz or .csv."""
    require(
        Path(path).suffix in SUFFIXES,
        f"{path}: a motion file ends in {' or '.join(SUFFIXES)}, got "
        f"{Path(path).suffix!r}.",
    )


def _save_npz(path: Path, motion: Motion) -> None:
    arrays = {"gaze": motion.gaze, "valid": motion.valid, "fps": np.float64(motion.fps)}
    if motion.head is not None:
        arrays["head"] = motion.head
    np.savez_compressed(
        path,
        **arrays,
        frame=motion.frame,
        source=motion.source,
        subject=motion.subject,
        meta=json.dumps(dict(motion.meta)),
        units="radians",
        convention=CONVENTION,
        schema_version=np.int32(SCHEMA_VERSION),
    )


def _load_npz(path: Path) -> Motion:
    try:
        with np.load(path, allow_pickle=False) as file:
            fields = {name: file[name] for name in file.files}
    except UNREADABLE as error:
        raise GazeheadError(
            f"{path}: not a readable .npz of plain arrays ({error})."
        ) from error
    try:
        return _motion_of_fields(path, fields)
    except GazeheadError:
        raise
    except (TypeError, ValueError) as error:
        raise GazeheadError(
            f"{path}: a field of the motion is of the wrong kind ({error})."
        ) from error


def _motion_of_fields(path: Path, fields: dict) -> Motion:
    missing = {"gaze", "fps", "units", "convention", "schema_version"} - set(fields)
    require(
        not missing,
        f"{path}: a motion .npz has gaze, fps, units, convention and schema_version; "
        f"missing: {', '.join(sorted(missing))}.",
    )
    version = int(fields["schema_version"])
    require(
        version == SCHEMA_VERSION,
        f"{path}: schema_version must be {SCHEMA_VERSION}, got {version}; "
        "this file was written by another version of gazehead_jax.",
    )
    require(
        str(fields["units"]) == "radians",
        f"{path}: units must be 'radians', got {str(fields['units'])!r}.",
    )
    require(
        str(fields["convention"]) == CONVENTION,
        f"{path}: the angle convention must be {CONVENTION!r}, got "
        f"{str(fields['convention'])!r}.",
    )
    return Motion(
        gaze=fields["gaze"],
        head=fields.get("head"),
        fps=float(fields["fps"]),
        valid=fields.get("valid"),
        frame=str(fields.get("frame", "camera")),
        source=str(fields.get("source", "")),
        subject=str(fields.get("subject", "")),
        meta=json.loads(str(fields.get("meta", "{}"))),
    )


def _save_csv(path: Path, motion: Motion) -> None:
    """Gaze that must not be used is left blank: whoever reads the columns alone would
    take any number for a look. (A head that was made for it stays.)"""
    columns = [np.arange(len(motion)) / motion.fps, *np.rad2deg(motion.gaze).T]
    if motion.head is not None:
        columns += [*np.rad2deg(motion.head).T]
    header = [
        c for c in CSV_COLUMNS if motion.head is not None or c not in HEAD_COLUMNS
    ]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for row, valid in zip(zip(*columns, strict=True), motion.valid, strict=True):
            time, *angles = f"{row[0]:.6f}", *(f"{x:.5f}" for x in row[1:])
            if not valid:
                angles[:2] = "", ""
            writer.writerow([time, *angles, int(valid)])


class Columns(NamedTuple):
    """The columns of a motion `.csv` in radians; times as they stand.

    Attributes:
      time_s: `[n]`
      gaze: `[n, 2]`
      head: `[n, 3]`, or None
      valid: `[n]`
    """

    time_s: np.ndarray
    gaze: np.ndarray
    head: np.ndarray | None
    valid: np.ndarray


def _load_csv(path: Path) -> Motion:
    found = read_columns(path)
    return Motion(
        gaze=found.gaze,
        head=found.head,
        fps=uniform_fps(path, found.time_s),
        valid=found.valid,
        source=path.stem,
    )


def read_columns(path: Path) -> Columns:
    """What a motion `.csv` holds, whatever its times are.

    Raises:
      GazeheadError: it cannot be read, lacks columns, has a cell that is no number or an
        angle that no degrees can be.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row]
    except (UnicodeDecodeError, OSError, csv.Error) as error:
        raise GazeheadError(f"{path}: not a readable .csv ({error}).") from error
    require(bool(rows), f"{path}: the file is empty, expected a header line.")
    header, body = rows[0], rows[1:]
    _check_header(path, header)
    require(bool(body), f"{path}: there is a header but no row.")
    table = np.full((len(body), len(header)), np.nan)
    for i, row in enumerate(body):
        require(
            len(row) == len(header),
            f"{path}: line {i + 2} must have {len(header)} cells, got {len(row)}.",
        )
        for j, cell in enumerate(row):
            if cell:
                try:
                    table[i, j] = float(cell)
                except ValueError as error:
                    raise GazeheadError(
                        f"{path}: line {i + 2}, column {header[j]} must be a number, "
                        f"got {cell!r}."
                    ) from error
    column = {name: table[:, i] for i, name in enumerate(header)}
    gaze = np.stack([column[name] for name in GAZE_COLUMNS], -1)
    head = None
    if HEAD_COLUMNS[0] in column:
        head = np.stack([column[name] for name in HEAD_COLUMNS], -1)
    finite = np.isfinite(gaze).all(-1)
    if head is not None:
        finite &= np.isfinite(head).all(-1)
    valid = column["valid"] == 1 if "valid" in column else finite
    for name, values in column.items():
        if not name.endswith("_deg"):
            continue
        limit = 90 if "pitch" in name else 180
        far = np.flatnonzero(valid & (np.abs(values) > limit + 0.05))
        require(
            not len(far),
            f"{path}: {name} must lie within ±{limit}°, got "
            f"{values[far[0]] if len(far) else 0:g} in line "
            f"{far[0] + 2 if len(far) else 0}"
            + ("." if limit == 90 else "; a heading of 0 to 360° is to be wrapped."),
        )
    return Columns(
        time_s=column["time_s"],
        gaze=np.deg2rad(gaze),
        head=None if head is None else np.deg2rad(head),
        valid=valid,
    )


def _check_header(path: Path, header: list[str]) -> None:
    needed = ("time_s", *GAZE_COLUMNS)
    missing = [c for c in needed if c not in header]
    present = [c for c in HEAD_COLUMNS if c in header]
    if present and len(present) < len(HEAD_COLUMNS):
        missing += [c for c in HEAD_COLUMNS if c not in header]
    require(
        not missing,
        f"{path}: missing column(s) {', '.join(missing)}; a motion .csv has "
        f"{', '.join(CSV_COLUMNS)} (head columns and valid may be left out), got "
        f"{', '.join(header[:8])}{' …' if len(header) > 8 else ''}. `gazehead convert` "
        "reads what OpenFace, py-feat, MediaPipe and Live Link Face write.",
    )
    require(
        len(set(header)) == len(header),
        f"{path}: column names must differ, got {', '.join(header)}.",
    )


def is_uniform(time_s: np.ndarray) -> bool:
    """Whether times are those of one frame rate, to the millisecond."""
    step = np.diff(time_s)
    if not (len(step) and np.isfinite(step).all() and (step > 0).all()):
        return False
    usual = float(np.median(step))
    # Times rounded to milliseconds are uniform enough; a change of rate is not.
    return float(np.abs(step - usual).max()) <= max(2e-3, 0.1 * usual)


def uniform_fps(path: Path, time: np.ndarray) -> float:
    """The frame rate of times `[n]` in seconds.

    Raises:
      GazeheadError: one frame, or times that do not increase or are not even.
    """
    require(
        len(time) > 1,
        f"{path}: the frame rate is read off time_s, which takes at least two rows; "
        "got one frame.",
    )
    step = np.diff(time)
    require(
        bool(np.isfinite(step).all() and (step > 0).all()),
        f"{path}: time_s must be finite and increasing.",
    )
    require(
        is_uniform(time),
        f"{path}: the frame rate must be uniform, got steps from {step.min():.4f} s to "
        f"{step.max():.4f} s (mixed fps); `gazehead convert {path} NEW.csv` brings it to "
        "one rate.",
    )
    fps = float((len(time) - 1) / (time[-1] - time[0]))
    return float(round(fps)) if abs(fps - round(fps)) < 1e-3 * fps else fps
