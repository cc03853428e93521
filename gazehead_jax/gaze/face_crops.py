"""Small pictures of parts of a face, from the pixels of the full frame.

They show what a camera sees that is turned to the face, as in `face_geometry`, and
perhaps rolled with the head.
"""

import numpy as np
from jaxtyping import Float, UInt8

from gazehead_jax.face_geometry import Camera, HeadFit
from gazehead_jax.gaze.shrink import square_sums
from gazehead_jax.motion import head_to_matrix


def head_slope(fit: HeadFit) -> Float[np.ndarray, " t"]:
    """Slope in radians, clockwise, of the head's left-right axis as seen.

    A camera rolled by it sees a head without roll. It is not the roll of the head
    itself: the axis of a head that is turned and pitched slopes, too.
    """
    return np.arctan2(fit.seen[:, 1, 0], fit.seen[:, 0, 0])


def rolled(slope: Float[np.ndarray, " t"]) -> Float[np.ndarray, "t 3 3"]:
    """Rotations frame of the camera rolled by `slope` → frame of the camera unrolled."""
    zero = np.zeros_like(slope)
    return head_to_matrix(np.stack([zero, zero, slope], -1))


def turned(fit: HeadFit) -> Float[np.ndarray, "t 3 3"]:
    """Rotations frame of the camera that is turned to the face → camera frame."""
    return fit.rotation @ fit.seen.transpose(0, 2, 1)


def square_corners(
    fit: HeadFit,
    camera: Camera,
    centre: Float[np.ndarray, "t 2"],
    side: Float[np.ndarray, " t"],
    slope: Float[np.ndarray, " t"],
) -> Float[np.ndarray, "t 3 2"]:
    """Top left, top right and bottom left of squares, in pixels of the full frame.

    Args:
      fit: of the face.
      camera: of the full frame.
      centre, side: of the squares, in the pixels of `fit.landmarks`.
      slope: of their upper sides, radians, clockwise.
    """
    ends = np.array([[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5]])
    ends = ends @ rolled(slope)[:, :2, :2].transpose(0, 2, 1)
    points = centre[:, None] + side[:, None, None] * ends
    depth = np.full_like(points[..., :1], camera.focal_px)
    ray = np.concatenate([points, depth], -1) @ turned(fit).transpose(0, 2, 1)
    return camera.focal_px * ray[..., :2] / ray[..., 2:] + camera.principal_point


def sample(
    image: UInt8[np.ndarray, "height width 3"],
    top_left: Float[np.ndarray, "2"],
    top_right: Float[np.ndarray, "2"],
    bottom_left: Float[np.ndarray, "2"],
    size: int,
) -> Float[np.ndarray, "size size 3"]:
    """A parallelogram of a picture at `size`² pixels, 0 to 255, float32.

    Bilinear. Where a new pixel covers two old ones or more across, these are averaged
    first, so that fine detail does not alias. Beyond the edge the edge goes on. Points
    are in pixels; (0, 0) is the outer corner of the first pixel.

    `normalise.sample` is another: for jit, of many homographies, out of pictures of one
    size, black beyond the edge. Its networks saw black there, those here the edge; and a
    few eyes of 60 pixels a frame are not worth the way to a device.
    """
    right, down = top_right - top_left, bottom_left - top_left
    shrink = round(max(np.linalg.norm([right, down], axis=1)) / size)
    shrink = int(np.clip(shrink, 1, min(image.shape[:2])))
    image, origin = _part(image, np.array([top_left, top_right, bottom_left]), shrink)
    start = (top_left - origin) / shrink - 0.5
    part = ((np.arange(size) + 0.5) / size)[:, None] / shrink
    x, y = (start + part * right + (part * down)[:, None]).astype(np.float32).T
    height, width = image.shape[:2]
    x, y = np.clip(x.T, 0, width - 1), np.clip(y.T, 0, height - 1)
    left, top = x.astype(np.int32), y.astype(np.int32)
    x, y = (x - left)[..., None], (y - top)[..., None]
    after, below = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    upper = image[top, left] * (1 - x) + image[top, after] * x
    lower = image[below, left] * (1 - x) + image[below, after] * x
    return upper * (1 - y) + lower * y


def _part(image, corners, shrink: int):
    """The part of an image about a parallelogram in means of `shrink`² pixels, float32.

    Also where it begins, in pixels of the image.
    """
    corners = np.concatenate([corners, corners[1:2] + corners[2:] - corners[:1]])
    size = np.array(image.shape[1::-1])
    # At least one new pixel is left, however far outside the frame the face is.
    first = np.clip(np.floor(corners.min(0)).astype(int) - 2 * shrink, 0, size - shrink)
    last = np.clip(
        np.ceil(corners.max(0)).astype(int) + 2 * shrink, first + shrink, size
    )
    part = image[first[1] : last[1], first[0] : last[0]]
    return square_sums(part, shrink).astype(np.float32) / shrink**2, first
