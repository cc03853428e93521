"""From gaze and head angles to a picture of the head.

A pinhole camera looks at the face from two metres. Light comes from the image's upper
left and stays there while the head turns. Skin is lit per vertex (the mesh is fine
enough); the eyeballs are not meshes but exact spheres, so that irises stay round and
sharp at every size.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from gazehead_jax import motion
from gazehead_jax.errors import GazeheadError
from gazehead_jax.head3d import raster
from gazehead_jax.head3d.mesh import MASKS, HeadMesh, load_head, vertex_normals

DISTANCE = 2.0  # metres from the camera to the middle between the eyes
NEAR, FAR = 1.78, 2.34
HALF_VIEW = 0.145  # metres at DISTANCE from the image's middle to its edge
CENTRE = np.float32([0.0, 0.022, 0.0])  # what the image's middle shows, head axes
NECK_SHARE = 0.4  # of the head's turn happens at the neck's foot
LID_FULL = np.deg2rad(22.0)  # eye pitch at which a lid shape is at full strength
IRIS = np.deg2rad(26.0)  # seen from the eyeball's centre
PUPIL = np.deg2rad(11.0)

# sRGB, 0 to 1.
SKIN = (0.83, 0.66, 0.575)
LIPS = (0.72, 0.42, 0.40)
HAIR = (0.25, 0.185, 0.15)
CLOTH = (0.30, 0.37, 0.45)
SCLERA = (0.93, 0.91, 0.89)
IRIS_COLOUR = (0.25, 0.42, 0.50)
BACKGROUND_TOP, BACKGROUND_BOTTOM = (0.86, 0.88, 0.90), (0.66, 0.70, 0.74)

KEY = np.float32([-0.42, -0.55, -0.72])
KEY /= np.linalg.norm(KEY)


@dataclasses.dataclass(frozen=True, eq=False)
class Pose:
    """Where the parts of the head are, camera frame, metres.

    Attributes:
      points: `[v, 3]` vertices.
      normals: `[v, 3]` unit normals.
      eyes: `[2, 3]` centres of the eyeballs, image-left first when the head is still.
      forward: `[3]` unit vector along which both eyeballs point.
      up: `[3]` the head's own up.
    """

    points: jax.Array
    normals: jax.Array
    eyes: jax.Array
    forward: jax.Array
    up: jax.Array


jax.tree_util.register_dataclass(Pose)


def _linear(colour) -> np.ndarray:
    return np.asarray(colour, np.float32) ** 2.2


def pose_head(
    mesh: HeadMesh,
    gaze: Float[Array, " 2"],
    head: Float[Array, " 3"],
    blink: Float[Array, ""],
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
    origin = jnp.float32([0, 0, DISTANCE]) - CENTRE
    joint = mesh.neck_joint + bend @ (mesh.head_joint - mesh.neck_joint)
    to_head = lambda p: joint[None] + (p - mesh.head_joint[None]) @ turn.T
    to_neck = lambda p: mesh.neck_joint[None] + (p - mesh.neck_joint[None]) @ bend.T
    h, n = mesh.head_weight[:, None], mesh.neck_weight[:, None]
    points = h * to_head(vertices) + n * to_neck(vertices) + (1 - h - n) * vertices
    normals = h * (normals @ turn.T) + n * (normals @ bend.T) + (1 - h - n) * normals
    normals /= jnp.linalg.norm(normals, axis=1, keepdims=True)
    return Pose(
        points=points + origin[None],
        normals=normals,
        eyes=to_head(jnp.asarray(mesh.eyes)) + origin[None],
        forward=turn @ motion.angles_to_vector(eye),
        up=-turn[:, 1],
    )


def _normals(mesh: HeadMesh, weights: Float[Array, " 3"]) -> Float[Array, "v 3"]:
    rest = vertex_normals(mesh.vertices, mesh.faces)
    change = np.stack(
        [vertex_normals(mesh.deformed(w), mesh.faces) - rest for w in np.eye(3)]
    )
    return rest + jnp.tensordot(weights, change, 1)


def project(points: Float[Array, "*n 3"], size: int) -> Float[Array, "*n 3"]:
    """Camera-frame points to (x, y) in pixels, centres at +0.5, and inverse depth."""
    inverse = 1 / points[..., 2]
    focal = size / 2 * DISTANCE / HALF_VIEW
    xy = points[..., :2] * (focal * inverse)[..., None] + size / 2
    return jnp.concatenate([xy, inverse[..., None]], axis=-1)


def _light(normals, openness):
    """Light on surfaces, linear RGB: sky, key light and a faint edge."""
    sky = 0.5 - 0.5 * normals[:, 1]
    ambient = (0.22 + 0.33 * sky) * openness
    lambert = normals @ KEY
    # The terminator of skin is soft, and reddish as light comes back out of it.
    soft = jnp.clip((lambert[:, None] + np.float32([[0.32, 0.20, 0.16]])) / 1.25, 0, 1)
    key = 0.95 * soft * (0.35 + 0.65 * openness)[:, None]
    return ambient[:, None] * np.float32([[0.97, 1.0, 1.05]]) + key


def _vertex_colours(mesh: HeadMesh, pose: Pose) -> Float[Array, "v 3"]:
    albedo = np.tile(_linear(SKIN), (len(mesh.vertices), 1))
    masks = dict(zip(MASKS, mesh.masks[:, :, None], strict=True))
    for name, colour, strength in (
        ("lips", LIPS, 0.55),
        ("lid_rim", (0.22, 0.14, 0.12), 0.85),
        ("brow", HAIR, 0.85),
        ("hair", HAIR, 1.0),
        ("cloth", CLOTH, 1.0),
    ):
        share = strength * masks[name]
        albedo = albedo * (1 - share) + _linear(colour)[None] * share
    lit = albedo * _light(pose.normals, mesh.openness)
    half = KEY + np.float32([0, 0, -1])
    half /= np.linalg.norm(half)
    shine = jnp.clip(pose.normals @ half, 0, 1) ** 24
    gloss = 0.05 + 0.10 * masks["lips"] - 0.02 * masks["hair"] - 0.05 * masks["cloth"]
    lit = lit + gloss * (shine * mesh.openness)[:, None]
    return jnp.clip(lit, 0, 1) ** (1 / 2.2)


def _paint(buffer: raster.ZBuffer, points, colours, faces, background):
    """`[3, h, w]` the skin before the background."""
    size = background.shape[0]
    seen = raster.interpolate(buffer, points, colours, faces, size=size)
    planes = [
        jnp.where(buffer.covered, jnp.clip(c, 0, 1), background[..., i].ravel())
        for i, c in enumerate(seen)
    ]
    return jnp.stack(planes).reshape(3, size, size)


def _draw_eye(image, buffer: raster.ZBuffer, centre, pose: Pose, radius):
    """Paints one eyeball into its window of the image, behind the lids."""
    size = image.shape[-1]
    focal = size / 2 * DISTANCE / HALF_VIEW
    edge = int(2 * radius * focal / NEAR) + 3
    middle = project(centre, size)[:2]
    corner = jnp.clip(jnp.round(middle - edge / 2), 0, size - edge).astype(jnp.int32)
    left, top = corner[0], corner[1]
    patch = jax.lax.dynamic_slice(image, (0, top, left), (3, edge, edge))
    keys = buffer.keys.reshape(size, size)
    skin = jax.lax.dynamic_slice(keys, (top, left), (edge, edge))

    step = jnp.arange(edge, dtype=jnp.float32) + 0.5
    x = jnp.broadcast_to((left + step - size / 2) / focal, (edge, edge))
    y = jnp.broadcast_to(((top + step - size / 2) / focal)[:, None], (edge, edge))
    ray = jnp.stack([x, y, jnp.ones_like(x)], axis=-1).reshape(-1, 3)
    ray_centre, ray_ray = ray @ centre, (ray**2).sum(-1)
    under = ray_centre**2 - ray_ray * (centre @ centre - radius**2)
    depth = (ray_centre - jnp.sqrt(jnp.maximum(under, 0))) / ray_ray
    normal = (ray * depth[:, None] - centre[None]) / radius
    colour = _eye_colour(normal, pose, radius * focal / DISTANCE)
    seen = (under > 0) & (1 / depth > raster.inverse_depth(skin.ravel(), NEAR, FAR))
    colour = jnp.where(seen, colour.T, patch.reshape(3, -1))
    patch = colour.reshape(3, edge, edge)
    return jax.lax.dynamic_update_slice(image, patch, (0, top, left))


def _eye_colour(normal, pose: Pose, radius_px):
    """sRGB of the eyeball where it has these outward normals."""
    angle = jnp.arccos(jnp.clip(normal @ pose.forward, -1, 1))
    # One pixel's worth of angle softens the edges of iris and pupil.
    blur = 0.8 / radius_px
    inside = lambda limit: jnp.clip((limit - angle) / blur + 0.5, 0, 1)[:, None]
    ring = jnp.clip((angle / IRIS - 0.72) / 0.28, 0, 1)[:, None]
    iris = _linear(IRIS_COLOUR)[None] * (1.25 - 0.85 * ring)
    albedo = _linear(SCLERA)[None] * (1 - inside(IRIS)) + iris * inside(IRIS)
    albedo = albedo * (1 - inside(PUPIL)) + 0.008 * inside(PUPIL)
    # The upper lid shades the top of the ball.
    height = normal @ pose.up
    shade = 1 - 0.6 * jnp.clip((height - 0.02) / 0.42, 0, 1)
    lit = albedo * (0.40 + 0.62 * jnp.clip(normal @ KEY + 0.25, 0, 1))[:, None]
    lit = lit * shade[:, None]
    half = KEY + np.float32([0, 0, -1])
    half /= np.linalg.norm(half)
    # The cornea is the rounder ball: its normals fan out faster.
    bulge = normal - 0.45 * pose.forward[None]
    bulge /= jnp.linalg.norm(bulge, axis=1, keepdims=True)
    glint = jnp.clip((bulge @ half - 0.97) / 0.02, 0, 1)[:, None]
    return jnp.clip(lit + 0.8 * glint * inside(IRIS * 1.1), 0, 1) ** (1 / 2.2)


def _background(size: int) -> np.ndarray:
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    share = np.clip(0.5 + 0.8 * y + 0.9 * (x**2 + y**2), 0, 1)[..., None]
    top, bottom = np.float32(BACKGROUND_TOP), np.float32(BACKGROUND_BOTTOM)
    return (top * (1 - share) + bottom * share).astype(np.float32)


def _room(mesh: HeadMesh, size: int) -> tuple[int, int]:
    """Runs enough for any pose (the most that a coarse sweep needs, and a fifth), and
    how long they are."""
    sweep = np.deg2rad(
        [
            (pitch, yaw, roll)
            for pitch in (-60, -25, 0, 25, 60)
            for yaw in range(-180, 180, 20)
            for roll in (-40, 0, 40)
        ]
    ).astype(np.float32)

    def needed(head):
        pose = pose_head(mesh, head[:2], head, jnp.float32(0))
        return raster.count_runs(project(pose.points, size), mesh.faces, size)

    most = jax.jit(lambda heads: jax.lax.map(needed, heads).max(0))(sweep)
    for length, runs in zip(raster.RUN_LENGTHS, 1.2 * np.asarray(most), strict=True):
        if runs <= raster.MAX_RUNS:
            return int(runs), length
    raise GazeheadError(
        f"a picture of {size} samples on each side is too fine for the rasteriser; "
        "choose a smaller size or a smaller supersample."
    )


def make_renderer(size: int, *, supersample: int = 2, mesh: HeadMesh | None = None):
    """A jitted function `(gaze [b, 2], head [b, 3], blink [b]) → uint8 [b, h, w, 3]`.

    Angles are radians in the camera frame, `blink` is 0 (open) to 1 (shut). It compiles
    once per batch size.

    Args:
      size: edge of the square picture, pixels.
      supersample: samples per pixel and axis.
      mesh: the head; the package's own if left out.
    """
    mesh = load_head() if mesh is None else mesh
    inner = size * supersample
    runs, length = _room(mesh, inner)
    background = _background(inner)

    def frame(gaze, head, blink) -> UInt8[Array, "size size 3"]:
        pose = raster.stage(lambda *a: pose_head(mesh, *a), gaze, head, blink)
        points = raster.stage(lambda p: project(p, inner), pose.points)
        colours = raster.stage(lambda p: _vertex_colours(mesh, p), pose)
        buffer = raster.rasterise(
            points,
            mesh.faces,
            size=inner,
            runs=runs,
            length=length,
            near=NEAR,
            far=FAR,
        )
        image = raster.stage(
            lambda *a: _paint(*a, mesh.faces, background), buffer, points, colours
        )
        for centre in pose.eyes:
            image = _draw_eye(image, buffer, centre, pose, mesh.eye_radius)
        s = supersample
        image = sum(image[:, i::s, j::s] for i in range(s) for j in range(s)) / s**2
        return (image * 255 + 0.5).astype(jnp.uint8).transpose(1, 2, 0)

    return jax.jit(
        lambda gaze, head, blink: jax.lax.map(lambda a: frame(*a), (gaze, head, blink))
    )
