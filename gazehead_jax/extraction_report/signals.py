"""Every gaze and every head of real clips: of the file, and of nets that share little."""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from gazehead_jax.errors import require
from gazehead_jax.extraction import ClipExtractor, ExtractSettings, checks
from gazehead_jax.extraction.track import Track
from gazehead_jax.gaze.estimator import FaceFrames, FaceMeter
from gazehead_jax.weights import locate

# Gaze of the network that is told nothing of the head, and a head that knows nothing of
# the landmarks' shape.
BLIND, OTHER_HEAD = "adas, told no head", "head-pose network"


@dataclasses.dataclass(frozen=True, eq=False)
class Signals:
    """One person in one shot at the frames of the video, radians, camera frame.

    Attributes:
      name: of the clip.
      fps: of its frames.
      valid: `[t]` frames that the pipeline trusts and all estimators have.
      gaze: estimator → `[t, 2]`.
      head: "mesh", and maybe `OTHER_HEAD` → `[t, 3]`.
    """

    name: str
    fps: float
    valid: Bool[np.ndarray, " t"]
    gaze: dict[str, Float[np.ndarray, "t 2"]]
    head: dict[str, Float[np.ndarray, "t 3"]]


def probing_extractor(settings: ExtractSettings) -> ClipExtractor:
    """An extractor that, with "adas", also runs `BLIND` and `OTHER_HEAD` on every face.

    Raises:
      GazeheadError: as `ClipExtractor`; weights of the two nets are missing.
    """
    adas = "adas" in (settings.gaze, *settings.compare)
    return ClipExtractor(settings, also=_probes(settings.weights) if adas else ())


def looks_of(extractor: ClipExtractor, track: Track) -> dict[str, np.ndarray]:
    """Estimator → gaze `[t, 2]` of a track, `BLIND` among them if it was run."""
    settings = extractor.settings
    names = [settings.gaze, *settings.compare]
    names += [BLIND] if BLIND in track.measured else []
    return {name: extractor.gaze_of(track, name) for name in names}


def heads_of(track: Track) -> dict[str, np.ndarray]:
    """ "mesh" and, if it was run, `OTHER_HEAD` → head `[t, 3]` of a track."""
    heads = {"mesh": track.head}
    if OTHER_HEAD in track.measured:
        heads[OTHER_HEAD] = track.measured[OTHER_HEAD]
    return heads


def signals_of(
    extractor: ClipExtractor, path: Path, name: str
) -> tuple[list[Signals], dict]:
    """What a video shows, and its row of a manifest."""
    result = extractor(path)
    found = []
    for number, (track, reasons) in enumerate(
        zip(result.tracks, result.reasons, strict=True)
    ):
        gaze, head = looks_of(extractor, track), heads_of(track)
        valid = reasons == checks.OK
        for values in (*gaze.values(), *head.values()):
            valid &= np.isfinite(values).all(-1)
        whole = lambda values, at=track.frame: _on_all_frames(values, at)
        found.append(
            Signals(
                name=name if len(result.tracks) == 1 else f"{name} {number}",
                fps=result.report["fps"],
                valid=whole(valid[:, None])[:, 0] == 1,
                gaze={one: whole(values) for one, values in gaze.items()},
                head={one: whole(values) for one, values in head.items()},
            )
        )
    return found, result.report | {"motions": [name] * len(result.motions)}


def signals_of_all(
    videos: Iterable,
    gaze: tuple[str, ...],
    *,
    weights: str | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[list[Signals], list[dict]]:
    """Signals and manifest rows of videos, see `extraction.folder.find_videos`.

    Raises:
      GazeheadError: no video, or as `probing_extractor`.
    """
    videos = list(videos)
    require(bool(videos), "agreement needs at least one video, got none.")
    settings = ExtractSettings(gaze=gaze[0], compare=gaze[1:], weights=weights)
    extractor = probing_extractor(settings)
    signals, rows = [], []
    for number, video in enumerate(videos, 1):
        progress(f"extracting {video.name}, {number} of {len(videos)}")
        found, row = signals_of(extractor, video.path, video.name)
        signals += found
        rows.append(row)
    return signals, rows


def _on_all_frames(values: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Rows put at their frames, counted from the first; NaN between."""
    out = np.full((frame[-1] - frame[0] + 1, values.shape[1]), np.nan)
    out[frame - frame[0]] = values
    return out


def _probes(weights: str | None) -> list[FaceMeter]:
    from gazehead_jax.gaze.adas import AdasEstimator
    from gazehead_jax.gaze.head_pose_adas import HeadPoseAdas

    folder = locate("gaze-estimation-adas-0002", weights, fetch=True)
    blind = AdasEstimator(folder, head_input="zero")
    blind.name = BLIND
    folder = locate("head-pose-estimation-adas-0001", weights, fetch=True)
    return [blind, _HeadProbe(HeadPoseAdas(folder))]


@dataclasses.dataclass(frozen=True)
class _HeadProbe:
    """A head-pose net that sees the same pictures as gaze estimators."""

    net: object
    name: str = OTHER_HEAD
    width: int = 3

    @property
    def licence(self) -> str:
        return self.net.licence

    def measure(self, frames: FaceFrames) -> Float[np.ndarray, "n 3"]:
        return self.net.measure(frames)
