"""The command that hands a model's step to other runtimes."""

from gazehead_jax.cli.common import MODEL


def add_commands(add) -> None:
    p = add("export", _export, "write a model's step for another runtime")
    p.add_argument("--checkpoint", default="natural", help=MODEL)
    p.add_argument(
        "--format",
        choices=("stablehlo", "onnx", "numpy"),
        required=True,
        help="for jax.export, for ONNX Runtime and the like, or for NumPy alone",
    )
    p.add_argument("--out", required=True, help="folder; its README tells the rest")


def _export(args) -> None:
    from gazehead_jax.checkpoint import load
    from gazehead_jax.export import export

    out = export(load(args.checkpoint), args.format, args.out)
    for path in sorted(out.iterdir()):
        print(f"{path}  {path.stat().st_size / 1e3:,.0f} kB")
