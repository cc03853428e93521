"""Commands on motion files: plots, video, other formats."""

import sys
from pathlib import Path

from gazehead_jax.cli.common import named, start
from gazehead_jax.errors import require


def add_commands(add) -> None:
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

    p = add("convert", _convert, "read, check, repair and resample motion files")
    p.add_argument(
        "source",
        help=".npz or .csv; also what OpenFace, py-feat, MediaPipe or Live Link Face wrote",
    )
    p.add_argument("out", nargs="?", help=".npz or .csv; may be left out with --check")
    p.add_argument("--fps", type=float, help="resample to this rate")
    p.add_argument("--mirror", action="store_true", help="swap left and right")
    p.add_argument(
        "--check",
        action="store_true",
        help="tell whether signs, ranges and axes make sense; exit with 2, and write "
        "nothing, if something is wrong",
    )
    p.add_argument(
        "--from",
        dest="format",
        choices=("gazehead", "livelink", "openface", "pyfeat", "mediapipe"),
        help="format of the source, if its header is not to tell",
    )
    p.add_argument(
        "--source-fps",
        type=float,
        help="rate of the source, if it tells no (true) times",
    )
    p.add_argument(
        "--units",
        choices=("radians", "degrees", "half-turns"),
        help="what the source's angles are in, if not what its format says",
    )
    p.add_argument("--face", help="which person of the source, by its face column")
    p.add_argument(
        "--gaze-frame",
        choices=("camera", "head"),
        help="what the source's gaze is relative to, if not what its format says",
    )
    p.add_argument(
        "--negate",
        action="append",
        default=[],
        choices=("gaze_pitch", "gaze_yaw", "head_pitch", "head_yaw", "head_roll"),
        help="change the sign of a channel; again for more",
    )
    p.add_argument(
        "--swap",
        action="append",
        default=[],
        choices=("gaze", "head"),
        help="exchange pitch and yaw; again for both",
    )


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
    start()
    from gazehead_jax.motion_io import load_motion
    from gazehead_jax.rendering import render, render_side_by_side

    motions: dict[str, object] = {}
    for text in args.motion:
        label, path = named(text)
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


def _convert(args) -> int | None:
    from gazehead_jax import formats
    from gazehead_jax.motion import mirror, resample
    from gazehead_jax.motion_io import check_suffix, save_motion

    require(
        bool(args.out or args.check),
        "convert needs a file to write; to look only, give --check.",
    )
    if args.out:
        check_suffix(args.out)
    motion = formats.load(
        args.source,
        args.format,
        fps=args.source_fps,
        units=args.units,
        face=args.face,
        gaze_frame=args.gaze_frame,
        negate=args.negate,
        swap=args.swap,
    )
    for note in motion.meta.get("notes", ()):
        print(f"{args.source}: {note}.", file=sys.stderr)
    if args.check:
        findings = formats.check(motion)
        print(*findings, sep="\n")
        if any(finding.severity == "wrong" for finding in findings):
            return 2
    if args.out:
        if args.fps is not None:
            motion = resample(motion, args.fps)
        if args.mirror:
            motion = mirror(motion)
        print(save_motion(args.out, motion))
    return None
