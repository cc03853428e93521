"""Gaze estimators: geometry of the iris, and converted appearance-based networks."""

from collections.abc import Callable
from pathlib import Path

from gazehead_jax.errors import require
from gazehead_jax.gaze.estimator import FaceFrames, GazeEstimator

__all__ = ["ESTIMATORS", "FaceFrames", "GazeEstimator", "make_estimator"]


def _iris(weights: Path | None) -> GazeEstimator:
    from gazehead_jax.gaze.iris import IrisEstimator

    return IrisEstimator()


# name → (folder with weights or None) → estimator.
ESTIMATORS: dict[str, Callable[[Path | None], GazeEstimator]] = {"iris": _iris}


def make_estimator(name: str, weights: str | Path | None = None) -> GazeEstimator:
    """The estimator of that name.

    Args:
      name: one of `ESTIMATORS`.
      weights: a folder that is looked through before the usual places.

    Raises:
      GazeheadError: there is none of that name, or its weights are not there.
    """
    require(
        name in ESTIMATORS,
        f"a gaze estimator is one of {', '.join(ESTIMATORS)}; got {name!r}.",
    )
    return ESTIMATORS[name](Path(weights) if weights else None)
