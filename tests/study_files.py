"""Small studies, and answers to them that no page wrote."""

import json

import numpy as np

from gazehead_jax.motion import Motion
from gazehead_jax.motion_io import save_motion
from gazehead_jax.study.results import Key

CONTACT = "Dr A. <b>Bold</b>, study@example.org"


def motion(seed: int, frames: int = 20, swing: float = 0.2) -> Motion:
    """The gaze is the seed's; the head swings by `swing` radians."""
    rng = np.random.default_rng(seed)
    gaze = 0.3 * np.sin(np.arange(frames)[:, None] / 9 + rng.uniform(0, 6, 2))
    head = swing * np.sin(np.arange(frames)[:, None] / 7 + np.arange(3))
    return Motion(gaze, head, 25)


def write_conditions(folder, conditions=("real", "model"), clips=2, frames=20) -> dict:
    """Label → folder of motion files; the conditions' heads differ."""
    for i, label in enumerate(conditions):
        for clip in range(clips):
            moved = motion(clip, frames, 0.1 * i)
            save_motion(folder / label / f"clip{clip}.npz", moved)
    return {label: folder / label for label in conditions}


def a_key(conditions=("real", "model", "rule"), per_pair=4, checks=2) -> Key:
    pairs = [(i, j) for i in range(len(conditions)) for j in range(i)]
    clips = {
        f"{i}-{n}": (i, f"clip{n}")
        for i in range(len(conditions))
        for n in range(per_pair)
    }
    return Key(
        study="abc",
        question="Which?",
        grades=5,
        conditions=tuple(conditions),
        pairs=tuple((j, i) for i, j in pairs),
        per_pair=per_pair,
        checks=checks,
        clips=clips,
        broken={f"broken-{n}": f"0-{n}" for n in range(checks)},
    )


def answers_of(key: Key, rate, missed: int = 0, seed: int = 0) -> list[dict]:
    """One participant's answers: `rate(pair, n)` is how much better its first is."""
    rng = np.random.default_rng(seed)
    trials = [
        (f"{i}-{n}", f"{j}-{n}", -rate((i, j), n))
        for i, j in key.pairs
        for n in range(key.per_pair)
    ]
    trials += [
        (good, bad, 0 if k < missed else -2)
        for k, (bad, good) in enumerate(key.broken.items())
    ]
    out = []
    for number, k in enumerate(rng.permutation(len(trials)), 1):
        a, b, rating = trials[k]
        if rng.integers(2):
            a, b, rating = b, a, -rating
        out.append(
            {"trial": number, "a": a, "b": b, "rating": rating}
            | {"seconds": 5.0, "plays_a": 1, "plays_b": 1}
        )
    return out


def write_result(path, key: Key, name: str, answers: list[dict]):
    values = {"format": "gazehead study result", "version": 1, "study": key.study}
    values |= {"participant": name, "started": "s", "finished": "f", "answers": answers}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))
    return path
