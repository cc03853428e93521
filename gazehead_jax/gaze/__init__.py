"""Gaze estimators: geometry of the iris, and converted appearance-based networks."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from gazehead_jax import weights
from gazehead_jax.errors import require
from gazehead_jax.gaze.estimator import FaceFrames, GazeEstimator
from gazehead_jax.weight_catalogue import WEIGHTS

__all__ = ["ESTIMATORS", "FaceFrames", "GazeEstimator", "Known", "make_estimator"]


def _iris(path: None) -> GazeEstimator:
    from gazehead_jax.gaze.iris import IrisEstimator

    return IrisEstimator()


def _adas(path: Path) -> GazeEstimator:
    from gazehead_jax.gaze.adas import AdasEstimator

    return AdasEstimator(path)


def _xgaze(path: Path) -> GazeEstimator:
    from gazehead_jax.gaze.face_nets import XGazeEstimator

    return XGazeEstimator(path)


def _l2cs(path: Path) -> GazeEstimator:
    from gazehead_jax.gaze.face_nets import L2csEstimator

    return L2csEstimator(path)


def _unigaze(path: Path) -> GazeEstimator:
    from gazehead_jax.gaze.face_nets import UniGazeEstimator

    return UniGazeEstimator(path, variant="b")


@dataclasses.dataclass(frozen=True)
class Known:
    """An estimator before its weights are loaded.

    Attributes:
      make: (its weights, see `weights.locate`) → the estimator.
      weights: their name in `weight_catalogue.WEIGHTS`; None if it has none beside
        the landmarks'.
    """

    make: Callable[..., GazeEstimator]
    weights: str | None = None


ESTIMATORS: dict[str, Known] = {
    "iris": Known(_iris),
    "adas": Known(_adas, "gaze-estimation-adas-0002"),
    # Users bring these themselves; none may be used commercially.
    "xgaze": Known(_xgaze, "xgaze"),
    "l2cs": Known(_l2cs, "l2cs"),
    "unigaze": Known(_unigaze, "unigaze-b"),
}


def make_estimator(name: str, folder: str | Path | None = None) -> GazeEstimator:
    """The estimator of that name.

    Args:
      name: one of `ESTIMATORS`.
      folder: is looked through for weights before the usual places.

    Raises:
      GazeheadError: there is none of that name, or its weights are not there.
    """
    require(
        name in ESTIMATORS,
        f"a gaze estimator is one of {', '.join(ESTIMATORS)}; got {name!r}.",
    )
    known = ESTIMATORS[name]
    if known.weights is None:
        return known.make(None)
    commercial = WEIGHTS[known.weights].commercial
    return known.make(weights.locate(known.weights, folder, fetch=commercial))
