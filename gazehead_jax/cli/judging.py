"""The commands that judge models: tables, the scorecard, drift, robustness."""

import sys
from pathlib import Path

from gazehead_jax.cli.common import MODEL, add_data_dir, named, start
from gazehead_jax.errors import require

# Rows that are followed at once; more than there are cores.
_MANY = 1024


def add_commands(add) -> None:
    p = add("evaluate", _evaluate, "score checkpoints, baselines and real heads")
    p.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        metavar="[NAME=]MODEL",
        help=f"{MODEL}; again for ablations",
    )
    p.add_argument(
        "--dataset",
        required=True,
        action="append",
        help="NAME, NAME/CONFIG or directory; again with --scorecard",
    )
    p.add_argument("--split", default="test", help="which part to score on")
    p.add_argument(
        "--num-samples",
        type=int,
        help="samples a gaze; 30 when left out, of drift 256, of robustness 20",
    )
    p.add_argument("--seed", type=int, default=0, help="of the samples")
    p.add_argument("--out", help="write metrics as .json; a .md with the tables beside")
    p.add_argument(
        "--figure",
        help="draw the curves as .png, .pdf or .svg (not of the plain tables)",
    )
    p.add_argument(
        "--scorecard",
        action="store_true",
        help="instead, a fixed list of goals: met, missed or open",
    )
    p.add_argument(
        "--leave-out",
        metavar="DEVICE",
        help="with --scorecard: train --config in --workdir without the people whose "
        "names begin so, as in vr_objects:, and judge it on them",
    )
    p.add_argument("--config", help="with --leave-out: the experiment to train")
    p.add_argument("--workdir", help="with --leave-out: for that training")
    p.add_argument(
        "--drift",
        metavar="TIME",
        help="instead, follow gaze for 10min, 1h, 10h and tell drift",
    )
    p.add_argument(
        "--conversation",
        metavar="DIR",
        help="with --drift: a folder of fixations to follow as well, as .npz files of "
        "start, length, duration_ms, segment, x_deg and y_deg",
    )
    p.add_argument(
        "--live",
        action="store_true",
        help="with --drift or --robustness: hide gaze that is to come from the model",
    )
    p.add_argument(
        "--robustness",
        action="store_true",
        help="instead, score on noisy, biased, late and lossy gaze",
    )
    add_data_dir(p)


def _evaluate(args) -> None:
    # What follows gaze shares its many samples out among the cores; training does not.
    start(rows=None if args.leave_out else _MANY)
    for path in (args.out,) if args.out else ():  # before the long run
        require(
            Path(path).suffix == ".json",
            f"{path}: metrics are written as .json, got {Path(path).suffix!r}.",
        )
    if args.figure:
        from gazehead_jax.figures import check_figure

        check_figure(args.figure)
    others = (args.scorecard, bool(args.drift), args.robustness)
    require(
        sum(others) <= 1,
        "evaluate gives one of --scorecard, --drift and --robustness at a time.",
    )
    require(
        bool(args.checkpoint or (args.scorecard and args.leave_out)),
        "evaluate needs at least one --checkpoint.",
    )
    require(
        len(args.dataset) == 1 or args.scorecard,
        f"only --scorecard takes several datasets, got {' '.join(args.dataset)}.",
    )
    require(
        not args.figure or any(others),
        "--figure goes with --scorecard, --drift or --robustness.",
    )
    require(
        not args.live or bool(args.drift or args.robustness),
        "--live goes with --drift or --robustness (--scorecard judges a model that looks "
        "ahead both ways).",
    )
    require(
        not args.overrides or bool(args.leave_out),
        "--config.SECTION.FIELD goes with --leave-out, which trains.",
    )
    checkpoints = _checkpoints(args.checkpoint)
    if args.scorecard:
        _scorecard(args, checkpoints)
    elif args.drift or args.robustness:
        _one_model(args, checkpoints)
    else:
        _tables(args, checkpoints)


def _checkpoints(texts: list[str]) -> dict:
    from gazehead_jax.checkpoint import load

    checkpoints = {}
    for text in texts:
        name, path = named(text)
        checkpoint = load(path)
        name = name or checkpoint.name
        require(
            name not in checkpoints,
            f"two checkpoints are called {name!r}; name them, as in NAME=MODEL.",
        )
        checkpoints[name] = checkpoint
    return checkpoints


def _say(what: str) -> None:
    print(f"scoring {what} …", file=sys.stderr)


def _tables(args, checkpoints) -> None:
    from gazehead_jax.evaluation import evaluate
    from gazehead_jax.tables import print_tables, save_tables

    found = evaluate(
        checkpoints,
        args.dataset[0],
        args.split,
        data_dir=args.data_dir,
        num_samples=_count(args, 30),
        seed=args.seed,
        progress=_say,
    )
    print_tables(found)
    if args.out:
        save_tables(found, args.out)
        print(args.out)


def _scorecard(args, checkpoints) -> None:
    from gazehead_jax.config import load_experiment
    from gazehead_jax.plots import plot_bands
    from gazehead_jax.scorecard import leave_device_out, scorecard
    from gazehead_jax.tables import print_scorecard, save_scorecard

    options = {
        "data_dir": args.data_dir,
        "num_samples": _count(args, 30),
        "seed": args.seed,
        "progress": _say,
    }
    if args.leave_out:
        require(
            bool(args.config and args.workdir),
            "--leave-out trains an experiment: give --config and --workdir.",
        )
        config = load_experiment(args.config, args.overrides)
        card = leave_device_out(
            config, args.leave_out, args.workdir, args.dataset, args.split, **options
        )
    else:
        card = scorecard(checkpoints, args.dataset, args.split, **options)
    print_scorecard(card)
    if args.out:
        save_scorecard(card, args.out)
        print(args.out)
    if args.figure:
        shown = ("real", *card.models, "rule_based", "ridge_from_last")
        domains = {
            name: (d.bands, {m: d.curves[m] for m in shown})
            for name, d in card.domains.items()
        }
        plot_bands(domains, args.figure)
        print(args.figure)


def _one_model(args, checkpoints) -> None:
    from gazehead_jax import drift, drift_plots, robustness
    from gazehead_jax.driving_gaze import parse_duration

    require(
        len(checkpoints) == 1,
        f"--drift and --robustness look at one checkpoint, got {len(checkpoints)}.",
    )
    (checkpoint,) = checkpoints.values()
    options = {
        "data_dir": args.data_dir,
        "seed": args.seed,
        "live": args.live,
        "progress": _say,
    }
    if args.drift:
        found = drift.drift(
            checkpoint,
            parse_duration(args.drift),
            args.dataset[0],
            args.split,
            conversation=args.conversation,
            num_samples=_count(args, drift.SAMPLES),
            **options,
        )
        plot = drift_plots.plot_drift
    else:
        found = robustness.robustness(
            checkpoint,
            args.dataset[0],
            args.split,
            num_samples=_count(args, 20),
            **options,
        )
        plot = drift_plots.plot_robustness
    found.show()
    if args.out:
        found.save(args.out)
        print(args.out)
    if args.figure:
        plot(found, args.figure)
        print(args.figure)


def _count(args, usual: int) -> int:
    return usual if args.num_samples is None else args.num_samples
