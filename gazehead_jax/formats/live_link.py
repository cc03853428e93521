"""Live Link Face (Epic's iPhone app): the .csv of a take.

- `Timecode` hh:mm:ss:frame.fraction. The app counts 60 frames a second whatever the
  rate of the take, and so does Unreal's importer; other programs count as many frames
  as their rate, which shows in the largest number.
- `BlendShapeCount`: 61, or 0 in a row that was lost, which may end there.
- 52 shapes, of which the eyeLook ones and eyeBlink are used.
- `LeftEyeYaw, LeftEyePitch`, and right: eye-in-head. In two takes of the app (7,800
  frames) yaw runs with eyeLookIn of the left eye (r = .999, .60 a unit), so it is + to
  the subject's right, and pitch runs against eyeLookUp (r = -.996), so it is + down;
  they reach .6, so they are radians. Other writers use degrees, or half turns (Unreal's
  ARKit code, -1 to 1): the unit is read off that slope where the eyes move, `--units`
  overrides it. Files with eyes at rest in all rows: the eyeLook shapes are used.
- `HeadYaw, HeadPitch, HeadRoll`: the same axes and unit as the eyes, as in Unreal's
  code: yaw + to the subject's right, pitch + down, roll + clockwise in the image, turned
  in this order. Zero throughout if head tracking was off. In landscape the app has been
  said to turn yaw and pitch round; `--check` tells.
"""

import numpy as np

from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.formats import eye_shapes
from gazehead_jax.formats.reading import BLINK, UNITS, Options, Reading, times
from gazehead_jax.formats.table import Table

NAME = "livelink"
TITLE = "Live Link Face"
COLUMNS = "Timecode, BlendShapeCount, … HeadYaw, HeadPitch, HeadRoll, LeftEyeYaw, …"
FACES = ()  # columns that tell people apart

_HEAD = ["HeadPitch", "HeadYaw", "HeadRoll"]
_EYES = ["LeftEyePitch", "RightEyePitch", "LeftEyeYaw", "RightEyeYaw"]
_SIGNS = np.array([-1.0, 1.0, 1.0])  # ours over the app's: pitch, yaw, roll
# Frames a second that a writer may count in its timecode.
_COUNTS = (24, 25, 30, 48, 50, 60, 100, 120, 240)


def matches(table: Table) -> bool:
    """Whether the header is one of Live Link Face."""
    return table.has("Timecode", "BlendShapeCount")


def read(table: Table, options: Options) -> Reading:
    """The take in a Live Link Face file.

    Raises:
      GazeheadError: no head in it, neither eye rotations nor eyeLook shapes, or a
        timecode that is none.
    """
    path = table.path
    shapes = eye_shapes.columns(table)
    looks, eyes = eye_shapes.has_looks(shapes), table.has(*_EYES)
    require(
        looks or eyes,
        f"{path}: a motion needs gaze, and the take has neither eye rotations "
        "(LeftEyeYaw …) nor eyeLook shapes.",
    )
    require(
        table.has(*_HEAD),
        f"{path}: its eyes are relative to the head, and there are no HeadYaw, HeadPitch "
        "and HeadRoll; gaze in the camera frame cannot be known.",
    )
    wanted = [*_HEAD, *(_EYES if eyes else []), *shapes.values(), "BlendShapeCount"]
    numbers, (codes,) = table.read(wanted, ["Timecode"], gap_cells=2)
    column = dict(zip(wanted, numbers.T, strict=True))
    valid = (numbers[:, -1] != 0) & np.isfinite(numbers).all(-1)
    require(
        bool(numbers[valid, :3].any()),
        f"{path}: HeadYaw, HeadPitch and HeadRoll are zero in all {len(numbers)} rows: "
        "head rotation was switched off in the app; without it gaze in the camera frame "
        "cannot be known.",
    )
    value = {shape: column[name] for shape, name in shapes.items()}
    shut = eye_shapes.blink(value)
    if shut is not None:
        valid &= ~(shut > BLINK)
    seconds, note = (None, None) if options.fps else _seconds(path, codes)
    notes = [note] if note else []
    moving = eyes and bool(numbers[valid, 3:7].any())
    require(
        moving or looks,
        f"{path}: its eye rotations are zero in all rows and there are no eyeLook shapes; "
        "a motion needs gaze.",
    )
    rotation = (
        np.stack(
            [
                column["LeftEyePitch"] + column["RightEyePitch"],
                column["LeftEyeYaw"] + column["RightEyeYaw"],
            ],
            axis=-1,
        )
        / 2
        * _SIGNS[:2]
        if moving
        else None
    )
    look = eye_shapes.look(value) if looks else None
    units, why = options.units, "as told"
    if units is None:
        units, why = _guess_units(rotation, look, valid, numbers[:, :3])
        notes.append(f"its angles are taken as {units} ({why}); --units overrides that")
    if rotation is not None:
        gaze = rotation * UNITS[units]
    else:
        gaze = eye_shapes.eye_in_head(value)
        notes.append("its eye rotations are zero; gaze is from the eyeLook shapes")
    return Reading(
        time_s=times(path, seconds, np.arange(len(numbers), dtype=float), options),
        gaze=gaze,
        head=numbers[:, :3] * _SIGNS * UNITS[units],
        valid=valid,
        gaze_frame="head",
        notes=tuple(notes),
        meta={"units": units},
    )


def _guess_units(rotation, look, valid, head) -> tuple[str, str]:
    if rotation is not None and look is not None:
        x, y = look[valid, 1], rotation[valid, 1]
        if x.std() > 0.02 and y.std() > 0 and abs(np.corrcoef(x, y)[0, 1]) > 0.8:
            slope = np.polyfit(x, y, 1)[0]
            off = {
                name: abs(np.log(abs(slope) * unit / eye_shapes.YAW_PER_UNIT))
                for name, unit in UNITS.items()
            }
            said = f"eye yaw moves {slope:.3g} per unit of eyeLookIn"
            if slope < 0:
                said += ", against the app's sign: see --negate"
            return min(off, key=off.get), said
    parts = [head[valid]] if rotation is None else [head[valid], rotation[valid]]
    largest = max(float(np.abs(part).max()) for part in parts)
    if largest > np.pi:
        return "degrees", f"they reach {largest:.3g}"
    return "radians", "what the app writes; the eyes move too little to tell"


def _seconds(path, codes: list[str]) -> tuple[np.ndarray, str | None]:
    """Seconds since midnight of timecodes, and what was worked out about them."""
    parts = np.zeros((len(codes), 4))
    for i, code in enumerate(codes):
        try:
            hours, minutes, seconds, frame = code.replace(";", ":").split(":")
            parts[i] = float(hours), float(minutes), float(seconds), float(frame)
        except ValueError as error:
            raise GazeheadError(
                f"{path}: a Timecode is hh:mm:ss:frame, got {code!r} in row {i + 1}; if "
                "there are no times, name the rate with --source-fps."
            ) from error
    whole = parts[:, :3] @ np.array([3600.0, 60.0, 1.0])
    count, note = 60, None
    if whole[-1] - whole[0] >= 3 or whole[-1] < whole[0]:
        largest = parts[:, 3].max()
        count = next((c for c in _COUNTS if largest < c), 60)
        require(
            bool(largest < _COUNTS[-1]),
            f"{path}: a Timecode counts frames below {_COUNTS[-1]}, got {largest:g}.",
        )
    if count != 60:
        note = f"its timecode counts {count} frames a second, not the app's 60"
    seconds = whole + parts[:, 3] / count
    # Past midnight.
    days = np.cumsum(np.concatenate([[0], np.diff(seconds) < -43200]))
    return seconds + 86400.0 * days, note
