"""From gaze and head angles to a picture of the head.

A pinhole camera looks at the face, by default from two metres (`View`). Light comes
from the image's upper left and stays there while the head turns. Skin is lit per vertex
(the mesh is fine enough); the eyeballs are not meshes but exact spheres, so that irises
stay round and sharp at every size.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from gazehead_jax import motion
from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.head3d import paint, raster
from gazehead_jax.head3d.eyes import draw_eye
from gazehead_jax.head3d.look import (
    AXIS,
    FRONT,
    PLAIN,
    Look,
    Pose,
    View,
    halfway,
    linear,
    project,
)
from gazehead_jax.head3d.mesh import MASKS, HeadMesh, load_head, vertex_normals

NECK_SHARE = 0.4  # of the head's turn happens at the neck's foot
LID_FULL = np.deg2rad(22.0)  # eye pitch at which a lid shape is at full strength
STRANDS = 600  # of hair, from ear to ear
BACKGROUND_TOP, BACKGROUND_BOTTOM = (0.86, 0.88, 0.90), (0.66, 0.70, 0.74)


def pose_head(
    mesh: HeadMesh,
    gaze: Float[Array, " 2"],
    head: Float[Array, " 3"],
    blink: Float[Array, ""],
    view: View = FRONT,
) -> Pose:
    """Turns the neck and head, then the eyeballs by the gaze in the head, and sets the
    lids by the eyes' pitch; `blink` 1 shuts them."""
    eye = motion.gaze_in_head(gaze, head)
    down = jnp.clip(-eye[0] / LID_FULL, 0, 1.5) * (1 - blink)
    up = jnp.clip(1.4 * eye[0] / LID_FULL, 0, 2) * (1 - blink)
    weights = jnp.stack([blink, down, up])
    vertices = mesh.vertices + jnp.tensordot(weights, mesh.shapes, 1)
    normals = _normals(mesh, weights)

    turn = motion.head_to_matrix(head)
    bend = motion.head_to_matrix(NECK_SHARE * head)
    origin = jnp.float32(view.place)
    joint = mesh.neck_joint + bend @ (mesh.head_joint - mesh.neck_joint)
    to_head = lambda p: joint[None] + (p - mesh.head_joint[None]) @ turn.T
    to_neck = lambda p: mesh.neck_joint[None] + (p - mesh.neck_joint[None]) @ bend.T
    h, n = mesh.head_weight[:, None], mesh.neck_weight[:, None]
    points = h * to_head(vertices) + n * to_neck(vertices) + (1 - h - n) * vertices
    normals = h * (normals @ turn.T) + n * (normals @ bend.T) + (1 - h - n) * normals
    normals /= jnp.linalg.norm(normals, axis=1, keepdims=True)
    eyes, forward = to_head(jnp.asarray(mesh.eyes)), turn @ motion.angles_to_vector(eye)
    if any(view.towards):
        about = lambda p: (p - AXIS[None]) @ view.turn.T + AXIS[None]
        points, eyes, normals = about(points), about(eyes), normals @ view.turn.T
        turn, forward = view.turn @ turn, view.turn @ forward
    return Pose(
        points=points + origin[None],
        normals=normals,
        eyes=eyes + origin[None],
        forward=forward,
        front=-turn[:, 2],
        up=-turn[:, 1],
    )


def _normals(mesh: HeadMesh, weights: Float[Array, " 3"]) -> Float[Array, "v 3"]:
    rest = vertex_normals(mesh.vertices, mesh.faces)
    change = np.stack(
        [vertex_normals(mesh.deformed(w), mesh.faces) - rest for w in np.eye(3)]
    )
    return rest + jnp.tensordot(weights, change, 1)


def _light(normals, openness, towards):
    """Light on surfaces, linear RGB: sky, key light and a faint edge."""
    sky = 0.5 - 0.5 * normals[:, 1]
    ambient = (0.22 + 0.33 * sky) * openness
    lambert = normals @ towards
    # The terminator of skin is soft, and reddish as light comes back out of it.
    soft = jnp.clip((lambert[:, None] + np.float32([[0.32, 0.20, 0.16]])) / 1.25, 0, 1)
    key = 0.95 * soft * (0.35 + 0.65 * openness)[:, None]
    return ambient[:, None] * np.float32([[0.97, 1.0, 1.05]]) + key


def _vertex_colours(mesh: HeadMesh, pose: Pose, look: Look) -> Float[Array, "v 3"]:
    albedo = np.tile(linear(look.skin), (len(mesh.vertices), 1))
    if look.detail:
        blood = look.detail * paint.blush(mesh.vertices)[:, None]
        albedo = albedo * (1 - blood * np.float32([[0.01, 0.17, 0.19]]))
    masks = dict(zip(MASKS, mesh.masks[:, :, None], strict=True))
    lashes = np.float32([0.22, 0.14, 0.12]) * (1 - 0.5 * look.detail)
    for name, colour, strength in (
        ("lips", look.lips, 0.55),
        ("lid_rim", lashes, 0.85),
        ("brow", look.hair, 0.85),
        ("hair", look.hair, 1.0),
        ("cloth", look.cloth, 1.0),
    ):
        share = strength * masks[name]
        albedo = albedo * (1 - share) + linear(colour)[None] * share
    lit = albedo * _light(pose.normals, mesh.openness, look.light)
    half = halfway(look)
    shine = jnp.clip(pose.normals @ half, 0, 1) ** 24
    gloss = 0.05 + 0.10 * masks["lips"] - 0.02 * masks["hair"] - 0.05 * masks["cloth"]
    lit = lit + gloss * (shine * mesh.openness)[:, None]
    if look.detail:
        tint = 0.4 + linear(look.hair)[None] / linear(look.hair).max()
        lit = (
            lit + look.detail * masks["hair"] * _sheen(mesh, pose, look)[:, None] * tint
        )
    return jnp.clip(lit, 0, 1) ** (1 / 2.2)


def _sheen(mesh: HeadMesh, pose: Pose, look: Look) -> Float[Array, " v"]:
    """The band of light on combed hair (Kajiya and Kay 1989): it runs across strands."""
    back = -pose.front
    along = back[None] - (pose.normals @ back)[:, None] * pose.normals
    along /= jnp.maximum(jnp.linalg.norm(along, axis=1, keepdims=True), 1e-6)
    across = 1 - jnp.clip((along @ halfway(look)) ** 2, 0, 1)
    lit = jnp.clip(pose.normals @ look.light + 0.2, 0, 1) * mesh.openness
    return lit * (0.015 * across**6 + 0.03 * across**40)


def _strand_table(detail: float) -> np.ndarray:
    """How bright strands of hair are: by place across the head, in steps; then 1."""
    rng = np.random.default_rng(5)
    noise = np.zeros(STRANDS)
    for width, strength in ((2, 0.10), (5, 0.16), (14, 0.14)):
        knots = rng.uniform(-1, 1, STRANDS // width + 2)
        noise += strength * np.interp(
            np.arange(STRANDS) / width, range(len(knots)), knots
        )
    return np.append(1 + detail * noise, 1).astype(np.float32)


def _paint(buffer: raster.ZBuffer, points, colours, faces, background, strands, look):
    """`[3, h, w]` the skin before the background."""
    size = background.shape[0]
    if look.detail:
        colours = jnp.concatenate([colours, strands[:, None]], axis=1)
    seen = raster.interpolate(buffer, points, colours, faces, size=size)
    if look.detail:
        table = jnp.asarray(_strand_table(look.detail))
        step = lambda u: jnp.clip(u * STRANDS, 0, STRANDS).astype(jnp.int32)
        bright = raster.stage(lambda u: table[step(u)], seen.pop())
        seen = [channel * bright for channel in seen]
    planes = [
        jnp.where(buffer.covered, jnp.clip(c, 0, 1), background[..., i].ravel())
        for i, c in enumerate(seen)
    ]
    return jnp.stack(planes).reshape(3, size, size)


def _studio(size: int) -> np.ndarray:
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    share = np.clip(0.5 + 0.8 * y + 0.9 * (x**2 + y**2), 0, 1)[..., None]
    top, bottom = np.float32(BACKGROUND_TOP), np.float32(BACKGROUND_BOTTOM)
    return (top * (1 - share) + bottom * share).astype(np.float32)


def _cover(picture: np.ndarray, size: int) -> np.ndarray:
    """`[size, size, 3]` the middle square of a picture."""
    height, width, _ = picture.shape
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    square = picture[top : top + edge, left : left + edge]
    scaled = jax.image.resize(square, (size, size, 3), "linear")
    return np.clip(np.asarray(scaled, np.float32), 0, 1)


def _room(mesh: HeadMesh, size: int, view: View = FRONT) -> raster.Room:
    """Room enough for any pose: the most that a coarse sweep needs, and a fifth."""
    sweep = np.deg2rad(
        [
            (pitch, yaw, roll)
            for pitch in (-60, -25, 0, 25, 60)
            for yaw in range(-180, 180, 20)
            for roll in (-40, 0, 40)
        ]
    ).astype(np.float32)

    def most(count):
        def one(head):
            pose = pose_head(mesh, head[:2], head, jnp.float32(0), view)
            return count(project(pose.points, size, view), mesh.faces, size)

        counts = jax.jit(lambda heads: jax.lax.map(one, heads).max(0))(sweep)
        return (1.2 * np.asarray(counts)).astype(int).tolist()

    rows = most(raster.count_rows)
    if rows <= raster.MAX_ROWS:
        runs = most(lambda *a: raster.count_runs(*a, rows))
        for length, count in zip(raster.RUN_LENGTHS, runs, strict=True):
            if count <= raster.MAX_RUNS:
                return raster.Room(rows, count, length)
    raise GazeheadError(
        f"a picture of {size} samples on each side is too fine for the rasteriser; "
        "choose a smaller size or a smaller supersample."
    )


def make_renderer(
    size: int,
    *,
    supersample: int = 2,
    mesh: HeadMesh | None = None,
    view: View = FRONT,
    look: Look = PLAIN,
    background: Float[np.ndarray, "h w 3"] | None = None,
):
    """A jitted function `(gaze [b, 2], head [b, 3], blink [b]) → uint8 [b, h, w, 3]`.

    Angles are radians in the camera frame, `blink` is 0 (open) to 1 (shut). It compiles
    once per batch size.

    Args:
      size: edge of the square picture, pixels.
      supersample: samples per pixel and axis.
      mesh: the head; the package's own if left out.
      view: camera and place.
      look: colours and light.
      background: a picture of any size that fills what is behind the head, sRGB 0 to 1,
        cut to a square; a plain studio if left out.

    Raises:
      GazeheadError: a picture too fine for the rasteriser, or a head that the camera
        would be in.
    """
    require(
        view.near > 0,
        f"the head must be more than {view.place[2] - view.near:g} m before the camera, "
        f"got {view.place[2]:g} m.",
    )
    mesh = load_head() if mesh is None else mesh
    inner = size * supersample
    room = _room(mesh, inner, view)
    hair = mesh.masks[MASKS.index("hair")]
    strands = paint.strands(mesh.vertices, hair).astype(np.float32)
    behind = _studio(inner) if background is None else _cover(background, inner)

    def frame(gaze, head, blink) -> UInt8[Array, "size size 3"]:
        pose = raster.stage(lambda *a: pose_head(mesh, *a, view), gaze, head, blink)
        points = raster.stage(lambda p: project(p, inner, view), pose.points)
        colours = raster.stage(lambda p: _vertex_colours(mesh, p, look), pose)
        buffer = raster.rasterise(
            points,
            mesh.faces,
            size=inner,
            room=room,
            near=view.near,
            far=view.far,
        )
        image = raster.stage(
            lambda *a: _paint(*a, mesh.faces, behind, strands, look),
            buffer,
            points,
            colours,
        )
        for centre in pose.eyes:
            image = draw_eye(image, buffer, centre, pose, mesh.eye_radius, view, look)
        s = supersample
        image = sum(image[:, i::s, j::s] for i in range(s) for j in range(s)) / s**2
        return (image * 255 + 0.5).astype(jnp.uint8).transpose(1, 2, 0)

    return jax.jit(
        lambda gaze, head, blink: jax.lax.map(lambda a: frame(*a), (gaze, head, blink))
    )
