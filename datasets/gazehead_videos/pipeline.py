"""The Apache Beam steps of `gazehead_videos`. Only a build imports this."""

import contextlib
import dataclasses
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from etils import epath

from gazehead_jax.errors import require
from gazehead_jax.extraction.folder import failed_report
from gazehead_jax.motion_builder import to_example

REPORTS = "reports"


@dataclasses.dataclass(frozen=True)
class Clip:
    """One video.

    Attributes:
      key: its path below the folder.
      path: its path or URL.
      subject: who is seen.
      split: where it belongs.
    """

    key: str
    path: str
    subject: str
    split: str


class ExtractClip(beam.DoFn):
    """Clip → (key, example) pairs, tagged with the split, and a tagged JSON report.

    Args:
      make_extractor: makes `gazehead_jax.extraction.ClipExtractor` or what is called
        like one, once in each worker, which then holds the nets. Pickled.
    """

    def __init__(self, make_extractor: Callable):
        self._make_extractor = make_extractor

    def setup(self):
        self._extract = self._make_extractor()

    def process(self, clip: Clip):
        try:
            with _local(clip.path) as path:
                result = self._extract(path, subject=clip.subject, source=clip.key)
            motions, report = result.motions, result.report
        except Exception as error:
            # A runner would try it again, some four times, and then give up everything.
            motions, report = [], failed_report(error)
        keys = [f"{clip.key}#{i}" for i in range(len(motions))]
        for key, motion in zip(keys, motions, strict=True):
            yield beam.pvalue.TaggedOutput(clip.split, (key, to_example(motion)))
        row = {
            "video": clip.key,
            "subject": clip.subject,
            "split": clip.split,
            "motions": keys,
            **report,
        }
        yield beam.pvalue.TaggedOutput(REPORTS, json.dumps(row))
        _count("clips")
        _count("motions", len(motions))
        for reason, times in report["rejected"].items():
            _count(f"rejected: {reason}", times)


def extract(pipeline, clips: list[Clip], make_extractor: Callable, manifest: str):
    """Examples by split, as PCollections; writes one line a clip to `manifest`."""
    splits = sorted({clip.split for clip in clips})
    outputs = (
        pipeline
        | "Clips" >> beam.Create(clips, reshuffle=False)
        # Without it one worker gets them all, since a runner fuses the steps.
        | "Spread" >> beam.Reshuffle()
        | "Extract"
        >> beam.ParDo(ExtractClip(make_extractor)).with_outputs(*splits, REPORTS)
    )
    _ = (
        outputs[REPORTS]
        # Some hundred bytes a clip: one worker can hold those of a million.
        | "Collect" >> beam.combiners.ToList()
        | "Write" >> beam.Map(_write_lines, manifest)
    )
    return {split: outputs[split] for split in splits}


def pipeline_options(
    settings: tuple[str, ...], defaults: dict[str, str]
) -> PipelineOptions:
    """Beam's options of "NAME=VALUE" texts, or "NAME" for a switch.

    Raises:
      GazeheadError: an option that neither Beam nor the runner knows.
    """
    names = {setting.partition("=")[0].lstrip("-") for setting in settings}
    arguments = [f"--{k}={v}" for k, v in defaults.items() if k not in names]
    arguments += [f"--{setting.lstrip('-')}" for setting in settings]
    options = PipelineOptions(arguments)
    known = options.get_all_options()
    unknown = sorted(name for name in names if name not in known)
    require(
        not unknown,
        f"--beam takes options of Apache Beam, got unknown {', '.join(unknown)}.",
    )
    return options


@contextlib.contextmanager
def _local(path: str) -> Iterator[Path]:
    """A file that FFmpeg can open: the video itself, or a copy of a remote one."""
    if "://" not in path:
        yield Path(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / epath.Path(path).name
        # One that cannot be read is rejected as such, like one that is damaged.
        with contextlib.suppress(OSError):
            epath.Path(path).copy(local)
        yield local


def _write_lines(lines: list[str], path: str) -> None:
    # Each begins with the video's name.
    epath.Path(path).write_text("".join(f"{line}\n" for line in sorted(lines)))


def _count(name: str, times: int = 1) -> None:
    beam.metrics.Metrics.counter("gazehead_videos", name).inc(times)
