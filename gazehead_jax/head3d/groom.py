"""The head made up for being looked at: a clean neckline and hair with some volume.

Done when the head is loaded, not baked: pictures that are measured keep the bare head.
"""

import dataclasses
import functools

import numpy as np

from gazehead_jax.head3d import paint
from gazehead_jax.head3d.mesh import MASKS, HeadMesh, load_head, vertex_normals

CLOTH, HAIR = MASKS.index("cloth"), MASKS.index("hair")


@functools.cache
def groomed_head() -> HeadMesh:
    """The package's own head, made up."""
    return with_hair(with_neckline(load_head()))


def with_hair(mesh: HeadMesh) -> HeadMesh:
    """Hair that stands off the skull, most above the forehead, in soft locks."""
    x, y, z = mesh.vertices.T
    top = paint.smooth(0.035, 0.10, -y)
    front = 1 - paint.smooth(-0.02, 0.09, z)
    locks = np.sin(260 * x + 60 * z) * np.sin(90 * z + 2) + 0.6 * np.sin(140 * x - 1)
    lift = 0.001 + 0.003 * top + 0.004 * top * front + 0.0011 * locks * (0.4 + top)
    normals = vertex_normals(mesh.vertices, mesh.faces)
    offset = normals * (mesh.masks[HAIR] ** 2 * lift)[:, None]
    return dataclasses.replace(
        mesh, vertices=(mesh.vertices + offset).astype(np.float32)
    )


def with_neckline(mesh: HeadMesh) -> HeadMesh:
    """The mesh cut along the edge of the shirt, whose two sides share no vertex."""
    level = paint.below_neckline(mesh.vertices)
    edges = np.sort(mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    edges = np.unique(edges, axis=0)
    edges = edges[(level[edges[:, 0]] > 0) != (level[edges[:, 1]] > 0)]
    one, two = level[edges].T
    share = one / (one - two)
    mesh = split(mesh, edges, share)
    level = np.concatenate([level, np.zeros(len(edges))])
    cloth = level[mesh.faces].sum(1) > 0
    # What the skin keeps of the seam gets vertices of its own.
    seam = np.unique(mesh.faces[~cloth][level[mesh.faces[~cloth]] >= 0])
    copy = np.arange(len(level))
    copy[seam] = len(level) + np.arange(len(seam))
    faces = np.where(cloth[:, None], mesh.faces, copy[mesh.faces])
    mesh = _taken(mesh, np.concatenate([np.arange(len(level)), seam]), faces)
    masks = mesh.masks.copy()
    masks[CLOTH] = np.isin(np.arange(len(mesh.vertices)), faces[cloth])
    return dataclasses.replace(mesh, masks=masks)


def split(mesh: HeadMesh, edges: np.ndarray, share: np.ndarray) -> HeadMesh:
    """Puts a vertex on each edge, `share` of the way along it, without cracks."""
    first = len(mesh.vertices)
    cut = {tuple(e): first + i for i, e in enumerate(edges.tolist())}
    faces = []
    for a, b, c in mesh.faces.tolist():
        ab, bc, ca = (cut.get(tuple(sorted(e))) for e in ((a, b), (b, c), (c, a)))
        # A line crosses two edges of a triangle or none; turned until it parts off a.
        for _ in range(3):
            if bc is None:
                break
            a, b, c, ab, bc, ca = b, c, a, bc, ca, ab
        if ab is None:
            faces.append((a, b, c))
        else:
            faces += [(a, ab, ca), (ab, b, c), (ab, c, ca)]

    def per_vertex(values):
        along = share.reshape(-1, *[1] * (values.ndim - 1))
        new = values[edges[:, 0]] * (1 - along) + values[edges[:, 1]] * along
        return np.concatenate([values, new]).astype(np.float32)

    return dataclasses.replace(
        mesh,
        vertices=per_vertex(mesh.vertices),
        faces=np.array(faces, np.int32),
        shapes=per_vertex(mesh.shapes.swapaxes(0, 1)).swapaxes(0, 1),
        masks=per_vertex(mesh.masks.T).T,
        openness=per_vertex(mesh.openness),
        head_weight=per_vertex(mesh.head_weight),
        neck_weight=per_vertex(mesh.neck_weight),
    )


def _taken(mesh: HeadMesh, vertices: np.ndarray, faces: np.ndarray) -> HeadMesh:
    return dataclasses.replace(
        mesh,
        vertices=mesh.vertices[vertices],
        faces=faces.astype(np.int32),
        shapes=mesh.shapes[:, vertices],
        masks=mesh.masks[:, vertices],
        openness=mesh.openness[vertices],
        head_weight=mesh.head_weight[vertices],
        neck_weight=mesh.neck_weight[vertices],
    )
