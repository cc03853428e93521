"""LivePortrait motion templates (`.pkl`): written for its users, and read.

    python inference.py -s portrait.jpg -d template.pkl

LivePortrait moves keypoints as row vectors, x' = s (x R + exp) + t, with x to the right, y
down and z away from the camera, and R = (Rz(roll) Ry(yaw) Rx(pitch))ᵀ. Its R is therefore
the transpose of this project's rotation of the head. (Its pitch is + *down*; yaw + is
towards the image's left and roll + clockwise, as here.)

LivePortrait has no input for gaze. Its own demo shifts the eyes' keypoints by constants
set by hand, and so does a template here, by as many units of the demo's sliders for a
degree of the eye in the head as `generators.liveportrait` takes. **That is not calibrated
to degrees**: how far a portrait's irises move for a unit, nobody has measured here. A blink
shifts the lids' keypoints as the demo's wink does for one eye, mirrored for the other, and
sets the eyes' openness, which LivePortrait uses if it is told to retarget eyes.

By default LivePortrait takes a template relative to its first frame: let the motion begin
as the portrait is posed.
"""

import pickle
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.files import atomic_path
from gazehead_jax.generators.liveportrait.keypoints import (
    LEFT,
    LIDS,
    RIGHT,
    SIDEWAYS_AWAY,
    SIDEWAYS_TOWARDS,
    UNITS_PER_DEGREE,
    UP_EYE,
    UP_LID,
    eyes_moved,
)
from gazehead_jax.motion import Motion, gaze_in_camera, head_to_matrix, matrix_to_head
from gazehead_jax.rendering import blinks, video_fps, video_motion

SUFFIX = ".pkl"
KEYPOINTS = 21
EYES = (LEFT, RIGHT)
# What the demo's slider for a wink does at its end, 39.
SHUT_EYE, SHUT_LID = 0.001 * 39, -0.0003 * 39
EYE_OPEN = 0.36  # the eyes' openness in LivePortrait's own templates
_OWN = "gazehead_jax"  # a key that LivePortrait does not look at


def eyes_to_keypoints(
    eye: Float[np.ndarray, "t 2"], shut: Float[np.ndarray, " t"]
) -> Float[np.ndarray, "t 21 3"]:
    """Shifts `exp` of the keypoints for eyes in the head, radians, and lids.

    Source: `update_delta_new_eyeball_direction` and `update_delta_new_wink` in
    LivePortrait's src/gradio_pipeline.py; see this module about their units.
    """
    up, left = jnp.asarray(np.rad2deg(eye) * UNITS_PER_DEGREE, jnp.float32).T
    exp = np.array(eyes_moved(-left, up, KEYPOINTS))
    exp[:, EYES, 1] += SHUT_EYE * shut[:, None]
    exp[:, LIDS, 1] += SHUT_LID * shut[:, None]
    return exp


def keypoints_to_eyes(
    exp: Float[np.ndarray, "t 21 3"],
) -> tuple[Float[np.ndarray, "t 2"], Float[np.ndarray, " t"]]:
    """The inverse of `eyes_to_keypoints`: eyes in radians, and lids from 0 to 1."""
    right = exp[:, EYES, 0].sum(1) / (SIDEWAYS_TOWARDS + SIDEWAYS_AWAY)
    # Two unknowns, how far up and how far shut, in two means.
    means = np.stack([exp[:, EYES, 1].mean(1), exp[:, LIDS, 1].mean(1)])
    up, shut = np.linalg.solve([[UP_EYE, SHUT_EYE], [UP_LID, SHUT_LID]], means)
    eye = np.stack([up, -right], axis=1) / UNITS_PER_DEGREE
    return np.deg2rad(eye), np.clip(shut, 0, 1)


def save_template(path: str | Path, motion: Motion) -> Path:
    """Writes a motion as a LivePortrait template, at a whole number of frames per second
    (20 to 60, as a video of it has), its invalid frames bridged with the eyes shut.

    There are no keypoints of a face in it (`kp`, `x_s`), as in LivePortrait's published
    templates: it reads those of the portrait.

    Raises:
      GazeheadError: another suffix, no head, no valid frame, or the place cannot be
        written.
    """
    path = Path(path)
    require(
        path.suffix == SUFFIX,
        f"{path}: a motion template ends in {SUFFIX}, got {path.suffix!r}.",
    )
    shown = video_motion(motion, round(video_fps(motion, None)))
    shut = blinks(shown.valid, shown.fps)
    exp = eyes_to_keypoints(shown.gaze_in_head, shut)
    rotation = np.swapaxes(head_to_matrix(shown.head), 1, 2).astype(np.float32)
    still = {"scale": np.ones((1, 1), np.float32), "t": np.zeros((1, 3), np.float32)}
    template = {
        "n_frames": len(shown),
        "output_fps": round(shown.fps),
        "motion": [
            {**still, "R": r[None], "exp": e[None]}
            for r, e in zip(rotation, exp, strict=True)
        ],
        "c_eyes_lst": [np.full((1, 2), EYE_OPEN * (1 - s), np.float32) for s in shut],
        "c_lip_lst": [np.zeros((1, 1), np.float32)] * len(shown),
        _OWN: {"source": motion.source, "subject": motion.subject},
    }
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        _Pickler(file, protocol=3).dump(template)
    return path


def load_template(path: str | Path) -> Motion:
    """Reads a LivePortrait template, without running what a pickle may call.

    The head is exact. The gaze is what LivePortrait's own formula makes of the eyes'
    keypoints: that of a template of this project comes back; in one that LivePortrait
    made from a video it is taken from its median, mixed with the face's expression and
    not in true degrees (`meta["notes"]` says so). Frames with the lids shut are invalid.

    Raises:
      GazeheadError: the file is missing, no template, damaged, or holds anything but
        numbers and arrays.
    """
    path = Path(path)
    require(path.is_file(), f"{path}: there is no such file.")
    try:
        with path.open("rb") as file:
            template = _plain(_Unpickler(file).load())
        fps = float(template["output_fps"])
        frames = template["motion"]
        rotation = np.stack([f["R" if "R" in f else "R_d"] for f in frames])
        exp = np.stack([f["exp"] for f in frames])
        rotation = rotation.reshape(len(frames), 3, 3).astype(np.float64)
        exp = exp.reshape(len(frames), KEYPOINTS, 3).astype(np.float64)
    except _Refused as error:
        raise GazeheadError(
            f"{path}: a motion template holds numbers and arrays only, but this file names "
            f"{error}, which was not run; do not trust where it is from."
        ) from error
    except Exception as error:  # an altered file can fail in any way
        raise GazeheadError(
            f"{path}: this is no whole LivePortrait motion template "
            f"({error or type(error).__name__}); make or download it again."
        ) from error
    turned = rotation @ np.swapaxes(rotation, 1, 2)
    require(
        bool(np.abs(turned - np.eye(3)).max() < 1e-3) and bool(np.isfinite(exp).all()),
        f"{path}: R must be rotations and exp finite numbers, but they are not; make the "
        "template again.",
    )
    own = template.get(_OWN)
    meta = {"format": "liveportrait"}
    if own is None:
        exp = exp - np.median(exp, axis=0)
        meta["notes"] = [
            "gaze was read off LivePortrait's eye keypoints, from their median: mixed "
            "with expression and not in true degrees"
        ]
    eye, shut = keypoints_to_eyes(exp)
    head = matrix_to_head(np.swapaxes(rotation, 1, 2))
    limit = np.pi / 2 - 1e-3
    return Motion(
        gaze=gaze_in_camera(np.clip(eye, -limit, limit), head),
        head=head,
        fps=fps,
        valid=shut < 0.99,
        source=own["source"] if own else path.stem,
        subject=own["subject"] if own else "",
        meta=meta,
    )


class _Pickler(pickle._Pickler):
    """Names arrays as NumPy 1 does, which LivePortrait asks for; NumPy 2 knows both."""

    def save_global(self, obj, name=None):
        if getattr(obj, "__module__", "").startswith("numpy._core"):
            text = f"numpy.core.{obj.__module__.rpartition('.')[2]}\n{obj.__name__}\n"
            self.write(pickle.GLOBAL + text.encode())
            self.memoize(obj)
        else:
            super().save_global(obj, name)

    dispatch = {**pickle._Pickler.dispatch, type(save_global): save_global}


# --- reading without trust -----------------------------------------------------------


class _Refused(Exception):
    """What a pickle named that no template needs."""


class _Inert:
    # A pickle can set the state of any object, and of the classes below themselves.
    def __setstate__(self, state):
        raise pickle.UnpicklingError("state for an object that has none")


class _ArrayType(_Inert):
    """In place of numpy.ndarray, which is named and never called."""


class _Type(_Inert):
    """In place of numpy.dtype: numbers only."""

    def __init__(self, code, *_):
        if code not in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1"):
            raise pickle.UnpicklingError(f"arrays of {code!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state):
        if state[1] == ">":
            self.dtype = self.dtype.newbyteorder(">")


class _Array(_Inert):
    """In place of what numpy._reconstruct returns."""

    def __init__(self, *_):
        self.value = None

    def __setstate__(self, state):
        _, shape, kind, fortran, data = state
        if not isinstance(kind, _Type) or not isinstance(data, bytes):
            raise pickle.UnpicklingError("an array of something else than numbers")
        flat = np.frombuffer(data, kind.dtype)
        self.value = flat.reshape(shape, order="F" if fortran else "C")


class _FromBuffer(_Array):
    """In place of numpy.core.numeric._frombuffer, of protocol 5."""

    def __init__(self, data, kind, shape, order):
        self.value = np.frombuffer(data, kind.dtype).reshape(shape, order=order)


class _Scalar(_Inert):
    """In place of numpy.core.multiarray.scalar."""

    def __init__(self, kind, data):
        (self.value,) = np.frombuffer(data, kind.dtype)


class _Latin(_Inert):
    """In place of _codecs.encode, by which old pickles write bytes."""

    def __new__(cls, text, encoding):
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"bytes in {encoding!r}")
        return text.encode("latin1")


_STAND_INS = {
    ("numpy", "ndarray"): _ArrayType,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _Latin,
} | {
    (f"numpy.{core}.multiarray", name): stand_in
    for core in ("core", "_core")
    for name, stand_in in (("_reconstruct", _Array), ("scalar", _Scalar))
}
_STAND_INS |= {
    (f"numpy.{core}.numeric", "_frombuffer"): _FromBuffer for core in ("core", "_core")
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in _STAND_INS:
            raise _Refused(f"{module}.{name}")
        return _STAND_INS[module, name]


def _plain(value):
    """Stand-ins turned into arrays."""
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value.value if isinstance(value, _Array | _Scalar) else value
