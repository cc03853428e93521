"""`gazehead benchmark`: speed on this machine, against named rivals."""

import importlib
import sys

from gazehead_jax.cli.common import start
from gazehead_jax.errors import require

# Options that are numbers of things, which must be there.
_COUNTS = ("rounds", "rows", "frames", "batches")


def add_commands(add) -> None:
    p = add("benchmark", None, "measure speed, against rivals with the same weights")
    kinds = p.add_subparsers(dest="kind", required=True, metavar="KIND")

    def kind(name, run, text):
        command = kinds.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}."
        )
        command.add_argument(
            "--out", default="out/benchmarks", help="folder of reports"
        )
        command.add_argument(
            "--check", action="store_true", help="fail when a ratio is under its floor"
        )
        command.set_defaults(run=_run, measure=run)
        return command

    models = {"nargs": "+", "default": ["frame", "natural"], "help": "networks to time"}
    rivals = {"nargs": "+", "help": 'instead of the usual ones; as in "torch compile"'}
    rounds = {"type": int, "help": "turns; medians are over them"}

    p = kind("sample", _sample, "rollouts: µs a step against PyTorch, ONNX and NumPy")
    p.add_argument("--models", **models)
    p.add_argument(
        "--rows", nargs="+", type=int, default=[1, 64, 1024], help="heads at once"
    )
    p.add_argument("--rivals", **rivals)
    p.add_argument("--rounds", default=7, **rounds)

    p = kind("stream", _stream, "one frame a call: latency of HeadStream")
    p.add_argument("--models", **models)
    p.add_argument("--frames", type=int, default=20_000, help="calls to time")

    p = kind("train", _train, "training steps a second, against PyTorch")
    p.add_argument(
        "--batches", nargs="+", type=int, default=[64, 512], help="windows a step"
    )
    p.add_argument("--rivals", **rivals)
    p.add_argument("--rounds", default=7, **rounds)

    for name, text in (
        ("data", "windows a second of the ways to feed training"),
        ("extract", "frames a second of extraction, stage by stage"),
        ("render", "frames a second of the face generators"),
        ("start", "from a cold process to a written file"),
    ):
        p = kind(name, _plain, text)
        p.add_argument("--rounds", default=5, **rounds)
    kind("all", _all, "all of these, and one page with the most important numbers")


def _run(args) -> int:
    for name in _COUNTS:
        given = getattr(args, name, 1)
        for count in given if isinstance(given, list) else [given]:
            require(count >= 1, f"--{name} must be at least 1, got {count}.")
    return args.measure(args)


def _sample(args) -> int:
    start()
    from gazehead_jax.benchmarks.sample import RIVALS, benchmark

    return _finish(
        benchmark(
            args.models,
            args.rows,
            args.rivals or RIVALS,
            count=args.rounds,
            progress=_say,
        ),
        args,
    )


def _stream(args) -> int:
    start()
    from gazehead_jax.benchmarks.stream import benchmark

    return _finish(benchmark(args.models, args.frames), args)


def _train(args) -> int:
    start()
    from gazehead_jax.benchmarks.train import RIVALS_BY_DEFAULT, benchmark

    return _finish(
        benchmark(
            args.batches,
            args.rivals or RIVALS_BY_DEFAULT,
            count=args.rounds,
            progress=_say,
        ),
        args,
    )


def _plain(args) -> int:
    start()
    module = importlib.import_module(f"gazehead_jax.benchmarks.{args.kind}")
    return _finish(module.benchmark(count=args.rounds, progress=_say), args)


def _all(args) -> int:
    start()
    from gazehead_jax.benchmarks.overview import benchmark

    return _shown(*benchmark(args.out, progress=_say), args)


def _finish(report, args) -> int:
    return _shown(report.write(args.out), report.failures, args)


def _shown(path, failures, args) -> int:
    print(path.read_text(encoding="utf-8"))
    print(path)
    for failure in failures:
        print(f"under the floor: {failure}", file=sys.stderr)
    return 1 if args.check and failures else 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
