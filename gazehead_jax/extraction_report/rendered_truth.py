"""Extraction against the truth: rendered people, written as video, extracted again."""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from gazehead_jax.extraction import ClipExtractor, ExtractSettings, checks
from gazehead_jax.extraction_report.measures import against_truth
from gazehead_jax.extraction_report.rendered_scenes import (
    AXES,
    FPS,
    Scene,
    Truth,
    frames_of,
    scenes,
    truth_of,
)
from gazehead_jax.motion import gaze_in_head, head_to_matrix, matrix_to_head
from gazehead_jax.video import write_video

# How the camera is had → what is told of it.
CAMERAS = ("known", "guessed")


def rendered_truth(
    gaze: tuple[str, ...],
    *,
    weights: str | None = None,
    only: Iterable[Scene] | None = None,
    progress: Callable[[str], None] = lambda text: None,
    make: Callable[[ExtractSettings], ClipExtractor] = ClipExtractor,
) -> list[dict]:
    """Draws and extracts all scenes.

    Args:
      gaze: estimators, at least one.
      weights: see `ExtractSettings`.
      only: these scenes instead of `scenes()`.
      progress: is told what is being done.
      make: settings → what extracts a clip.

    Returns:
      A row for each scene and way of having the camera; see `measured`. `pairs` beside
      it holds the trajectories of true and extracted angles in degrees, for drawing.

    Raises:
      GazeheadError: as `ClipExtractor` and `write_video`.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for scene in scenes() if only is None else only:
            progress(f"rendering {scene.person}, {scene.condition}")
            truth = truth_of(scene)
            path = Path(folder) / "rendered.mp4"
            write_video(path, frames_of(scene, truth), fps=FPS)
            for camera in CAMERAS:
                settings = ExtractSettings(
                    gaze=gaze[0],
                    compare=gaze[1:],
                    fov_deg=scene.fov_deg if camera == "known" else None,
                    weights=weights,
                )
                rows.append(
                    {"condition": scene.condition, "person": scene.person}
                    | {"camera": camera}
                    | measured(make(settings), path, truth, gaze)
                )
    return rows


def measured(
    extractor: ClipExtractor, path: Path, truth: Truth, gaze: tuple[str, ...]
) -> dict:
    """One video of known gaze and head, extracted.

    Returns:
      `frames`; `found` and `valid` (shares of them); `reasons`; `zero_deg`, the pitch,
      yaw and roll at which a head is extracted that is drawn facing the camera; `head`
      and `gaze` (by estimator): axis → `all`, `eyes` and `head` (the frames in which
      all move, only the eyes by that axis, only the head) → `measures.against_truth`;
      `aligned_mae_deg`: of the head once its zero is taken away; and `pairs`.
    """
    result = extractor(path)
    total = len(truth.gaze)
    found = {
        "frames": total,
        "found": 0.0,
        "valid": 0.0,
        "reasons": result.report["rejected"] | result.report["frame_reasons"],
    }
    if not result.tracks:
        return found | {"head": {}, "gaze": {name: {} for name in gaze}}
    frame = np.concatenate([track.frame for track in result.tracks])
    ok = np.concatenate(result.reasons) == checks.OK
    head = np.concatenate([track.head for track in result.tracks])[ok]
    looks = {
        name: np.concatenate([extractor.gaze_of(t, name) for t in result.tracks])[ok]
        for name in gaze
    }
    found |= {"found": len(frame) / total, "valid": float(ok.sum()) / total}
    frame = frame[ok]
    true_head, true_gaze, moving = (
        a[frame] for a in (truth.head, truth.gaze, truth.moving)
    )
    zero = zero_of(head, true_head)
    aligned = matrix_to_head(head_to_matrix(head) @ zero.T)
    found["zero_deg"] = [float(a) for a in np.rad2deg(matrix_to_head(zero))]
    found["aligned_mae_deg"] = [
        float(a) for a in np.rad2deg(np.abs(aligned - true_head).mean(0))
    ]
    found["head"] = {
        axis: _by_mover(aligned[:, i], true_head[:, i], moving, axis)
        for i, axis in enumerate(("pitch", "yaw", "roll"))
    }
    found["gaze"] = {
        name: {
            axis: _by_mover(look[:, i], true_gaze[:, i], moving, axis)
            for i, axis in enumerate(("pitch", "yaw"))
        }
        for name, look in looks.items()
    }
    found["pairs"] = {
        "head": np.rad2deg([aligned, true_head]),
        "eye": {
            name: np.rad2deg(
                [gaze_in_head(look, aligned), gaze_in_head(true_gaze, true_head)]
            )
            for name, look in looks.items()
        },
        "gaze": {name: np.rad2deg([look, true_gaze]) for name, look in looks.items()},
    }
    return found


def zero_of(head: np.ndarray, true: np.ndarray) -> np.ndarray:
    """`[3, 3]` what the extracted head is when the drawn one faces the camera.

    Two definitions of "straight ahead" of the same skull differ by a rotation that
    stays the same however it turns. No estimator can know it: it is told, not counted.
    """
    turn = np.einsum("tji,tjk->ik", head_to_matrix(true), head_to_matrix(head))
    u, _, vt = np.linalg.svd(turn)
    return u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt


def _by_mover(estimated, true, moving, axis: str) -> dict:
    movers = {"all": moving == -1}
    for part, short in (("eyes", "eye"), ("head", "head")):
        name = f"{short}_{axis}"
        if name in AXES:
            movers[part] = moving == AXES.index(name)
    return {
        part: against_truth(estimated[which], true[which])
        for part, which in movers.items()
    }
