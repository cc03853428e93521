"""A video with what was found drawn on it: landmarks, head axes, gaze, reasons."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gazehead_jax.extraction import checks
from gazehead_jax.extraction.clip import LONGEST, ClipExtractor, ClipResult
from gazehead_jax.motion import angles_to_vector, head_to_matrix
from gazehead_jax.video import read_video, write_video

# Landmarks that are drawn: face oval, brows, lids, irises, nose, lips.
_OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378)
_OVAL += (400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21)
_OVAL += (54, 103, 67, 109)
_EYES = (33, 160, 159, 158, 133, 153, 145, 144, 362, 385, 386, 387, 263, 373, 374, 380)
_REST = (70, 105, 107, 336, 334, 300, 168, 4, 1, 98, 327, 61, 0, 291, 17, 13, 14)
_IRIS = (468, 469, 470, 471, 472, 473, 474, 475, 476, 477)
OUTLINE = _OVAL + _EYES + _REST + _IRIS

# RGB.
_GOOD, _BAD = (90, 210, 120), (235, 90, 80)
_AXES = ((235, 90, 80), (90, 200, 90), (90, 140, 250))  # x, y, z of the head
_GAZE = (255, 170, 40)


def write_preview(
    out: Path, video: Path, result: ClipResult, extractor: ClipExtractor
) -> Path:
    """Draws a clip's motions over its frames, in constant memory.

    The extractor must have been made with `outline=OUTLINE`.

    Raises:
      GazeheadError: the video breaks off or `out` cannot be written.
    """
    fps = result.report["fps"]
    return write_video(out, _drawn(video, result, extractor), fps=fps)


def _drawn(video, result, extractor) -> Iterator[np.ndarray]:
    gazes = [extractor.gaze_of(t, extractor.settings.gaze) for t in result.tracks]
    rows = [
        {int(n): row for row, n in enumerate(track.frame)} for track in result.tracks
    ]
    last = result.report["frames"] - 1
    for number, (_, image) in enumerate(read_video(video, longest=LONGEST)):
        picture = image.copy()
        label, colour = "no face that is used", _BAD
        for track, gaze, reasons, at in zip(
            result.tracks, gazes, result.reasons, rows, strict=True
        ):
            row = at.get(number)
            if row is None:
                continue
            reason = reasons[row]
            good = reason == checks.OK
            colour = _GOOD if good else _BAD
            label = "valid" if good else checks.FRAME_REASONS[reason]
            _draw_face(picture, track, row, gaze[row] if good else None, colour)
            label += "   " + _numbers(track.head[row], gaze[row])
        _write(picture, label, colour)
        height, width = picture.shape[:2]
        yield picture[: height - height % 2, : width - width % 2]
        if number == last:  # The rest of a file that breaks off.
            return


def _draw_face(picture, track, row, gaze, colour) -> None:
    import cv2

    width = track.width_px[row]
    thick = max(1, round(width / 140))
    for x, y in track.outline[row]:
        cv2.circle(picture, (round(x), round(y)), thick, colour, -1, cv2.LINE_AA)
    # Head axes start between the eyes (landmark 168), gaze at the irises' centres.
    points = dict(zip(OUTLINE, track.outline[row], strict=True))
    rotation = head_to_matrix(track.head[row])
    # The head's z axis goes into the head; what is drawn comes out of the face.
    for axis, tint in zip((rotation[:, 0], rotation[:, 1], -rotation[:, 2]), _AXES):  # noqa: B905
        _arrow(picture, points[168], axis, 0.35 * width, tint, thick)
    if gaze is not None:
        for iris in (468, 473):
            look = angles_to_vector(gaze)
            _arrow(picture, points[iris], look, 0.6 * width, _GAZE, thick + 1)


def _arrow(picture, start, direction, length, colour, thick) -> None:
    import cv2

    # Orthographic: what points at the viewer has no length.
    end = start + length * direction[:2]
    a, b = (tuple(int(v) for v in np.round(p)) for p in (start, end))
    cv2.arrowedLine(picture, a, b, colour, thick, cv2.LINE_AA, tipLength=0.15)


def _numbers(head, gaze) -> str:
    pitch, yaw, roll = np.rad2deg(head)
    text = f"head {pitch:+.0f} {yaw:+.0f} {roll:+.0f}"
    if np.isfinite(gaze).all():
        text += f"   gaze {np.rad2deg(gaze[0]):+.0f} {np.rad2deg(gaze[1]):+.0f}"
    return text


def _write(picture, text, colour) -> None:
    """A line of text on a bar at the top, as large as fits."""
    import cv2

    font, width = cv2.FONT_HERSHEY_SIMPLEX, picture.shape[1]
    length = cv2.getTextSize("valid   " + 2 * "head +00 +00 +00   ", font, 1.0, 1)[0][0]
    scale = min(
        0.8, (width - 12) / max(length, cv2.getTextSize(text, font, 1.0, 1)[0][0])
    )
    height = max(12, round(34 * scale))
    picture[:height] = (24, 26, 30)
    at = (6, round(0.72 * height))
    cv2.putText(picture, text, at, font, scale, colour, 1, cv2.LINE_AA)
