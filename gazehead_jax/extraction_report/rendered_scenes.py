"""Videos of rendered people whose gaze and head are known exactly.

Six faces (`head3d.PEOPLE`) with eyes of anatomical size, in full frames of a pinhole
camera. Each moves one axis at a time through its natural range, then all together.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from gazehead_jax.head3d import (
    ANATOMICAL_IRIS,
    PEOPLE,
    Look,
    View,
    load_person,
    make_renderer,
)
from gazehead_jax.motion import gaze_in_camera

AXES = ("head_pitch", "head_yaw", "head_roll", "eye_pitch", "eye_yaw")
RANGE = np.deg2rad([25.0, 40.0, 25.0, 20.0, 30.0])
FPS = 30
SWEEP = 32  # frames of one axis, there and back on both sides
TOGETHER = 96  # frames in which all axes move; 0 to 1 of the range
FRAME = (640, 480)
FOCAL_PX = 800.0
FOV_DEG = float(np.rad2deg(2 * np.arctan(max(FRAME) / 2 / FOCAL_PX)))
CENTRED = "centred"
BATCH = 8

# sRGB of skin, lips, hair and iris, and where the light comes from: half from the left.
_LEFT, _RIGHT = (-0.42, -0.55, -0.72), (0.42, -0.55, -0.72)
_LOOKS = {
    "african_female": (
        (0.42, 0.28, 0.21),
        (0.45, 0.25, 0.24),
        (0.08, 0.07, 0.07),
        (0.22, 0.13, 0.08),
        _LEFT,
    ),
    "african_male": (
        (0.33, 0.22, 0.17),
        (0.36, 0.20, 0.19),
        (0.06, 0.05, 0.05),
        (0.16, 0.09, 0.06),
        _RIGHT,
    ),
    "asian_female": (
        (0.88, 0.73, 0.62),
        (0.76, 0.42, 0.40),
        (0.10, 0.08, 0.08),
        (0.25, 0.15, 0.09),
        _RIGHT,
    ),
    "asian_male": (
        (0.76, 0.60, 0.48),
        (0.62, 0.40, 0.36),
        (0.07, 0.06, 0.06),
        (0.18, 0.11, 0.07),
        _LEFT,
    ),
    "caucasian_female": (
        (0.90, 0.74, 0.66),
        (0.78, 0.44, 0.43),
        (0.55, 0.42, 0.26),
        (0.30, 0.40, 0.30),
        _LEFT,
    ),
    "caucasian_male": (
        (0.80, 0.62, 0.53),
        (0.66, 0.40, 0.37),
        (0.30, 0.20, 0.13),
        (0.25, 0.42, 0.50),
        _RIGHT,
    ),
}


@dataclasses.dataclass(frozen=True)
class Scene:
    """One person before one camera.

    Attributes:
      condition: what is special about it.
      person: one of `head3d.PEOPLE`.
      place: middle between the eyes at rest, camera frame, metres.
      roll: the head is tilted so far throughout, radians.
    """

    condition: str
    person: str
    place: tuple[float, float, float] = (0.0, 0.0, 0.65)
    roll: float = 0.0


def scenes() -> list[Scene]:
    """All people in the middle; then two of them in each other place."""
    found = [Scene(CENTRED, person) for person in PEOPLE]
    # Off-centre by 15°, 15° and 9°.
    others = {
        "left": {"place": (-0.17, 0.0, 0.65)},
        "right": {"place": (0.17, 0.0, 0.65)},
        "above": {"place": (0.0, -0.10, 0.65)},
        "near": {"place": (0.0, 0.0, 0.45)},
        "far": {"place": (0.0, 0.0, 1.6)},
        "rolled": {"roll": float(np.deg2rad(20))},
    }
    pairs = [PEOPLE[0::3], PEOPLE[1::3], PEOPLE[2::3]]
    for index, (condition, where) in enumerate(others.items()):
        found += [Scene(condition, p, **where) for p in pairs[index % 3]]
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class Truth:
    """What is drawn.

    Attributes:
      gaze: `[t, 2]` camera frame, radians.
      head: `[t, 3]` camera frame, radians.
      eye: `[t, 2]` eye-in-head, radians.
      moving: `[t]` the only one of `AXES` that moves, or -1 where all do.
    """

    gaze: Float[np.ndarray, "t 2"]
    head: Float[np.ndarray, "t 3"]
    eye: Float[np.ndarray, "t 2"]
    moving: Int[np.ndarray, " t"]


def truth_of(scene: Scene, sweep: int = SWEEP, together: int = TOGETHER) -> Truth:
    """The movement of a scene: the same for all but for the random part."""
    phase = 2 * np.pi * np.arange(sweep) / sweep
    parts, moving = [], []
    for axis in range(len(AXES)):
        part = np.zeros((sweep, len(AXES)))
        part[:, axis] = RANGE[axis] * np.sin(phase)
        parts.append(part)
        moving.append(np.full(sweep, axis))
    rng = np.random.default_rng(list(f"{scene.condition} {scene.person}".encode()))
    time = np.arange(together) / FPS
    # Some seconds a cycle, so that nobody turns faster than people do.
    rate = rng.uniform(0.25, 0.6, (1, len(AXES)))
    start = rng.uniform(0, 2 * np.pi, (1, len(AXES)))
    wave = np.sin(2 * np.pi * rate * time[:, None] + start)
    # Half the range: all at their ends together is no natural pose.
    fade = np.clip(np.arange(together) / 10, 0, 1)[:, None]
    parts.append(0.6 * RANGE * wave * fade)
    moving.append(np.full(together, -1))
    angles = np.concatenate(parts)
    head, eye = angles[:, :3] + [0, 0, scene.roll], angles[:, 3:]
    return Truth(gaze_in_camera(eye, head), head, eye, np.concatenate(moving))


def frames_of(scene: Scene, truth: Truth) -> Iterator[np.ndarray]:
    """The pictures of a scene, RGB uint8 of size `FRAME`."""
    width, height = FRAME
    mesh = load_person(scene.person)
    skin, lips, hair, iris, key = _LOOKS[scene.person]
    draw = make_renderer(
        width,
        mesh=mesh,
        view=View(focal=FOCAL_PX / (width / 2), place=scene.place),
        look=Look(
            skin=skin,
            lips=lips,
            hair=hair,
            iris_colour=iris,
            key=key,
            eyeball=mesh.anatomical_eyeball,
            iris=ANATOMICAL_IRIS,
            pupil=0.2,
        ),
    )
    cut = (width - height) // 2
    for start in range(0, len(truth.gaze), BATCH):
        gaze, head = (
            np.resize(a[start : start + BATCH], (BATCH, a.shape[1])).astype(np.float32)
            for a in (truth.gaze, truth.head)
        )
        drawn = np.asarray(draw(gaze, head, np.zeros(BATCH, np.float32)))
        for frame in drawn[: len(truth.gaze) - start]:
            yield np.ascontiguousarray(frame[cut : cut + height])
