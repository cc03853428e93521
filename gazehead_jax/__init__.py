"""Natural head motion from gaze, in JAX.

The names below are imported when they are first used, so that `import gazehead_jax` is
quick and pulls in no optional package.
"""

import importlib

from gazehead_jax.version import __version__ as __version__

_EXPORTS = {
    "Config": "config",
    "Controls": "controls",
    "ExtractSettings": "extraction",
    "GazeheadError": "errors",
    "HeadStream": "head_stream",
    "Motion": "motion",
    "evaluate": "evaluation",
    "extract": "extraction",
    "extract_clip": "extraction",
    "gaze_in_camera": "motion",
    "gaze_in_head": "motion",
    "load": "checkpoint",
    "load_motion": "motion_io",
    "load_split": "build",
    "mirror": "motion",
    "render": "rendering",
    "resample": "motion",
    "sample": "sampling",
    "save_motion": "motion_io",
    "simulate": "simulator",
    "train": "training",
}
__all__ = ["__version__", *_EXPORTS]


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module 'gazehead_jax' has no attribute {name!r}")
    return getattr(importlib.import_module(f"gazehead_jax.{_EXPORTS[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
