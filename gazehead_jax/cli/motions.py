"""Commands on motion files: plots, video, other formats."""

import argparse
import sys
from pathlib import Path

from gazehead_jax.cli.common import add_weights_dir, check_kept, named, start
from gazehead_jax.errors import require


def add_commands(add) -> None:
    p = add("plot", _plot, "draw trajectories, head share or training curves")
    p.add_argument("--workdir", help="training curves of this run")
    p.add_argument("--motion", help="the real motion")
    p.add_argument("--samples", nargs="+", help="generated motions of the same gaze")
    p.add_argument(
        "--kind",
        choices=("trajectories", "head-share", "training"),
        help="what to draw; training when left out beside --workdir, else trajectories",
    )
    p.add_argument("--out", required=True, help=".png, .pdf or .svg")

    _add_render(add)

    p = add("convert", _convert, "read, check, repair and resample motion files")
    p.add_argument(
        "source",
        help=".npz or .csv; what OpenFace, py-feat, MediaPipe or Live Link Face wrote; "
        "or a LivePortrait motion template, .pkl",
    )
    p.add_argument(
        "out",
        nargs="?",
        help=".npz, .csv or, for LivePortrait, .pkl; may be left out with --check",
    )
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


def _add_render(add) -> None:
    p = add("render", _render, "draw motion as a face that turns and looks")
    p.add_argument(
        "--motion",
        required=True,
        action="append",
        metavar="[LABEL=]FILE",
        help="motion file; again to see several side by side",
    )
    p.add_argument("--out", required=True, help=".mp4")
    p.add_argument(
        "--generator",
        action="append",
        choices=("head3d", "tha3", "liveportrait", "sted"),
        help="what draws: a 3-D head (default, needs nothing else), an anime character, "
        "a photo, the paper's face generator; again to see several side by side",
    )
    p.add_argument(
        "--portrait",
        help="the picture whose face moves; not for head3d, may be left out for tha3",
    )
    add_weights_dir(p)
    p.add_argument(
        "--size", type=int, help="edge of a panel of head3d in pixels (default 256)"
    )
    p.add_argument("--fps", type=float, help="rate of the video")
    p.add_argument(
        "--reference",
        metavar="VIDEO",
        help="show this video, which the motion was extracted from, beside it",
    )
    p.add_argument("--audio", metavar="FILE", help="keep the sound of this file")
    p.add_argument(
        "--camera",
        metavar="TERMS",
        help="where head3d is seen from: any of fov=DEG,distance=METRES,yaw=DEG,"
        "pitch=DEG (yaw + from the image's left, pitch + from above)",
    )
    p.add_argument(
        "--background",
        metavar="COLOUR|IMAGE",
        help="what is behind head3d: #rrggbb or an image file",
    )
    p.add_argument(
        "--mark",
        action=argparse.BooleanOptionalAction,
        help="write into the video and beside it that it is generated, by what and under "
        "which licence (default: if its pictures are photo-real)",
    )


def _plot(args) -> None:
    from gazehead_jax import plots

    require(
        bool(args.kind) or not (args.workdir and (args.motion or args.samples)),
        "plot draws either a run (--workdir) or motions (--motion and --samples), got "
        "both; leave one out, or give --kind.",
    )
    kind = args.kind or ("training" if args.workdir else "trajectories")
    if kind == "training":
        require(bool(args.workdir), "plot --kind training needs --workdir.")
        plots.plot_training(Path(args.workdir) / "log.jsonl", args.out)
        print(args.out)
        return
    import numpy as np

    from gazehead_jax.gaze_shifts import shifts_of
    from gazehead_jax.motion_io import load_motion

    require(
        bool(args.motion and args.samples),
        f"plot --kind {kind} needs --motion and --samples.",
    )
    real = load_motion(args.motion)
    samples = [load_motion(path) for path in args.samples]
    for path, one in zip(args.samples, samples, strict=True):
        require(
            len(one) == len(real) and one.fps == real.fps,
            f"{path}: samples must have the {len(real)} frames at {real.fps:g} fps of "
            f"--motion, got {len(one)} at {one.fps:g} fps.",
        )
    if kind == "trajectories":
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
    from gazehead_jax.video import check_video_path

    check_video_path(args.out)
    for source in filter(None, (args.reference, args.audio)):
        check_kept(args.out, source, "video")
    motions: dict[str, object] = {}
    for text in args.motion:
        label, path = named(text)
        label = label or Path(path).stem
        require(
            label not in motions,
            f"two motions are labelled {label!r}; label them, as in LABEL=FILE.",
        )
        motions[label] = load_motion(path)
    faces = _faces(args)
    tell = lambda line: print(line, file=sys.stderr)
    for face in faces:
        tell(face.licence)
    options = {
        "fps": args.fps,
        "audio": args.audio,
        "mark": args.mark,
        "tell": tell,
        "progress": True,
    }
    if len(motions) == 1 and len(faces) == 1 and not args.reference:
        (motion,), (face,) = motions.values(), faces
        path = render(motion, args.out, generator=face, **options)
    else:
        path = render_side_by_side(
            motions, args.out, generator=faces, reference=args.reference, **options
        )
    print(path)


def _faces(args) -> list:
    """The generators of a command line; what only some use is given to those."""
    from gazehead_jax.generators import DEFAULT, make_generator
    from gazehead_jax.generators.head3d import parse_camera

    names = args.generator or [DEFAULT]
    require(
        len(set(names)) == len(names),
        f"--generator {' '.join(names)}: name each generator once.",
    )
    drawing = {"size": args.size, "background": args.background}
    if args.camera:
        drawing["camera"] = parse_camera(args.camera)
    drawing = {key: value for key, value in drawing.items() if value is not None}
    networks = [name for name in names if name != DEFAULT]
    require(
        not drawing or DEFAULT in names,
        f"{', '.join(f'--{key}' for key in drawing)}: for the generator {DEFAULT} only.",
    )
    require(
        bool(networks) or not args.portrait,
        f"--portrait: {DEFAULT} draws its own head; choose another --generator.",
    )
    return [
        make_generator(name, portrait=args.portrait, folder=args.weights)
        if name in networks
        else make_generator(name, **drawing)
        for name in names
    ]


def _convert(args) -> int | None:
    from gazehead_jax import formats
    from gazehead_jax.motion import mirror, resample
    from gazehead_jax.motion_io import check_suffix, save_motion

    require(
        bool(args.out or args.check),
        "convert needs a file to write; to look only, give --check.",
    )
    if args.out:
        if Path(args.out).suffix != ".pkl":
            check_suffix(args.out)
        check_kept(args.out, args.source, "file", option="the output")
    if Path(args.source).suffix == ".pkl":
        motion = _template(args)
    else:
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
        if Path(args.out).suffix == ".pkl":
            from gazehead_jax.motion_templates import save_template

            print(save_template(args.out, motion))
        else:
            print(save_motion(args.out, motion))
    return None


def _template(args):
    """A motion template, whose format leaves nothing to be told but wrong signs."""
    from gazehead_jax import formats
    from gazehead_jax.motion_templates import load_template

    told = ("format", "source_fps", "units", "face", "gaze_frame")
    given = [name for name in told if getattr(args, name) is not None]
    require(
        not given,
        f"{args.source}: a motion template says itself what it holds; leave "
        f"{', '.join('--' + n.replace('_', '-').replace('format', 'from') for n in given)} "
        "out.",
    )
    return formats.repair(
        load_template(args.source), negate=args.negate, swap=args.swap
    )
