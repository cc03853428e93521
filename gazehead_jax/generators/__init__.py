"""Faces that a motion can drive: a drawing that needs no weights, and converted networks.

    from gazehead_jax.generators import make_generator

    face = make_generator("tha3", portrait="character.png")

Each network lives in a subpackage, whose heavy imports wait until it is made.
"""

from pathlib import Path

from gazehead_jax.errors import require
from gazehead_jax.generators.generator import Generator as Generator
from gazehead_jax.generators.generator import Reach as Reach

DEFAULT = "head3d"


def make_generator(
    name: str = DEFAULT,
    *,
    portrait: str | Path | None = None,
    folder: str | Path | None = None,
    size: int | None = None,
    **options,
) -> Generator:
    """A generator by its name.

    Args:
      name: one of `GENERATORS`.
      portrait: the picture whose face moves. liveportrait and sted need one; tha3 draws
        a character of its own if there is none.
      folder: where to look for weights first; see `gazehead_jax.weights`.
      size: edge of the picture in pixels, of head3d; networks have their own.
      **options: of the generator's own class.

    Raises:
      GazeheadError: an unknown name, a portrait missing or not used, a size for a
        network, an option that the generator does not have, or as its class.
    """
    require(
        name in GENERATORS,
        f"a generator must be one of {', '.join(GENERATORS)}, got {name!r}.",
    )
    if name == DEFAULT:
        require(
            portrait is None,
            "head3d draws its own head and takes no portrait; leave it out, or choose "
            f"one of {', '.join(n for n in GENERATORS if n != DEFAULT)}.",
        )
        sized = {} if size is None else {"size": size}
        return GENERATORS[name](**sized, **options)
    require(
        portrait is not None or name == "tha3",
        f"the generator {name} moves the face of a picture; give a portrait.",
    )
    require(
        size is None,
        f"the generator {name} draws in a size of its own; leave the size out.",
    )
    return GENERATORS[name](portrait, weights=folder, **options)


def _head3d(**options) -> Generator:
    from gazehead_jax.generators.head3d import Head3dGenerator

    return Head3dGenerator(**options)


def _tha3(portrait, **options) -> Generator:
    from gazehead_jax.generators.tha3 import Tha3Generator
    from gazehead_jax.generators.tha3.character import draw_character

    portrait = draw_character() if portrait is None else portrait
    return Tha3Generator(portrait, **options)


def _liveportrait(portrait, weights=None, **options) -> Generator:
    from gazehead_jax.generators.liveportrait import LivePortraitGenerator
    from gazehead_jax.generators.portraits import find_faces, read_portrait

    picture = read_portrait(portrait)
    if "landmarks" not in options:
        options["landmarks"] = find_faces(picture, weights)
    return LivePortraitGenerator(picture, weights, **options)


def _sted(portrait, weights=None, **options) -> Generator:
    from gazehead_jax.generators.portraits import find_faces, read_portrait
    from gazehead_jax.generators.sted import StedGenerator

    picture = read_portrait(portrait)
    # Its own kind of face patch is taken as it is.
    if "landmarks" not in options and picture.shape[:2] != StedGenerator.size:
        options["landmarks"] = find_faces(picture, weights)
    return StedGenerator(picture, weights, **options)


GENERATORS = {
    "head3d": _head3d,
    "tha3": _tha3,
    "liveportrait": _liveportrait,
    "sted": _sted,
}
