"""Commands about TFDS datasets."""

from gazehead_jax.cli.common import add_data_dir


def add_commands(add) -> None:
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
    add_data_dir(info)
    _build_arguments(build)


def _build_arguments(p) -> None:
    p.add_argument("name", help="NAME or NAME/CONFIG, see `gazehead dataset list`")
    add_data_dir(p)
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
    p.add_argument(
        "--beam",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of Apache Beam, for gazehead_videos: --beam runner=FlinkRunner",
    )


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
        beam=args.beam,
        **options,
    )
    print(summary(builder.data_dir))


def _dataset_info(args) -> None:
    from gazehead_jax.build import summary

    print(summary(args.name, args.data_dir))
