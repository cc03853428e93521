"""Commands that train a model, sample from it and score it."""

import contextlib
import sys
from pathlib import Path

from gazehead_jax.cli.common import MODEL, add_data_dir, check_kept, start
from gazehead_jax.errors import require

# Standard deviations of people; models have hardly seen anyone beyond.
_STYLES = 3.0
# Largest pitch, yaw and roll of a rest pose and of limits, degrees.
_TURNS = (90.0, 180.0, 180.0)


def add_commands(add) -> None:
    p = add("train", _train, "train an experiment, or go on with it")
    p.add_argument(
        "--config", required=True, help="experiment file, or the name of a shipped one"
    )
    p.add_argument("--workdir", required=True, help="for checkpoints and logs")
    add_data_dir(p)
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
    p.add_argument("--checkpoint", default="natural", help=MODEL)
    p.add_argument("--gaze", required=True, help=".csv or .npz with gaze")
    p.add_argument("--out", required=True, help=".csv or .npz; several get _0, _1, …")
    p.add_argument("--num-samples", type=int, default=1, help="heads for this gaze")
    p.add_argument("--seed", type=int, default=0, help="same seed, same heads")
    p.add_argument(
        "--temperature", type=float, default=1.0, help="0: the model's middle way"
    )
    p.add_argument(
        "--style",
        type=float,
        nargs="+",
        metavar="S",
        help="who moves: one number from -2 (with the eyes) to 2 (with the head), or all "
        "numbers of a style; drawn when left out",
    )
    p.add_argument(
        "--amplitude", type=float, default=1.0, help="0: a still head, 2: twice as far"
    )
    three = {"type": float, "nargs": 3, "metavar": ("PITCH", "YAW", "ROLL")}
    p.add_argument("--rest-pose", **three, help="degrees that 0 becomes")
    p.add_argument("--limits", **three, help="degrees that are softly kept to")
    p.add_argument(
        "--best-of",
        type=int,
        default=1,
        help="give the most typical of so many, 3 or more",
    )
    p.add_argument(
        "--live",
        action="store_true",
        help="do not look ahead, as when gaze comes frame by frame",
    )

    p = add("pack", _pack, "write a run's best model into one small file")
    p.add_argument("--checkpoint", required=True, help="workdir of a training run")
    p.add_argument("--out", required=True, help=".npz, for --checkpoint anywhere")

    p = add("card", _card, "tell what a model is: data, licences, limits, settings")
    p.add_argument("--checkpoint", default="natural", help="as of sample")


def _train(args) -> None:
    from gazehead_jax import parallel
    from gazehead_jax.config import load_experiment

    config = load_experiment(args.config, args.overrides)
    if args.distributed or args.coordinator:
        start()
        parallel.initialize(args.coordinator, args.num_processes, args.process_id)
    else:
        devices = parallel.host_devices(config)
        start(rows=devices if devices > 1 else None)
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
    start(rows=args.num_samples * args.best_of)
    import numpy as np

    from gazehead_jax.checkpoint import load
    from gazehead_jax.controls import Controls
    from gazehead_jax.files import atomic_path
    from gazehead_jax.motion_io import check_suffix, load_motion, save_motion
    from gazehead_jax.sampling import sample

    check_suffix(args.out)
    names = _names(Path(args.out), args.num_samples)
    for name in names:
        check_kept(name, args.gaze, "gaze")
    _check_controls(args)
    motion = load_motion(args.gaze)
    degrees = {"rest_pose": args.rest_pose, "limits": args.limits}
    radians = {
        k: tuple(np.deg2rad(v).tolist()) for k, v in degrees.items() if v is not None
    }
    checkpoint = load(args.checkpoint)
    print(_origin(checkpoint), file=sys.stderr)
    made = sample(
        checkpoint,
        motion,
        num_samples=args.num_samples,
        seed=args.seed,
        temperature=args.temperature,
        style=args.style,
        controls=Controls(amplitude=args.amplitude, **radians),
        best_of=args.best_of,
        live=args.live,
    )
    # All files or none.
    with contextlib.ExitStack() as stack:
        for name, one in zip(names, made, strict=True):
            save_motion(stack.enter_context(atomic_path(name)), one)
    print(*names, sep="\n")


def _names(out: Path, count: int) -> list[Path]:
    """The files of so many heads."""
    if count == 1:
        return [out]
    return [out.with_stem(f"{out.stem}_{i}") for i in range(count)]


def _check_controls(args) -> None:
    """Raises GazeheadError, in the command line's units, for what no head can do."""
    told = lambda values: " ".join(f"{value:g}" for value in values)
    style, limits, rest = args.style or (), args.limits, args.rest_pose
    require(
        all(abs(value) <= _STYLES for value in style),
        f"--style must be between -{_STYLES:g} and {_STYLES:g} (few people are beyond 2), "
        f"got {told(style)}.",
    )
    require(
        limits is None
        or all(0 < value <= most for value, most in zip(limits, _TURNS, strict=True)),
        "--limits must be above 0 and within {:g}, {:g} and {:g} degrees of pitch, yaw and "
        "roll, got {}; to hold a head still, give --amplitude 0.".format(
            *_TURNS, told(limits or ())
        ),
    )
    require(
        rest is None
        or all(abs(value) <= most for value, most in zip(rest, _TURNS, strict=True)),
        "--rest-pose must be within {:g}, {:g} and {:g} degrees of pitch, yaw and roll, "
        "got {}.".format(*_TURNS, told(rest or ())),
    )


def _pack(args) -> None:
    check_kept(args.out, args.checkpoint, "model")
    start()
    from gazehead_jax.checkpoint import load, pack
    from gazehead_jax.styles import with_axis
    from gazehead_jax.weights import file_hash

    path = pack(with_axis(load(args.checkpoint)), args.out)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, sha256 {file_hash(path)}")


def _card(args) -> None:
    from gazehead_jax.checkpoint import card

    print(card(args.checkpoint))


def _origin(checkpoint) -> str:
    """Whose movements a model has learned, in a line."""
    facts = checkpoint.provenance
    licences = "; ".join(facts.get("licences", ["not stated"]))
    data = ", ".join(facts.get("datasets", ["unknown data"]))
    return f"model {checkpoint.name}: learned from {data} (licences: {licences})"
