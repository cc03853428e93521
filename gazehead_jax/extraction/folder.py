"""Many videos → a folder of motions and its manifest, on several processes, resumable."""

import dataclasses
import glob
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import as_completed
from pathlib import Path

from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.extraction.clip import ClipExtractor
from gazehead_jax.extraction.manifest import ManifestWriter, read_manifest, summarise
from gazehead_jax.extraction.preview import OUTLINE, write_preview
from gazehead_jax.extraction.settings import ExtractSettings
from gazehead_jax.motion_io import save_motion
from gazehead_jax.run_guard import exclusive

# What a folder is searched for; a file that is named is read whatever it is called.
SUFFIXES = frozenset(
    ".mp4 .m4v .mov .avi .mkv .webm .mpg .mpeg .ts .mts .wmv .flv .3gp .ogv".split()
)


@dataclasses.dataclass(frozen=True)
class Video:
    """One video of a run.

    Attributes:
      path: where it lies.
      name: its name in the manifest: relative to the folder that was given.
      target: its motions' path, relative to the output, without suffix.
      subject: who is in it; data are split by that.
    """

    path: Path
    name: str
    target: str
    subject: str


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
      done, total: clips of this run, without those that were done before.
      frames: of the clips done.
      seconds: since the run began.
      row: the manifest's row of the clip that was done last.
    """

    done: int
    total: int
    frames: int
    seconds: float
    row: dict

    @property
    def seconds_left(self) -> float:
        return self.seconds / self.done * (self.total - self.done)

    def __str__(self) -> str:
        return (
            f"{self.done}/{self.total} clips, {self.done / self.seconds:.2f} clips/s, "
            f"{self.frames / self.seconds:.0f} frames/s, {self.seconds_left:.0f} s left"
        )


def extract(
    inputs: str | os.PathLike | Sequence[str | os.PathLike],
    out: str | os.PathLike,
    settings: ExtractSettings | None = None,
    *,
    workers: int = 1,
    subject: str | None = None,
    preview: bool = False,
    progress: Callable[[Progress], None] | None = None,
    make: Callable[..., ClipExtractor] = ClipExtractor,
) -> dict:
    """Turns videos into `.npz` motions and a manifest, which `gazehead_folder` reads.

    A run that was stopped or killed goes on when it is started again: videos that are
    done under the same settings are not read again, and no file is ever half-written. A
    video that cannot be used gets a row with its reason; it never stops the others.

    Each video's person is its sub-folder in the folder given, or else the video itself.

    Programs that call this with several videos must guard their main module (`if
    __name__ == "__main__"`), since the workers import it.

    Args:
      inputs: videos, folders of them (searched through) or glob patterns.
      out: the folder to write to.
      settings: see `ExtractSettings`.
      workers: processes.
      subject: who is in all of them.
      preview: also draw each video with what was found, as `…_preview.mp4`.
      progress: is called after every clip.
      make: (settings, outline=…) → what turns a video into a `ClipResult`; the workers
        import it by its name.

    Returns:
      The sums over all videos of the inputs, see `manifest.summarise`.

    Raises:
      GazeheadError: no video, weights or packages missing, or `out` cannot be written
        or is in use.
    """
    settings = settings or ExtractSettings()
    require(workers >= 1, f"workers must be at least 1, got {workers}.")
    videos = find_videos([inputs] if isinstance(inputs, str | Path) else inputs)
    if subject is not None:
        videos = [dataclasses.replace(v, subject=subject) for v in videos]
    out = Path(out)
    # Several processes share one accelerator.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    with exclusive(out):
        for leftover in out.rglob(".*.npz"):  # of a run that was killed
            leftover.unlink()
        rows = {row["video"]: row for row in read_manifest(out)}
        todo = [v for v in videos if not _is_done(v, rows.get(v.name), settings, out)]
        if todo:
            writer = ManifestWriter(out)
            start, frames = time.monotonic(), 0
            arguments = (settings, out, preview, make)
            for done, row in enumerate(_results(todo, workers, arguments), 1):
                _remove_stale(rows.get(row["video"]), row, out)
                writer.add(row)
                rows[row["video"]] = row
                frames += row["frames"]
                seconds = time.monotonic() - start
                if progress:
                    progress(Progress(done, len(todo), frames, seconds, row))
        return summarise(rows[v.name] for v in videos)


def find_videos(inputs: Iterable[str | os.PathLike]) -> list[Video]:
    """The videos that are meant, each once, in order of their names.

    Raises:
      GazeheadError: something is not there, or there is no video in it.
    """
    found: dict[Path, str] = {}
    for given in inputs:
        path = Path(given)
        if path.is_dir():
            inside = sorted(
                p
                for p in path.rglob("*")
                if p.suffix.lower() in SUFFIXES and p.is_file()
            )
            require(
                bool(inside),
                f"{path}: no video in this folder; looked for "
                f"{' '.join(sorted(SUFFIXES))}.",
            )
            roots = [(p, path) for p in inside]
        elif path.is_file():
            roots = [(path, path.parent)]
        else:
            matches = sorted(
                Path(p) for p in glob.glob(os.fspath(given), recursive=True)
            )
            matches = [p for p in matches if p.is_file()]
            require(
                bool(matches),
                f"{given}: there is no such video, folder or match of a pattern.",
            )
            parents = [os.fspath(p.parent) for p in matches]
            root = Path(os.path.commonpath(parents))
            roots = [(p, root) for p in matches]
        for p, root in roots:
            found.setdefault(p.resolve(), p.relative_to(root).as_posix())
    require(bool(found), "extraction needs at least one video, got none.")
    names = Counter(found.values())
    stems = Counter(os.path.splitext(name)[0] for name in found.values())
    videos = []
    for path, name in found.items():
        require(
            names[name] == 1,
            f"two videos are called {name} in their folders; give the folder above "
            "both, or extract them to different places.",
        )
        stem = os.path.splitext(name)[0]
        # a.mov beside a.mp4.
        target = stem if stems[stem] == 1 else name.replace(".", "_")
        inner = Path(name).parts[:-1]
        videos.append(Video(path, name, target, inner[0] if inner else path.stem))
    return sorted(videos, key=lambda v: v.name)


def _is_done(video: Video, row: dict | None, settings, out: Path) -> bool:
    return (
        row is not None
        and "failed" not in row["rejected"]
        and (row["bytes"], row["modified"]) == _stat(video)
        and row["settings"] == settings.fingerprint()
        and row["subject"] == video.subject
        and all((out / name).is_file() for name in row["motions"])
    )


def _stat(video: Video) -> tuple[int, int]:
    stat = video.path.stat()
    return stat.st_size, int(stat.st_mtime)


def _remove_stale(before: dict | None, row: dict, out: Path) -> None:
    """Other settings may find fewer people in a video."""
    for name in set(before["motions"] if before else ()) - set(row["motions"]):
        (out / name).unlink(missing_ok=True)


def _results(todo: list[Video], workers: int, arguments) -> Iterable[dict]:
    """The rows of all videos, as they come."""
    if len(todo) == 1:
        _begin(*arguments)
        yield _work(todo[0])
        return
    try:
        from pebble import ProcessPool
    except ImportError as error:
        raise GazeheadError(
            "extraction of several videos needs pebble, which is not installed; "
            "pip install -e '.[extract]' in the clone."
        ) from error
    # What is missing is told before any process starts.
    _begin(*arguments)
    pool = ProcessPool(
        max_workers=min(workers, len(todo)),
        initializer=_begin,
        initargs=arguments,
        context=multiprocessing.get_context("spawn"),
    )
    try:
        futures = {pool.schedule(_work, args=(video,)): video for video in todo}
        for future in as_completed(futures):
            video = futures.pop(future)
            try:
                row = future.result()
            except GazeheadError:
                raise
            except Exception as error:  # The process itself died: memory, a bad codec.
                row = _row(video, arguments[0], failed_report(error))
            yield row
        pool.close()
    finally:
        pool.stop()
        pool.join()


_state: tuple[ClipExtractor, Path, bool]


def _begin(settings: ExtractSettings, out: Path, preview: bool, make) -> None:
    global _state
    _state = make(settings, outline=OUTLINE if preview else ()), out, preview


def _work(video: Video) -> dict:
    """One video's files and row.

    Raises:
      GazeheadError: its files cannot be written.
    """
    extractor, out, preview = _state
    try:
        result = extractor(video.path, subject=video.subject, source=video.name)
    except Exception as error:
        # A bug, or something no file should do; the next may be better.
        return _row(video, extractor.settings, failed_report(error))
    names = [f"{video.target}_{k}.npz" for k in range(len(result.motions))]
    if len(names) == 1:
        names = [f"{video.target}.npz"]
    for name, motion in zip(names, result.motions, strict=True):
        save_motion(out / name, motion)
    if preview and result.motions:
        write_preview(
            out / f"{video.target}_preview.mp4", video.path, result, extractor
        )
    return _row(video, extractor.settings, result.report, names)


def _row(video: Video, settings, report: dict, motions: Sequence[str] = ()) -> dict:
    size, modified = _stat(video)
    return {
        "video": video.name,
        "subject": video.subject,
        "bytes": size,
        "modified": modified,
        "settings": settings.fingerprint(),
        "motions": list(motions),
        **report,
    }


def failed_report(error: Exception) -> dict:
    """The report of a video whose extraction raised, see `ClipResult.report`."""
    text = str(error).strip().splitlines()
    return {
        "frames": 0,
        "seconds": 0.0,
        "fps": 0.0,
        "size": [0, 0],
        "kept": 0,
        "valid": 0,
        "rejected": {"failed": 1},
        "frame_reasons": {},
        "message": f"{type(error).__name__}: {text[0] if text else 'no message'}"[:300],
    }
