"""What a GPU does with all of this, in one command of under eight minutes.

  python -m gazehead_jax.benchmarks.gpu --out benchmarks/gpu

Sampling by `lax.scan` and by the kernel of `one_kernel` for two sizes and six numbers of
rows, a training step, the network that extraction spends its time in, and rendering; each
with its share of the matrix peak that the same run measures. Results come as Markdown and
JSON. What fails or no longer fits the time is said, and the rest goes on.

It runs on any backend of JAX; without a GPU the kernel is interpreted, which is no speed.
"""

import argparse
import dataclasses
import functools
import json
import platform
import statistics
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from gazehead_jax import networks
from gazehead_jax.benchmarks import cases
from gazehead_jax.config import Config, load_experiment
from gazehead_jax.files import atomic_path
from gazehead_jax.model import Windows
from gazehead_jax.one_kernel import rollout_kernel
from gazehead_jax.version import __version__


@dataclasses.dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
      rows: numbers of samples at once.
      frames: of a timed rollout.
      hidden: of ("natural", "frame"); None for their own.
      matrix: side of the products that measure the peak.
      batch: windows of a training step.
      faces: pictures that the gaze network takes at once.
      picture: edges of what is rendered, pixels.
      seconds: a measurement repeats for so long.
    """

    rows: tuple[int, ...] = (1, 64, 512, 2048, 16_384, 65_536)
    frames: int = 256
    hidden: tuple[int | None, int | None] = (None, None)
    matrix: int = 8192
    batch: int = 1024
    faces: int = 32
    picture: tuple[int, ...] = (256, 512)
    seconds: float = 0.5


TINY = Size((1, 20), 8, (16, 16), 64, 4, 1, (64,), 0.0)
MODELS = ("natural", "frame")


class Clock:
    """Times calls, and knows when the time is up."""

    def __init__(self, seconds: float, budget_s: float):
        self.seconds, self._end = seconds, time.monotonic() + budget_s

    def over(self) -> bool:
        return time.monotonic() > self._end

    def measure(self, call) -> float:
        """Median seconds of a call that is already compiled."""
        times, begin = [], time.perf_counter()
        while len(times) < 3 or time.perf_counter() - begin < self.seconds:
            start = time.perf_counter()
            jax.block_until_ready(call())
            times.append(time.perf_counter() - start)
        return statistics.median(times)


def peaks(size: Size, clock: Clock) -> dict[str, float]:
    """TFLOP/s of large matrix products by type; "float32" as JAX does it by default."""
    found = {}
    for name, dtype, precision in (
        ("bfloat16", jnp.bfloat16, None),
        ("float32", jnp.float32, None),
        ("float32 highest", jnp.float32, jax.lax.Precision.HIGHEST),
    ):
        a = jnp.ones((size.matrix, size.matrix), dtype)
        product = jax.jit(functools.partial(jnp.matmul, precision=precision))
        product(a, a).block_until_ready()
        seconds = clock.measure(lambda product=product, a=a: product(a, a))
        found[name] = 2 * size.matrix**3 / seconds / 1e12
    return found


def sampling(size: Size, clock: Clock, tell) -> list[dict]:
    """Rows of the sampling table; the scan comes first in each group."""
    rows = []
    for model, hidden in zip(MODELS, size.hidden, strict=True):
        made = cases.checkpoint(model, hidden)
        params = jax.tree.map(jnp.asarray, made.params)
        flops = 2 * sum(
            x.size
            for path, x in jax.tree_util.tree_leaves_with_path(params["cell"])
            if path[-1].key == "kernel" and path[0].key != "posterior_state"
        )
        for count in size.rows:
            inputs = _inputs(made.config, count, size.frames)
            exact = None
            for form, run in _forms(made.config.model).items():
                row = {"model": model, "hidden": made.config.model.hidden}
                row |= {"rows": count, "form": form}
                if clock.over():
                    rows.append(row | {"failed": "no time was left"})
                    continue
                try:
                    call = functools.partial(run, params, *inputs)
                    _, heads = jax.block_until_ready(call())
                    seconds = clock.measure(call)
                except Exception as error:
                    # The next form may work; what this one said is a result.
                    row["failed"] = f"{type(error).__name__}: {str(error)[:300]}"
                    rows.append(row)
                    tell(row)
                    continue
                if exact is None:
                    exact, base = heads, seconds
                frames = count * size.frames
                row |= {
                    "us_per_step": seconds / size.frames * 1e6,
                    "frames_per_s": frames / seconds,
                    "tflops": flops * frames / seconds / 1e12,
                    "times_the_scan": base / seconds,
                    "largest_error": float(jnp.abs(heads - exact).max()),
                    "mean_error": float(jnp.abs(heads - exact).mean()),
                }
                rows.append(row)
                tell(row)
    return rows


def _forms(config) -> dict:
    """Name → `(params, carry, gaze, valid, noise) -> (carry, heads)`."""

    @jax.jit
    def scan(params, carry, gaze, valid, noise):
        frames = (jnp.swapaxes(gaze, 0, 1), jnp.swapaxes(valid, 0, 1), noise)
        step = lambda carry, frame: networks.step(config, params, carry, *frame)
        return jax.lax.scan(step, carry, frames)

    def time_last(*inputs):
        carry, heads = scan(*inputs)
        return carry, jnp.swapaxes(heads, 0, 1)

    where = "tpu" if jax.default_backend() == "tpu" else "gpu"
    kernel = functools.partial(
        rollout_kernel,
        config,
        platform=where,
        interpret=jax.default_backend() == "cpu",
    )
    return {
        "scan": time_last,
        "kernel float32": jax.jit(kernel),
        "kernel bfloat16": jax.jit(functools.partial(kernel, dtype=jnp.bfloat16)),
    }


def _inputs(config: Config, rows: int, frames: int) -> tuple:
    """(carry, gaze, valid, noise) on the device."""
    c = config.model
    valid = np.ones((rows, frames), bool)
    gaze = networks.seen_gaze(c, cases.gaze_of(rows, frames), valid, frames)
    past = (np.zeros((rows, c.context, n), np.float32) for n in (2, c.head_dim))
    if c.kind == "natural":
        past = (np.zeros((rows, 0, n), np.float32) for n in (2, 3))
    past_gaze, head = past
    carry = networks.start(
        c,
        None,
        jnp.asarray(past_gaze),
        jnp.asarray(head),
        jnp.ones(head.shape[:2], bool),
        jnp.zeros((rows, c.style)),
    )
    shape = (frames, rows, networks.noise_width(c))
    noise = jax.random.normal(jax.random.key(0), shape)
    return carry, jnp.asarray(gaze, jnp.float32), jnp.asarray(valid), noise


def training(size: Size, clock: Clock) -> dict:
    """Milliseconds of an optimiser step, by experiment."""
    from gazehead_jax.train_step import init_state, make_train_step

    found = {}
    for name in ("paper", "natural"):
        config, b, steps = load_experiment(name), size.batch, 4
        c, horizon = config.model, config.data.horizon
        length = c.context + horizon + c.lookahead
        shape = lambda n, b=b, length=length: jnp.ones((b, length, n)) * 0.1
        windows = Windows(shape(2), shape(c.head_dim), jnp.ones((b, length), bool))
        step = jax.jit(make_train_step(config, lambda data, payload: data))
        batch = (jnp.zeros(steps), jnp.tile(jnp.arange(b)[None], (steps, 1)))
        call = functools.partial(step, init_state(config), windows, batch)
        jax.block_until_ready(call())
        seconds = clock.measure(call) / steps
        found[name] = {
            "windows": b,
            "ms_per_step": seconds * 1e3,
            "frames_per_s": b * horizon / seconds,
        }
    return found


def extraction(size: Size, clock: Clock) -> dict:
    """Faces a second through ETH-XGaze's ResNet-50, random weights: the part of
    extraction that an accelerator does (landmarks are found on the CPU)."""
    from gazehead_jax.gaze.resnet import ResNetGaze

    faces, edge = size.faces, 224 if size.picture[0] > 64 else 64
    found = {}
    for dtype in (jnp.float32, jnp.bfloat16):
        network = ResNetGaze(2, dtype=dtype)
        pictures = jnp.zeros((faces, edge, edge, 3))
        params = jax.jit(network.init)(jax.random.key(0), pictures)
        apply = jax.jit(network.apply)
        call = functools.partial(apply, params, pictures)
        jax.block_until_ready(call())
        found[jnp.dtype(dtype).name] = {"faces_per_s": faces / clock.measure(call)}
    return found


def rendering(size: Size, clock: Clock) -> dict:
    """Frames a second of the lit head, pictures on the host."""
    from gazehead_jax.generators import make_generator

    found = {}
    for edge in size.picture:
        supersample = 2 if edge > 64 else 1
        face = make_generator("head3d", size=edge, supersample=supersample)
        n = face.batch
        turn = np.linspace(-0.4, 0.4, n, dtype=np.float32)
        gaze = np.stack([0 * turn, turn], 1)
        head = np.stack([0 * turn, 0.6 * turn, 0 * turn], 1)
        call = functools.partial(face.draw, gaze, head, 0 * turn)
        call()
        found[f"{edge} px"] = {"frames_per_s": n / clock.measure(call)}
    return found


def measure(size: Size = Size(), budget_s: float = 420.0, tell=print) -> dict:
    """All of it.

    Args:
      size: how much.
      budget_s: nothing new is begun after so many seconds.
      tell: called with each result as it comes.

    Returns:
      JSON-able results.
    """
    clock, begin = Clock(size.seconds, budget_s), time.monotonic()
    device = jax.devices()[0]
    results = {
        "device": device.device_kind,
        "backend": jax.default_backend(),
        "interpreted": jax.default_backend() == "cpu",
        "jax": jax.__version__,
        "gazehead_jax": __version__,
        "python": platform.python_version(),
        "size": dataclasses.asdict(size),
    }
    # Sampling is last and longest: what no longer fits is the tail of its largest cases.
    for name, section in (
        ("peak_tflops", peaks),
        ("training", training),
        ("extraction", extraction),
        ("rendering", rendering),
    ):
        try:
            results[name] = section(size, clock)
        except Exception as error:
            results[name] = {"failed": f"{type(error).__name__}: {str(error)[:300]}"}
        tell({name: results[name]})
    results["sampling"] = sampling(size, clock, tell)
    peak = results["peak_tflops"]
    for row in results["sampling"]:
        kind = "bfloat16" if "bfloat16" in row["form"] else "float32"
        if "tflops" in row and kind in peak:
            row["share_of_peak"] = row["tflops"] / peak[kind]
    results["took_s"] = time.monotonic() - begin
    return results


def markdown(results: dict) -> str:
    """The results as a page."""
    lines = [
        f"# Speed on {results['device']}",
        "",
        f"JAX {results['jax']}, gazehead_jax {results['gazehead_jax']}, "
        f"{results['took_s']:.0f} s in all"
        + (
            "; **the kernel was interpreted: these are no speeds of it**"
            if results["interpreted"]
            else ""
        )
        + ".",
        "",
    ]
    for name in ("peak_tflops", "training", "extraction", "rendering"):
        lines += [f"{name}: `{json.dumps(_rounded(results[name]))}`", ""]
    lines += [
        "| model | hidden | rows | form | µs/step | frames/s | × scan | of peak | "
        "largest error | mean error |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in results["sampling"]:
        start = f"| {r['model']} | {r['hidden']} | {r['rows']} | {r['form']} | "
        if "failed" in r:
            lines.append(
                start + r["failed"].replace("\n", " ").replace("|", "/") + " |"
            )
            continue
        lines.append(
            start + f"{r['us_per_step']:.2f} | {r['frames_per_s']:.3g} | "
            f"{r['times_the_scan']:.2f} | {r.get('share_of_peak', float('nan')):.1%} | "
            f"{r['largest_error']:.1e} | {r['mean_error']:.1e} |"
        )
    return "\n".join(lines) + "\n"


def _rounded(x):
    if isinstance(x, dict):
        return {k: _rounded(v) for k, v in x.items()}
    return float(f"{x:.4g}") if isinstance(x, float) else x


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m gazehead_jax.benchmarks.gpu", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "--out", default="benchmarks/gpu", help="folder for the results"
    )
    parser.add_argument(
        "--seconds", type=float, default=420.0, help="begin nothing new after so long"
    )
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, to try it out")
    args = parser.parse_args(argv)
    results = measure(TINY if args.tiny else Size(), args.seconds, _tell)
    page = markdown(results)
    for name, text in (
        ("results.json", json.dumps(results, indent=1)),
        ("results.md", page),
    ):
        with atomic_path(Path(args.out) / name) as path:
            path.write_text(text)
    print(page)
    return 0


def _tell(result: dict) -> None:
    print(json.dumps(_rounded(result)), flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
