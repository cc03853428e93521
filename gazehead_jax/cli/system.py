"""Commands about this machine: what it has, weights, and a demo of everything."""

from gazehead_jax.cli.common import add_weights_dir, start


def add_commands(add) -> None:
    p = add("doctor", _doctor, "check versions, devices, caches and optional packages")

    p = add("demo", _demo, "train, sample, judge and render on the shipped sequences")
    p.add_argument("--out", default="out/demo", help="folder for everything it makes")

    p = add("weights", _weights, "list the networks' weights, or fetch them")
    add_weights_dir(p)
    actions = p.add_subparsers(dest="action", metavar="list|get")
    actions.add_parser("list", help="what is known, its licence, whether it is there")
    get = actions.add_parser("get", help="fetch into the cache")
    get.add_argument("name", nargs="+", metavar="NAME")
    get.set_defaults(run=_weights_get)


def _weights(args) -> None:
    from gazehead_jax import weights

    print(weights.listing_text(args.weights))


def _weights_get(args) -> None:
    from gazehead_jax import weights

    for name in args.name:
        print(weights.fetch(name))


def _doctor(args) -> int:
    from rich.console import Console
    from rich.text import Text

    from gazehead_jax.doctor import checkup

    console = Console(highlight=False)
    colours = {"ok": "green", "missing": "yellow", "bad": "red"}
    checks = checkup()
    for check in checks:
        mark = (f"{check.status:>7}", colours[check.status])
        line = Text.assemble(mark, f"  {check.what:<20} {check.detail}")
        console.print(line, soft_wrap=True)
    return 2 if any(c.status == "bad" for c in checks) else 0


def _demo(args) -> None:
    start()
    from gazehead_jax.demo import demo

    demo(args.out)
