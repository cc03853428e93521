"""The picture of the character: reading, checking, and its two colour spaces."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.video import import_av

SIZE = 512
_PNG = b"\x89PNG\r\n\x1a\n"
_LAYOUT = (
    "one standing character who faces the viewer, the head within the 128 x 128 pixels "
    "in the middle of the upper half, nothing behind (alpha 0)"
)


def read_character(
    portrait: str | os.PathLike | np.ndarray,
) -> UInt8[np.ndarray, "512 512 4"]:
    """A character that is cut out, as the networks want it: sRGB and alpha.

    `portraits.read_portrait` reads a photo of a face, which has no alpha.

    Args:
      portrait: a PNG file, or such an array.

    Raises:
      GazeheadError: the file is missing, truncated, altered or no PNG; PyAV, which
        reads it, is missing; no alpha, or it hides nothing or all; not 512 × 512.
    """
    if isinstance(portrait, np.ndarray):
        name, picture = "the portrait", portrait
        require(
            picture.dtype == np.uint8 and picture.ndim == 3,
            f"a portrait for tha3 must be uint8 [512, 512, 4] (RGBA), got "
            f"{picture.dtype} {list(picture.shape)}.",
        )
    else:
        name, picture = str(portrait), _read_png(Path(portrait))
    height, width, channels = picture.shape
    require(
        channels == 4,
        f"{name} must have an alpha channel that cuts out the character, but it has "
        f"{channels} channels; save it as RGBA, with {_LAYOUT}.",
    )
    require(
        (height, width) == (SIZE, SIZE),
        f"{name} must be {SIZE} x {SIZE} pixels, got {width} x {height}; scale and pad it "
        f"so that it shows {_LAYOUT}.",
    )
    seen = picture[..., 3] > 0
    require(
        bool(seen.any() and not seen.all()),
        f"{name} must have alpha 0 around the character, but it is "
        f"{'opaque' if seen.any() else 'transparent'} everywhere; it must show {_LAYOUT}.",
    )
    return picture


def to_linear(
    picture: UInt8[np.ndarray, "h w 4"],
) -> Float[np.ndarray, "h w 4"]:
    """sRGB and alpha → linear RGB and alpha in [-1, 1]; -1 where nothing is seen."""
    values = picture / np.float32(255)
    rgb, alpha = values[..., :3], values[..., 3:]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    # What colour an invisible pixel has must not matter.
    linear = np.where(alpha > 0, linear, 0)
    return (np.concatenate([linear, alpha], -1) * 2 - 1).astype(np.float32)


def _read_png(path: Path) -> np.ndarray:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GazeheadError(
            f"{path} could not be read: {error.strerror or error}; check the path."
        ) from error
    require(
        data.startswith(_PNG),
        f"{path} must be a PNG file (with alpha), but it is not; save it as PNG.",
    )
    # The decoder would make up what a damaged file lacks.
    require(
        _is_whole(data),
        f"{path} is truncated or damaged (a checksum is wrong); save it again.",
    )
    av = import_av()
    try:
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
            opaque = not any(part.is_alpha for part in frame.format.components)
            # A palette's transparency is no component of its format.
            kind = "rgb24" if opaque and frame.format.name != "pal8" else "rgba"
            return frame.to_ndarray(format=kind)
    except (av.FFmpegError, StopIteration, ValueError) as error:
        raise GazeheadError(
            f"{path} could not be decoded as PNG ({error}); save it again."
        ) from error


def _is_whole(data: bytes) -> bool:
    """Whether all chunks are there and have their checksums."""
    at = len(_PNG)
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        body = data[at + 4 : at + 8 + length]
        check = data[at + 8 + length : at + 12 + length]
        if check != struct.pack(">I", zlib.crc32(body)):
            return False
        if body[:4] == b"IEND":
            return True
        at += 12 + length
    return False
