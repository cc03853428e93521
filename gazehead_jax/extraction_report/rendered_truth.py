"""Extraction against the truth: rendered people, written as video, extracted again."""

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gazehead_jax.extraction import ClipExtractor, ExtractSettings, checks
from gazehead_jax.extraction_report.measures import against_truth
from gazehead_jax.extraction_report.rendered_scenes import (
    AXES,
    CENTRED,
    FOV_DEG,
    FPS,
    Truth,
    frames_of,
    scenes,
    truth_of,
)
from gazehead_jax.extraction_report.signals import (
    heads_of,
    looks_of,
    probing_extractor,
)
from gazehead_jax.motion import head_to_matrix, matrix_to_head
from gazehead_jax.video import write_video

# How the camera is had.
KNOWN, GUESSED = "known", "guessed"


def rendered_truth(
    gaze: tuple[str, ...],
    *,
    weights: str | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> list[dict]:
    """Draws and extracts all scenes: with the true camera told, and, where the person is
    not in the middle, with a guessed one.

    Args:
      gaze: estimators, at least one.
      weights: see `ExtractSettings`.
      progress: is told what is being done.

    Returns:
      A row for each scene and way of having the camera: `condition`, `person`, `camera`
      and what `measured` tells.

    Raises:
      GazeheadError: as `probing_extractor` and `write_video`.
    """
    settings = ExtractSettings(gaze=gaze[0], compare=gaze[1:], weights=weights)
    known = dataclasses.replace(settings, fov_deg=FOV_DEG)
    extractors = {KNOWN: probing_extractor(known), GUESSED: probing_extractor(settings)}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for scene in scenes():
            progress(f"rendering {scene.person}, {scene.condition}")
            truth = truth_of(scene)
            path = Path(folder) / "rendered.mp4"
            write_video(path, frames_of(scene, truth), fps=FPS)
            for camera, extractor in extractors.items():
                if camera == KNOWN or scene.condition != CENTRED:
                    row = {"condition": scene.condition, "person": scene.person}
                    row |= {"camera": camera}
                    rows.append(row | measured(extractor, path, truth))
    return rows


def measured(extractor: ClipExtractor, path: Path, truth: Truth) -> dict:
    """One video of known gaze and head, extracted.

    Returns:
      `frames`; `found` and `valid` (shares of them); `reasons`; `zero_deg`, the pitch,
      yaw and roll at which a head is extracted that is drawn facing the camera;
      `gaze` (by estimator) and `heads` (by "mesh" and `OTHER_HEAD`, less its zero): axis
      → `all`, `eyes` and `head` (the frames in which all move, only the eyes by that
      axis, only the head) → `measures.against_truth`; and `pairs`: `head` and `gaze` (by
      estimator), each (extracted, true) in degrees.
    """
    result = extractor(path)
    total = len(truth.gaze)
    found = {
        "frames": total,
        "found": 0.0,
        "valid": 0.0,
        "reasons": result.report["rejected"] | result.report["frame_reasons"],
        "heads": {},
        "gaze": {},
    }
    if not result.tracks:
        return found
    frame = np.concatenate([track.frame for track in result.tracks])
    ok = np.concatenate(result.reasons) == checks.OK
    joined = lambda of: {
        name: np.concatenate([of(track)[name] for track in result.tracks])[ok]
        for name in of(result.tracks[0])
    }
    looks, heads = joined(lambda track: looks_of(extractor, track)), joined(heads_of)
    found |= {"found": len(frame) / total, "valid": float(ok.sum()) / total}
    if not ok.any():
        return found
    true_head, true_gaze, moving = (
        a[frame[ok]] for a in (truth.head, truth.gaze, truth.moving)
    )
    zeros = {name: zero_of(head, true_head) for name, head in heads.items()}
    heads = {
        name: matrix_to_head(head_to_matrix(head) @ zeros[name].T)
        for name, head in heads.items()
    }
    zero = matrix_to_head(zeros["mesh"])
    found["zero_deg"] = [float(a) for a in np.rad2deg(zero)]
    found["heads"] = {
        name: {
            axis: _by_mover(head[:, i], true_head[:, i], moving, axis)
            for i, axis in enumerate(("pitch", "yaw", "roll"))
        }
        for name, head in heads.items()
    }
    found["gaze"] = {
        name: {
            axis: _by_mover(look[:, i], true_gaze[:, i], moving, axis)
            for i, axis in enumerate(("pitch", "yaw"))
        }
        for name, look in looks.items()
    }
    found["pairs"] = {
        "head": np.rad2deg([heads["mesh"], true_head]),
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
