"""The head that is drawn: geometry in metres, in the head's own axes.

The axes are those of the camera when all head angles are zero (x right, y down, z away
from the camera; see `gazehead_jax.motion`), so the face looks along -z. The origin is
the middle between the eyes. Everything comes from `head.npz`, which `bake.py` makes.
"""

import dataclasses
import functools
from pathlib import Path

import numpy as np

from gazehead_jax.errors import require

ASSET = Path(__file__).with_name("head.npz")
PEOPLE_ASSET = Path(__file__).with_name("people.npz")
ANATOMICAL_IRIS = float(np.arctan2(5.85, 10.0))
SHAPES = ("blink", "look_down", "look_up")
PEOPLE = tuple(
    f"{kind}_{sex}"
    for kind in ("african", "asian", "caucasian")
    for sex in ("female", "male")
)
MASKS = ("lips", "hair", "brow", "lid_rim", "cloth")


@dataclasses.dataclass(frozen=True, eq=False)
class HeadMesh:
    """A head at rest.

    Attributes:
      vertices: `[v, 3]` float32, metres.
      faces: `[f, 3]` int32, counter-clockwise seen from outside in the image.
      shapes: `[3, v, 3]` float32, offsets of `SHAPES` at full strength.
      masks: `[5, v]` float32 in [0, 1], what each vertex belongs to, by `MASKS`.
      openness: `[v]` float32 in [0, 1], share of the sky that the vertex sees.
      head_weight, neck_weight: `[v]` float32 in [0, 1]; how far a vertex follows the
        head joint and the neck joint. Their sum is at most 1, the rest stays still.
      head_joint, neck_joint: `[3]` float32, the pivots.
      eyes: `[2, 3]` float32, centres of the eyeballs, image-left first.
      eye_radius: metres.
      provenance: where it comes from and under which licence.
    """

    vertices: np.ndarray
    faces: np.ndarray
    shapes: np.ndarray
    masks: np.ndarray
    openness: np.ndarray
    head_weight: np.ndarray
    neck_weight: np.ndarray
    head_joint: np.ndarray
    neck_joint: np.ndarray
    eyes: np.ndarray
    eye_radius: float
    provenance: str

    @property
    def anatomical_eyeball(self) -> float:
        """Radius of the sphere through the edge of a true iris, in eye radii.

        In adults the iris is 11.7 mm wide and lies 10.0 mm before the eye's centre of
        rotation, where the pupils are 63 mm apart. Touching the mesh's eyeball at the
        front, such a sphere has its centre 5 to 6 mm (of these 63) behind the middle of
        the corners that are seen, as in people.
        """
        apart = float(np.linalg.norm(self.eyes[1] - self.eyes[0]))
        return float(np.hypot(10.0, 5.85) / 63.0 * apart / self.eye_radius)

    def deformed(self, weights) -> np.ndarray:
        """`[v, 3]` vertices with the shapes at `weights` `[3]`."""
        return self.vertices + np.tensordot(
            np.asarray(weights, np.float32), self.shapes, 1
        )


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """`[v, 3]` outward unit normals, area-weighted over the faces of a vertex."""
    corners = vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(total, faces[:, corner], normal)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


@functools.cache
def load_head(path: Path = ASSET) -> HeadMesh:
    """The head that ships with the package."""
    with np.load(path, allow_pickle=False) as file:
        scale = file["scale"]
        shapes = np.zeros((len(SHAPES), len(file["vertices"]), 3), np.float32)
        shapes[file["shape_index"], file["shape_vertex"]] = file["shape_offset"] * scale
        return HeadMesh(
            vertices=(file["vertices"] * scale).astype(np.float32),
            faces=file["faces"].astype(np.int32),
            shapes=shapes,
            masks=file["masks"].astype(np.float32) / 255,
            openness=file["openness"].astype(np.float32) / 255,
            head_weight=file["head_weight"].astype(np.float32) / 255,
            neck_weight=file["neck_weight"].astype(np.float32) / 255,
            head_joint=file["head_joint"],
            neck_joint=file["neck_joint"],
            eyes=file["eyes"],
            eye_radius=float(file["eye_radius"]),
            provenance=str(file["provenance"]),
        )


@functools.cache
def load_person(name: str, path: Path = PEOPLE_ASSET) -> HeadMesh:
    """One of `PEOPLE`: another face on the same triangles, with its own eyes.

    Raises:
      GazeheadError: there is no such person.
    """
    require(
        name in PEOPLE, f"a person must be one of {', '.join(PEOPLE)}, got {name!r}."
    )
    index = PEOPLE.index(name)
    head = load_head()
    with np.load(path, allow_pickle=False) as file:
        return dataclasses.replace(
            head,
            vertices=head.vertices + file["offsets"][index] * file["scale"],
            head_joint=file["head_joint"][index],
            neck_joint=file["neck_joint"][index],
            eyes=file["eyes"][index],
            eye_radius=float(file["eye_radius"][index]),
        )
