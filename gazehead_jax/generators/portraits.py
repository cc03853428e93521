"""What a portrait shows before a network sees it: its picture and where the faces are."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.video import read_video


def read_portrait(
    portrait: str | Path | UInt8[np.ndarray, "h w 3"],
) -> UInt8[np.ndarray, "h w 3"]:
    """The photo of a face in a file, or as it is given.

    Any picture or video that FFmpeg reads, of any size; upright, without alpha.

    Raises:
      GazeheadError: the file is missing or no picture that can be read.
    """
    if isinstance(portrait, np.ndarray):
        return portrait
    path = Path(portrait)
    require(path.is_file(), f"{path}: there is no such portrait.")
    try:
        _, picture = next(read_video(path))
    except GazeheadError as error:
        if "pip install" in str(error):
            raise
        raise GazeheadError(
            f"{path}: the portrait cannot be read as a picture; give a whole .png or .jpg."
        ) from error
    return picture


def find_faces(
    picture: UInt8[np.ndarray, "h w 3"], folder: str | Path | None = None
) -> Float[np.ndarray, "faces 478 3"]:
    """Landmarks of the faces in a picture, in pixels; two of them at most.

    Args:
      folder: where to look first for the landmark network's weights.

    Raises:
      GazeheadError: MediaPipe or its weights are missing.
    """
    from gazehead_jax.extraction.landmarks import LandmarkNet
    from gazehead_jax.weights import locate

    with LandmarkNet(locate("face_landmarker", folder, fetch=True).read_bytes()) as net:
        return net.detect(np.ascontiguousarray(picture), 0.0)
