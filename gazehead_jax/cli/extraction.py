"""Commands that turn face video into motions."""

import sys
from pathlib import Path

from gazehead_jax.cli.common import add_weights_dir
from gazehead_jax.errors import require


def add_commands(add) -> None:
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
    add_weights_dir(p)

    p = add(
        "evaluate-extraction",
        _evaluate_extraction,
        "report whether extraction can be trusted",
    )
    p.add_argument("--videos", help="real videos: a file, folder or glob pattern")
    p.add_argument(
        "--gaze", default="iris,adas", help="estimators; the first makes motions"
    )
    p.add_argument(
        "--out", help="write .json; tables as .md and a figure as .png beside"
    )
    add_weights_dir(p)


def _extract(args) -> int:
    from gazehead_jax.extraction import ExtractSettings, extract
    from gazehead_jax.extraction.summary import Reporter, licences, print_summary

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
    for line in licences(settings):
        print(line, file=sys.stderr)
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


def _evaluate_extraction(args) -> None:
    from gazehead_jax.extraction_report.report import (
        evaluate_extraction,
        print_report,
        save_report,
    )

    if args.out:  # before the long run
        require(
            Path(args.out).suffix == ".json",
            f"{args.out}: the report is written as .json, got "
            f"{Path(args.out).suffix!r}.",
        )
    report = evaluate_extraction(
        tuple(args.gaze.split(",")),
        args.videos,
        weights=args.weights,
        progress=lambda text: print(text, file=sys.stderr),
    )
    print_report(report)
    if args.out:
        print(*save_report(report, args.out), sep="\n")
