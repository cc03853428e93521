"""The clips of a study: read, held to one gaze, cut, and drawn or encoded alike."""

import dataclasses
import glob
import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from gazehead_jax.errors import require
from gazehead_jax.generators import Generator
from gazehead_jax.motion import Motion, wrap
from gazehead_jax.motion_io import SUFFIXES, load_motion
from gazehead_jax.rendering import render
from gazehead_jax.video import read_video, write_video

VIDEO_SUFFIXES = (".mp4", ".webm", ".mov", ".mkv", ".avi")
LONGEST_S = 60.0
# Of a ready video, pixels.
LONGEST_EDGE = 1024
# Files of one gaze differ by what a .csv rounds away, and no more.
GAZE_TOLERANCE = np.deg2rad(0.01)
# The broken clip of an attention check: how it jumps, and how often.
BROKEN_TURN = np.deg2rad([0.0, 45.0, 35.0])
BROKEN_S = 0.3


@dataclasses.dataclass(frozen=True)
class Clip:
    """One moving picture of a study.

    Attributes:
      condition: whose it is.
      name: what it shows; the clips of one name have the same gaze.
      source: a motion, or the path of a ready video.
      digest: of what it shows: names the clip's file.
      duration_s: seconds.
      fps: frames per second.
    """

    condition: str
    name: str
    source: Motion | Path
    digest: str
    duration_s: float
    fps: float

    def write(
        self, path: Path, face: Generator, tell: Callable[[str], None] | None = None
    ) -> None:
        """Draws or encodes the clip as `.mp4`.

        A ready video is encoded anew, without sound or metadata: so all went through one
        encoder, and none tells where it comes from. For the same reason a drawn clip
        carries no mark of its model; the study's consent page says what it is.

        Args:
          path: where to.
          face: what draws motions.
          tell: see `rendering.render`.
        """
        if isinstance(self.source, Motion):
            render(self.source, path, generator=face, mark=False, tell=tell)
        else:
            pictures = (f for _, f in read_video(self.source, longest=LONGEST_EDGE))
            write_video(path, map(_even, pictures), fps=self.fps)

    def write_broken(self, path: Path, face: Generator) -> None:
        """Writes what no one could take for natural: a head that jumps to and fro; a
        ready video upside down every other third of a second."""
        if isinstance(self.source, Motion):
            side = np.arange(len(self.source)) / self.fps // BROKEN_S % 2 * 2 - 1
            head = side[:, None] * BROKEN_TURN
            render(self.source.replace(head=head), path, generator=face, mark=False)
        else:
            pictures = (f for _, f in read_video(self.source, longest=LONGEST_EDGE))
            turned = (
                frame[::-1] if i / self.fps // BROKEN_S % 2 else frame
                for i, frame in enumerate(map(_even, pictures))
            )
            write_video(path, turned, fps=self.fps)


def read_clips(
    conditions: Mapping[str, str | Path],
    seconds: float | int | None = None,
    excerpts: int = 1,
) -> dict[str, list[Clip]]:
    """The clips of each condition, in one order: those of one place show one gaze.

    Files belong together by their names without suffix; where each condition has one
    file, it may have any name.

    Args:
      conditions: label → a folder, file or pattern (as `heads/*.npz`) of motion files or
        of videos.
      seconds: length of the excerpts to cut motions into; whole if left out.
      excerpts: how many to cut of each motion, spread evenly.

    Raises:
      GazeheadError: nothing is found, the conditions' files do not belong together, the
        gaze of motions or the length of videos differs, or a clip is too long or short.
    """
    files = {label: _files(label, path) for label, path in conditions.items()}
    kinds = {path.suffix in SUFFIXES for found in files.values() for path in found}
    require(
        len(kinds) == 1,
        "a study's clips are all motion files or all videos, got both; render the "
        "motions first.",
    )
    (first, names), *others = ((k, [p.stem for p in v]) for k, v in files.items())
    for label, other in others:
        require(
            len(names) == len(other) and (len(names) == 1 or names == other),
            f"conditions {first!r} and {label!r} must have files of the same names (for "
            f"the same gaze), got {_some(names)} and {_some(other)}.",
        )
    read = _read_motions if kinds == {True} else _read_videos
    if read is _read_videos:
        require(
            seconds is None and excerpts == 1,
            "only motion files are cut into excerpts; cut the videos first.",
        )
    out = {label: [] for label in files}
    for name, *paths in zip(names, *files.values(), strict=True):
        group = dict(zip(files, paths, strict=True))
        for clips in read(name, group, seconds, excerpts):
            for label, clip in clips.items():
                out[label].append(clip)
    for clip in out[first]:
        require(
            0.2 <= clip.duration_s <= LONGEST_S,
            f"a clip must last .2 to {LONGEST_S:g} s, got {clip.duration_s:.2g} s for "
            f"{clip.name!r}; cut motions with --seconds.",
        )
    return out


def _files(label: str, path: str | Path) -> list[Path]:
    pattern = str(path)
    if Path(pattern).is_dir():
        pattern = str(Path(glob.escape(pattern)) / "*")
    found = (
        [Path(pattern)] if Path(pattern).is_file() else map(Path, glob.glob(pattern))
    )
    kept = [p for p in found if p.suffix.lower() in SUFFIXES + VIDEO_SUFFIXES]
    require(
        bool(kept),
        f"condition {label!r}: there is no motion file ({', '.join(SUFFIXES)}) or video "
        f"({', '.join(VIDEO_SUFFIXES)}) at {path}; give a folder, a file or a pattern.",
    )
    stems = [p.stem for p in kept]
    require(
        len(set(stems)) == len(stems),
        f"condition {label!r}: file names must differ by more than their suffix, got "
        f"{_some(sorted(stems))}.",
    )
    return sorted(kept, key=lambda p: p.stem)


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" … ({len(names)})" if len(names) > 4 else "")


def _read_motions(
    name: str, paths: Mapping[str, Path], seconds, excerpts: int
) -> Iterator[dict[str, Clip]]:
    motions = {label: load_motion(path) for label, path in paths.items()}
    first, base = next(iter(motions.items()))
    valid = np.logical_and.reduce(_equally_long(name, motions))
    for label, motion in motions.items():
        motion.require_head()
        apart = np.abs(wrap(motion.gaze - base.gaze))[valid]
        require(
            bool((apart <= GAZE_TOLERANCE).all()),
            f"clip {name!r}: the gaze must be the same in every condition, but "
            f"{first!r} and {label!r} differ by up to "
            f"{np.rad2deg(apart.max(initial=0)):.2f}°; sample heads for one gaze file.",
        )
    # The eyes are drawn from one gaze and shut in one rhythm, to the bit.
    motions = {k: m.replace(gaze=base.gaze, valid=valid) for k, m in motions.items()}
    for place, part in _parts(name, base, seconds, excerpts).items():
        cut = {label: motion[part] for label, motion in motions.items()}
        require(
            bool(valid[part].any()),
            f"clip {place!r} has no valid frame; choose other --seconds or --excerpts.",
        )
        yield {
            label: Clip(
                label, place, motion, _digest(motion), motion.duration_s, motion.fps
            )
            for label, motion in cut.items()
        }


def _equally_long(name: str, motions: Mapping[str, Motion]) -> list[np.ndarray]:
    (first, base), *_ = motions.items()
    for label, motion in motions.items():
        require(
            len(motion) == len(base) and abs(motion.fps - base.fps) < 1e-6,
            f"clip {name!r}: the motions must be equally long, but {first!r} has "
            f"{len(base)} frames at {base.fps:g} fps and {label!r} {len(motion)} at "
            f"{motion.fps:g}; `gazehead convert --fps` resamples.",
        )
    return [motion.valid for motion in motions.values()]


def _parts(name: str, motion: Motion, seconds, excerpts: int) -> dict[str, slice]:
    if seconds is None:
        require(excerpts == 1, "--excerpts needs --seconds, the length of each.")
        return {name: slice(0, len(motion))}
    count = round(seconds * motion.fps)
    require(
        count > 0 and excerpts > 0 and count * excerpts <= len(motion),
        f"clip {name!r} lasts {motion.duration_s:.3g} s, got {excerpts} excerpt(s) of "
        f"{seconds:g} s to cut from it; ask for fewer or shorter ones.",
    )
    room = len(motion) / excerpts
    starts = [round(i * room + (room - count) / 2) for i in range(excerpts)]
    if excerpts == 1:
        return {name: slice(starts[0], starts[0] + count)}
    return {f"{name}/{i}": slice(s, s + count) for i, s in enumerate(starts)}


def _read_videos(
    name: str, paths: Mapping[str, Path], seconds, excerpts: int
) -> Iterator[dict[str, Clip]]:
    clips = {}
    for label, path in paths.items():
        times = [time for time, _ in read_video(path, longest=16)]
        require(len(times) > 1, f"{path}: a clip needs more than one frame, got one.")
        fps = (len(times) - 1) / times[-1]
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        clips[label] = Clip(label, name, path, digest, len(times) / fps, fps)
    first, *others = clips.values()
    for other in others:
        require(
            abs(other.duration_s - first.duration_s) <= 0.1,
            f"clip {name!r}: the videos must be equally long, but {first.condition!r} "
            f"lasts {first.duration_s:.2f} s and {other.condition!r} "
            f"{other.duration_s:.2f} s; cut the longer one.",
        )
    yield clips


def _digest(motion: Motion) -> str:
    what = hashlib.sha256()
    for array in (motion.gaze, motion.head, motion.valid, np.float64(motion.fps)):
        what.update(np.ascontiguousarray(array).tobytes())
    return what.hexdigest()


def _even(frame: np.ndarray) -> np.ndarray:
    """The frame without an odd last row or column, which h264 does not take."""
    height, width = (n // 2 * 2 for n in frame.shape[:2])
    return frame[:height, :width]
