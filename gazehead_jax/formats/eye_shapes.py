"""Eye-in-head from the eyeLook shapes of ARKit and MediaPipe.

Of each eye, four numbers from 0 to 1: In (towards the nose), Out, Up, Down; Left is the
subject's own left eye. So in the left eye In is the subject's right, our + yaw.

One unit of In - Out is 0.60 rad and one of Up - Down 0.55 rad: the slopes of eye yaw
(r = .999) and eye pitch (r = -.996) over the shapes in two recordings of the Live Link
Face app, which has both (7,800 frames). For MediaPipe's shapes, which a network
guesses, the slope of the iris geometry's eye-in-head over them was 0.42 to 0.72 rad
(median 0.63, r = .86 to 1.00) in yaw and 0.41 to 0.70 (median 0.58, r = .72 to .99) in
pitch on ten clips, with the same signs; what is left differs by 1° to 6°, mostly as a
constant.
"""

import numpy as np
from jaxtyping import Float

from gazehead_jax.formats.table import Table

YAW_PER_UNIT = 0.60
PITCH_PER_UNIT = 0.55
_LOOKS = [
    f"eyeLook{way}{side}"
    for side in ("Left", "Right")
    for way in ("In", "Out", "Up", "Down")
]
_BLINKS = ["eyeBlinkLeft", "eyeBlinkRight"]


def columns(table: Table) -> dict[str, str]:
    """{eyeLook or eyeBlink name: column}, whatever their case, `_` and prefix."""
    plain = {name: name.lower().replace("_", "") for name in table.header}
    found = {}
    for shape in _LOOKS + _BLINKS:
        column = next((n for n, p in plain.items() if p.endswith(shape.lower())), None)
        if column is not None:
            found[shape] = column
    return found


def has_looks(found: dict[str, str]) -> bool:
    """Whether all eight eyeLook columns were found."""
    return all(shape in found for shape in _LOOKS)


def look(shapes: dict[str, np.ndarray]) -> Float[np.ndarray, "n 2"]:
    """(up, to the subject's right) in units of the shapes, mean of both eyes."""
    up = [
        shapes[f"eyeLookUp{s}"] - shapes[f"eyeLookDown{s}"] for s in ("Left", "Right")
    ]
    nose = [
        shapes[f"eyeLookIn{s}"] - shapes[f"eyeLookOut{s}"] for s in ("Left", "Right")
    ]
    return np.stack([(up[0] + up[1]) / 2, (nose[0] - nose[1]) / 2], axis=-1)


def eye_in_head(shapes: dict[str, np.ndarray]) -> Float[np.ndarray, "n 2"]:
    """(pitch, yaw) in radians of the eyes in the head."""
    return look(shapes) * np.array([PITCH_PER_UNIT, YAW_PER_UNIT])


def blink(shapes: dict[str, np.ndarray]) -> Float[np.ndarray, " n"] | None:
    """How far the lids are shut, 0 to 1; None if the file does not tell."""
    if not all(name in shapes for name in _BLINKS):
        return None
    return (shapes["eyeBlinkLeft"] + shapes["eyeBlinkRight"]) / 2
