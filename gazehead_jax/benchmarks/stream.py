"""One frame a call, as in live use: the latency of `HeadStream.step`."""

import dataclasses
import os
import time
from collections.abc import Sequence

import numpy as np

from gazehead_jax.benchmarks import cases
from gazehead_jax.benchmarks.report import Report
from gazehead_jax.benchmarks.round_robin import undisturbed, used_by
from gazehead_jax.errors import require

# Microseconds that --check allows the median and the 99th percentile; 30 is the aim.
P50, P99 = 36.0, 150.0
# Heads of the stream and of the rollout, in radians.
TOLERANCE = 1e-5


@dataclasses.dataclass(frozen=True)
class Latency:
    """Microseconds of one call, with one sample; `error` against the rollout, in radians."""

    model: str
    p50: float
    p99: float
    longest: float
    error: float
    noisy: bool


def benchmark(models: Sequence[str] = cases.MODELS, frames: int = 20_000) -> Report:
    """Times every call of a stream, through the public interface.

    Args:
      models: see `cases.checkpoint`.
      frames: calls timed.

    Raises:
      GazeheadError: the stream is not the rollout.
    """
    rows = [latency(cases.checkpoint(model), model, frames) for model in models]
    lines = ["| | p50 µs | p99 µs | longest µs | max. error, rad |"]
    lines.append("|---|---:|---:|---:|---:|")
    lines += [
        f"| {r.model} | {r.p50:.1f}{'*' if r.noisy else ''} | {r.p99:.1f} | "
        f"{r.longest:.0f} | {r.error:.0e} |"
        for r in rows
    ]
    failures = [
        f"{r.model}: p50 {r.p50:.0f} µs, p99 {r.p99:.0f} µs; allowed {P50:g} and {P99:g}"
        for r in rows
        if r.p50 > P50 or r.p99 > P99
    ]
    notes = ["* taken while other programs were at work."]
    return Report(
        "Stream",
        f"`HeadStream.step`, one sample, {frames} calls one after another.",
        ["\n".join(lines)],
        {"latencies": [dataclasses.asdict(r) for r in rows]},
        failures,
        notes if any(r.noisy for r in rows) else [],
    )


def latency(checkpoint, name: str, frames: int) -> Latency:
    """One model's, after its first 200 heads were found equal to the rollout's."""
    from gazehead_jax.head_stream import HeadStream
    from gazehead_jax.rollout import initial_state, rollout, sample_keys

    gaze = cases.gaze_of(1, max(frames, 200))[0]
    start = gaze[None, :200]
    state = initial_state(checkpoint, sample_keys(0, 1))
    usable = np.ones((1, 200), bool)
    expected = next(rollout(checkpoint, state, start, usable, live=True))
    stream = HeadStream(checkpoint)
    made = np.stack([stream.step(g) for g in gaze[:200]], 1)
    error = float(np.abs(made - expected[:, :200]).max())
    require(
        error <= TOLERANCE,
        f"the stream of {name} differs from its rollout by {error:.1e} rad.",
    )
    taken = np.empty(frames)

    def run() -> float:
        for i in range(frames):
            before = time.perf_counter()
            stream.step(gaze[i])
            taken[i] = time.perf_counter() - before
        return float(np.median(taken))

    _, quiet = undisturbed(run, lambda: used_by([os.getpid()]))
    p50, p99 = 1e6 * np.percentile(taken, [50, 99])
    return Latency(
        name, float(p50), float(p99), float(1e6 * taken.max()), error, not quiet
    )
