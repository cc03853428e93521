"""The command line. Each command is one function; imports happen inside it."""

import argparse
import contextlib
import os
import sys
from pathlib import Path

from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.version import __version__

EPILOG = """\
from gaze to a head that follows, in order:

  gazehead doctor                                            what this machine has
  gazehead demo --out out/demo                               all of the below, small
  gazehead extract videos/ --out motions/                    face video → motions
  gazehead dataset build gazehead_sample                     real sequences → TFDS
  gazehead train --config paper --workdir runs/paper         dataset → checkpoint
  gazehead sample --checkpoint runs/paper --gaze my.csv \\
                  --num-samples 3 --out heads.csv            gaze → head motion
  gazehead evaluate --checkpoint runs/paper \\
                  --dataset gazehead_sample --split test     checkpoint → metric table
  gazehead render --motion heads_0.csv --out head.mp4        motion → video
"""


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0, or 2 for bad input."""
    parser = build_parser()
    args, rest = parser.parse_known_args(argv)
    overrides = [a for a in rest if a.startswith("--config.")]
    unknown = [a for a in rest if a not in overrides]
    if unknown or (overrides and args.command != "train"):
        parser.error(f"unrecognised arguments: {' '.join(unknown or overrides)}")
    args.overrides = [a.removeprefix("--config.") for a in overrides]
    try:
        return args.run(args) or 0
    except GazeheadError as error:
        print(f"gazehead: error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader (head, less) has gone; nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("gazehead: interrupted", file=sys.stderr)
        return 130


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gazehead",
        description="Natural head motion from gaze: datasets, training, sampling, "
        "evaluation and rendering in JAX.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", title="commands"
    )

    def add(name, run, text):
        command = commands.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        command.set_defaults(run=run)
        return command

    p = add("doctor", _doctor, "check versions, devices, caches and optional packages")

    p = add("demo", _demo, "train, sample, judge and render on the shipped sequences")
    p.add_argument("--out", default="out/demo", help="folder for everything it makes")

    p = add("extract", _extract, "turn face videos into gaze and head motions")
    p.add_argument("videos", nargs="+", help="videos, folders or glob patterns")
    p.add_argument("--out", required=True, help="folder of the motions and manifest")
    p.add_argument("--gaze", default="iris", help="estimator, see `gazehead weights`")
    p.add_argument(
        "--faces",
        choices=("reject", "split"),
        default="reject",
        help="clips with several people: leave out, or one motion each",
    )
    p.add_argument(
        "--shots",
        choices=("split", "reject"),
        default="split",
        help="clips with cuts: one motion a shot, or leave out",
    )
    p.add_argument("--workers", type=int, default=1, help="processes")
    p.add_argument("--fps", type=float, help="rate of the motions, if not the video's")
    p.add_argument(
        "--fov-deg", type=float, help="field of view across the longer side, if known"
    )
    p.add_argument("--min-seconds", type=float, default=1.0, help="leave shorter out")
    p.add_argument(
        "--min-valid", type=float, default=0.5, help="smallest share of valid frames"
    )
    p.add_argument(
        "--one-euro",
        nargs=2,
        type=float,
        metavar=("HZ", "BETA"),
        help="smooth causally, as in --one-euro 1.5 0.5",
    )
    p.add_argument("--subject", help="who is in all of them")
    p.add_argument("--preview", action="store_true", help="also draw what was found")
    _weights_dir(p)

    p = add("dataset", _dataset_list, "list, build or describe TFDS datasets")
    actions = p.add_subparsers(dest="action", metavar="list|build|info")
    actions.add_parser("list", help="the builders there are").set_defaults(
        run=_dataset_list
    )
    build = actions.add_parser("build", help="prepare one (ArrayRecord, no TensorFlow)")
    build.set_defaults(run=_dataset_build)
    info = actions.add_parser("info", help="describe a prepared one")
    info.set_defaults(run=_dataset_info)
    info.add_argument("name", help="NAME, NAME/CONFIG or a prepared directory")
    _data_dir(info)
    _build_arguments(build)

    p = add("train", _train, "train an experiment, or go on with it")
    p.add_argument(
        "--config", required=True, help="experiment file, or the name of a shipped one"
    )
    p.add_argument("--workdir", required=True, help="for checkpoints and logs")
    _data_dir(p)
    p.add_argument(
        "--distributed",
        action="store_true",
        help="one process of several (Cloud TPU, Slurm, Open MPI find each other)",
    )
    p.add_argument("--coordinator", help="host:port of process 0, if not found out")
    p.add_argument("--num-processes", type=int, help="with --coordinator")
    p.add_argument("--process-id", type=int, help="with --coordinator")
    p.epilog = "change any field with --config.SECTION.FIELD=VALUE, for example "
    p.epilog += "--config.optimizer.learning_rate=3e-4"

    p = add("sample", _sample, "generate head motions for a gaze file")
    p.add_argument("--checkpoint", required=True, help="workdir of a training run")
    p.add_argument("--gaze", required=True, help=".csv or .npz with gaze")
    p.add_argument("--out", required=True, help=".csv or .npz; several get _0, _1, …")
    p.add_argument("--num-samples", type=int, default=1, help="heads for this gaze")
    p.add_argument("--seed", type=int, default=0, help="same seed, same heads")

    p = add("evaluate", _evaluate, "score checkpoints, baselines and real heads")
    p.add_argument(
        "--checkpoint",
        required=True,
        action="append",
        metavar="[NAME=]DIR",
        help="workdir; again for ablations",
    )
    p.add_argument("--dataset", required=True, help="NAME, NAME/CONFIG or directory")
    p.add_argument("--split", default="test", help="which part to score on")
    p.add_argument("--num-samples", type=int, default=30, help="samples a gaze")
    p.add_argument("--seed", type=int, default=0, help="of the samples")
    p.add_argument("--out", help="write metrics as .json; a .md with the tables beside")
    _data_dir(p)

    p = add("plot", _plot, "draw trajectories, head share or training curves")
    p.add_argument("--workdir", help="training curves of this run")
    p.add_argument("--motion", help="the real motion")
    p.add_argument("--samples", nargs="+", help="generated motions of the same gaze")
    p.add_argument(
        "--kind",
        choices=("trajectories", "head-share", "training"),
        default="trajectories",
        help="what to draw",
    )
    p.add_argument("--out", required=True, help=".png, .pdf or .svg")

    p = add("render", _render, "draw motion as a 3-D head that turns and looks")
    p.add_argument(
        "--motion",
        required=True,
        action="append",
        metavar="[LABEL=]FILE",
        help="motion file; again to see several side by side",
    )
    p.add_argument("--out", required=True, help=".mp4")
    p.add_argument("--size", type=int, default=256, help="edge of a panel in pixels")
    p.add_argument("--fps", type=float, help="rate of the video")

    p = add("convert", _convert, "convert motion files (.npz, .csv) and frame rates")
    p.add_argument("source", help=".npz or .csv")
    p.add_argument("out", help=".npz or .csv")
    p.add_argument("--fps", type=float, help="resample to this rate")
    p.add_argument("--mirror", action="store_true", help="swap left and right")
    return parser


def _build_arguments(p) -> None:
    p.add_argument("name", help="NAME or NAME/CONFIG, see `gazehead dataset list`")
    _data_dir(p)
    p.add_argument(
        "--manual-dir",
        "--manual_dir",
        help="your own copy, for builders that read one",
    )
    p.add_argument("--overwrite", action="store_true", help="prepare again")
    p.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="OPTION=VALUE",
        help="change an option of the dataset's config, as in --set fps=50",
    )


def _weights_dir(parser) -> None:
    parser.add_argument("--weights", help="folder to look for weights in first")


def _data_dir(parser) -> None:
    parser.add_argument("--data-dir", "--data_dir", help="where datasets are prepared")


def _start() -> None:
    from gazehead_jax.doctor import enable_compilation_cache

    enable_compilation_cache()


# --- commands ------------------------------------------------------------------------


def _doctor(args) -> int:
    from rich.console import Console
    from rich.markup import escape

    from gazehead_jax.doctor import checkup

    console = Console(highlight=False)
    colours = {"ok": "green", "missing": "yellow", "bad": "red"}
    checks = checkup()
    for check in checks:
        mark = f"[{colours[check.status]}]{check.status:>7}[/]"
        line = f"{mark}  {check.what:<20} {escape(check.detail)}"
        console.print(line, soft_wrap=True)
    return 2 if any(c.status == "bad" for c in checks) else 0


def _demo(args) -> None:
    _start()
    from gazehead_jax.demo import demo

    demo(args.out)


def _extract(args) -> int:
    from gazehead_jax.extraction import ExtractSettings, extract
    from gazehead_jax.extraction.summary import Reporter, print_summary

    settings = ExtractSettings(
        gaze=args.gaze,
        faces=args.faces,
        shots=args.shots,
        min_seconds=args.min_seconds,
        min_valid=args.min_valid,
        fov_deg=args.fov_deg,
        fps=args.fps,
        one_euro=tuple(args.one_euro) if args.one_euro else None,
        weights=args.weights,
    )
    with Reporter() as reporter:
        summary = extract(
            args.videos,
            args.out,
            settings,
            workers=args.workers,
            subject=args.subject,
            preview=args.preview,
            progress=reporter,
        )
    print_summary(summary, args.out)
    return 0 if summary["motions"] else 2


def _dataset_list(args) -> None:
    from gazehead_jax.build import BUILDERS, describe

    for name in BUILDERS:
        print(describe(name))


def _dataset_build(args) -> None:
    from gazehead_jax.build import parse_options, prepare, summary

    options = parse_options(args.name, args.set)
    builder = prepare(
        args.name,
        args.data_dir,
        manual_dir=args.manual_dir,
        overwrite=args.overwrite,
        **options,
    )
    print(summary(builder.data_dir))


def _dataset_info(args) -> None:
    from gazehead_jax.build import summary

    print(summary(args.name, args.data_dir))


def _train(args) -> None:
    _start()
    from gazehead_jax import parallel
    from gazehead_jax.config import load_experiment

    config = load_experiment(args.config, args.overrides)
    if args.distributed or args.coordinator:
        parallel.initialize(args.coordinator, args.num_processes, args.process_id)
    from gazehead_jax.training import train

    result = train(config, args.workdir, data_dir=args.data_dir)
    if parallel.is_first_process():
        if result.interrupted:
            print(
                f"stopped at step {result.step}; the same command goes on from there."
            )
        else:
            print(
                f"{result.workdir}: step {result.step}, validation loss "
                f"{result.validation_loss:.3f}. Next: gazehead sample --checkpoint "
                f"{result.workdir} --gaze GAZE.csv --out HEAD.csv"
            )


def _sample(args) -> None:
    _start()
    from gazehead_jax.checkpoint import load
    from gazehead_jax.files import atomic_path
    from gazehead_jax.motion_io import check_suffix, load_motion, save_motion
    from gazehead_jax.sampling import sample

    check_suffix(args.out)
    motion = load_motion(args.gaze)
    made = sample(
        load(args.checkpoint), motion, num_samples=args.num_samples, seed=args.seed
    )
    out = Path(args.out)
    names = [out.with_stem(f"{out.stem}_{i}") for i in range(len(made))]
    if len(made) == 1:
        names = [out]
    # All files or none.
    with contextlib.ExitStack() as stack:
        for name, one in zip(names, made, strict=True):
            save_motion(stack.enter_context(atomic_path(name)), one)
    print(*names, sep="\n")


def _evaluate(args) -> None:
    _start()
    from gazehead_jax.checkpoint import load
    from gazehead_jax.evaluation import evaluate
    from gazehead_jax.tables import print_tables, save_tables

    checkpoints = {}
    for text in args.checkpoint:
        name, path = _named(text)
        checkpoint = load(path)
        name = name or checkpoint.name
        require(
            name not in checkpoints,
            f"two checkpoints are called {name!r}; name them, as in NAME=DIR.",
        )
        checkpoints[name] = checkpoint
    if args.out:
        require(
            Path(args.out).suffix == ".json",
            f"{args.out}: metrics are written as .json, got {Path(args.out).suffix!r}.",
        )
    found = evaluate(
        checkpoints,
        args.dataset,
        args.split,
        data_dir=args.data_dir,
        num_samples=args.num_samples,
        seed=args.seed,
        progress=lambda name: print(f"scoring {name} …", file=sys.stderr),
    )
    print_tables(found)
    if args.out:
        save_tables(found, args.out)
        print(args.out)


def _plot(args) -> None:
    from gazehead_jax import plots

    if args.kind == "training":
        require(bool(args.workdir), "plot --kind training needs --workdir.")
        plots.plot_training(Path(args.workdir) / "log.jsonl", args.out)
        print(args.out)
        return
    import numpy as np

    from gazehead_jax.coordination import shifts_of
    from gazehead_jax.motion_io import load_motion

    require(
        bool(args.motion and args.samples),
        f"plot --kind {args.kind} needs --motion and --samples.",
    )
    real = load_motion(args.motion)
    samples = [load_motion(path) for path in args.samples]
    for path, one in zip(args.samples, samples, strict=True):
        require(
            len(one) == len(real) and one.fps == real.fps,
            f"{path}: samples must have the {len(real)} frames at {real.fps:g} fps of "
            f"--motion, got {len(one)} at {one.fps:g} fps.",
        )
    if args.kind == "trajectories":
        heads = np.stack([m.require_head() for m in samples])
        plots.plot_trajectories(real, heads, args.out)
    else:
        found = {"real": shifts_of([real]), "generated": shifts_of(samples)}
        plots.plot_head_share(found, args.out, settled_only=False)
    print(args.out)


def _render(args) -> None:
    _start()
    from gazehead_jax.motion_io import load_motion
    from gazehead_jax.rendering import render, render_side_by_side

    motions: dict[str, object] = {}
    for text in args.motion:
        label, path = _named(text)
        label = label or Path(path).stem
        require(
            label not in motions,
            f"two motions are labelled {label!r}; label them, as in LABEL=FILE.",
        )
        motions[label] = load_motion(path)
    if len(motions) == 1:
        (motion,) = motions.values()
        path = render(motion, args.out, size=args.size, fps=args.fps)
    else:
        path = render_side_by_side(motions, args.out, size=args.size, fps=args.fps)
    print(path)


def _convert(args) -> None:
    from gazehead_jax.motion import mirror, resample
    from gazehead_jax.motion_io import check_suffix, load_motion, save_motion

    check_suffix(args.out)
    motion = load_motion(args.source)
    if args.fps is not None:
        motion = resample(motion, args.fps)
    if args.mirror:
        motion = mirror(motion)
    print(save_motion(args.out, motion))


def _named(text: str) -> tuple[str, str]:
    """ "name=path" or "path" → (name or "", path)."""
    name, equals, path = text.partition("=")
    return (name, path) if equals and not Path(text).exists() else ("", text)
