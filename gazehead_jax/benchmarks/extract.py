"""Extraction: frames a second of each stage and of all, and of the gaze network."""

import dataclasses
import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gazehead_jax import weights
from gazehead_jax.benchmarks import contest
from gazehead_jax.benchmarks.contest import OURS, Contest, Limit, number
from gazehead_jax.benchmarks.report import Key, Report
from gazehead_jax.benchmarks.round_robin import Series, rounds, started
from gazehead_jax.benchmarks.worker import RIVALS, RUNNERS, Runner
from gazehead_jax.errors import GazeheadError, require

STAGES_IN, NETS_IN = (f"gazehead_jax.benchmarks.{n}" for n in ("stages", "gaze_net"))
OF_PICTURES = f"{RIVALS}.picture_rivals"
# What the extra `extract` brings.
NEEDED = ("av", "mediapipe", "scenedetect")
STAGES = ("decoding", "cuts", "landmarks", "head and gaze", "all together")
# Pictures of two decoders: their colour conversions round differently, in grey levels.
LEVELS = 1.5
# Of the outputs of the gaze network with random weights, which are about one.
GAZE_TOLERANCE = 1e-4
FLOORS = {
    ("decoding video", "OpenCV"): 0.8,
    ("faces through ResNet-50", "torch eager"): 0.6,
    ("faces through ResNet-50", "OpenVINO"): 0.25,
}


def _runner(module: str, kind: str, *arguments, needs: str = "numpy") -> Runner:
    return Runner(module, kind, arguments, needs, "run", case=False)


def sgemm() -> dict[str, Runner]:
    """What measures the peak of matrix products, in each library."""
    return {
        name: runner._replace(case=False)
        for name, runner in RUNNERS.items()
        if name.startswith("sgemm")
    }


def benchmark(
    size: int = 512,
    frames: int = 60,
    faces: int = 16,
    edge: int = 224,
    count: int = 5,
    seconds: float = 0.3,
    progress: Callable[[str], None] = lambda line: None,
) -> Report:
    """Times extraction on a clip of the rendered head, and a gaze network.

    Args:
      size: edge of the clip's pictures, pixels.
      frames: of the clip, at 30 a second.
      faces, edge: crops that the network takes at once, and their edge in pixels.
      count: rounds.
      seconds: of each measurement.
      progress: told what is going on.

    Raises:
      GazeheadError: a rival computes something else, or a process failed.
    """
    tables, results, notes, keys, numbers = [], [], [], [], {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        missing = [p for p in NEEDED if importlib.util.find_spec(p) is None]
        if missing:
            notes.append(
                f"Left out: the stages, as {', '.join(missing)} "
                f"{'is' if len(missing) == 1 else 'are'} not installed; pip install "
                "-e '.[extract]' in the clone."
            )
        else:
            progress("rendering a clip")
            write_clip(folder / "clip.mp4", size, frames)
            decoding = Contest(
                "decoding video",
                "frames",
                frames,
                {
                    OURS: _runner(STAGES_IN, "Decoding", needs="av"),
                    "OpenCV": _runner(OF_PICTURES, "OpenCvDecoder", needs="cv2"),
                },
                LEVELS,
                lambda a, b: float(np.abs(a - b).mean()),
                "mean difference, grey levels",
            )
            results.append(contest.hold(decoding, folder, count, seconds, progress))
            try:
                weights.locate("face_landmarker", fetch=True)
            except GazeheadError as error:
                notes.append(f"Left out: the stages after decoding; {error}")
            else:
                series = _stages(folder, count, seconds, progress)
                tables.append(_stage_table(series, size, frames))
                keys.append(_stage_key(series, size, frames))
                numbers["stages"] = {
                    n: {"frames_per_second": frames / s.median, "noisy": s.noisy}
                    for n, s in series.items()
                }
                if any(s.noisy for s in series.values()):
                    notes.append(contest.NOISY)
        net = _gaze_net(folder, faces, edge)
        results.append(contest.hold(net, folder, count, seconds, progress))
    keys += [r.key() for r in results]
    return Report(
        "Extraction",
        "One process; the clip shows this package's own 3-D head.",
        [*tables, *(contest.table(r) for r in results)],
        numbers | {"results": [dataclasses.asdict(r) for r in results]},
        contest.failures(results, FLOORS),
        list(dict.fromkeys(notes + contest.notes(results))),
        keys,
    )


def write_clip(path: Path, size: int, frames: int) -> None:
    """The 3-D head looks about, at 30 frames a second."""
    from gazehead_jax.benchmarks.cases import gaze_of
    from gazehead_jax.motion import Motion
    from gazehead_jax.rendering import render

    gaze = gaze_of(1, frames)[0]
    head = np.concatenate([0.5 * gaze, 0.1 * gaze[:, 1:]], 1)
    motion = Motion(gaze=gaze, head=head, fps=30.0, source="benchmark")
    render(motion, path, size=size, supersample=1)


def _stages(folder: Path, count: int, seconds: float, progress) -> dict[str, Series]:
    progress("stages")
    runners = {stage: _runner(STAGES_IN, "Stage", stage) for stage in STAGES[1:]}
    runners = {STAGES[0]: _runner(STAGES_IN, "Decoding")} | runners
    with started(STAGES, folder, runners) as workers:
        made, _ = contest.outputs_of(workers, folder)
        for stage, output in made.items():
            require(
                output.size > 0 and bool(np.isfinite(output).all()),
                f"the stage {stage!r} gives nothing for the rendered clip.",
            )
        return rounds(workers, count, seconds, progress)


def _stage_table(series: dict[str, Series], size: int, frames: int) -> str:
    whole = series[STAGES[-1]].median
    lines = [
        f"**Stages** ({frames} frames of {size} × {size}, gaze from the iris). All "
        f"together run at {_of_landmarks(series):.0%} of what the landmark net alone "
        "allows.",
        "",
        "| | frames/s | ms a frame | of the time of all |",
        "|---|---:|---:|---:|",
    ]
    for stage, s in series.items():
        mark = "*" if s.noisy else ""
        lines.append(
            f"| {stage} | {number(frames / s.median)}{mark} | "
            f"{1e3 * s.median / frames:.2f} | {s.median / whole:.0%} |"
        )
    return "\n".join(lines)


def _of_landmarks(series: dict[str, Series]) -> float:
    return series["landmarks"].median / series[STAGES[-1]].median


def _stage_key(series: dict[str, Series], size: int, frames: int) -> Key:
    rate = number(frames / series[STAGES[-1]].median)
    return Key(
        f"extraction, video of {size} × {size} → motion",
        f"{rate} frames/s",
        "",
        f"{_of_landmarks(series):.0%} of MediaPipe's landmark net alone",
    )


def _gaze_net(folder: Path, faces: int, edge: int) -> Contest:
    from gazehead_jax.benchmarks import gaze_net

    work = gaze_net.write_case(folder, faces, edge)
    torch = lambda form, needs: _runner(OF_PICTURES, "ResNetRival", form, needs=needs)
    return Contest(
        "faces through ResNet-50",
        "faces",
        faces,
        {
            OURS: _runner(NETS_IN, "Ours", needs="jax"),
            "torch eager": torch("eager", "torch"),
            "torch script": torch("script", "torch"),
            "OpenVINO": torch("openvino", "openvino"),
        },
        GAZE_TOLERANCE,
        limit=Limit("the largest matrix product's rate", sgemm(), work / faces),
    )
