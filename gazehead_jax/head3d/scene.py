"""From gaze and head angles to a picture of the head.

A pinhole camera looks at the face, by default from two metres (`View`). Light comes
from the image's upper left and stays there while the head turns. Skin is lit per vertex
(the mesh is fine enough); the eyeballs are not meshes but exact spheres, so that irises
stay round and sharp at every size.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from gazehead_jax import motion
from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.head3d import paint, raster
from gazehead_jax.head3d.mesh import MASKS, HeadMesh, load_head, vertex_normals

DISTANCE = 2.0  # metres from the camera to the middle between the eyes
IN_FRONT, BEHIND = 0.22, 0.34  # room in depth about the eyes, metres
SIDEWAYS = 0.38  # the same where shoulders may point to the camera
HALF_VIEW = 0.145  # metres at DISTANCE from the image's middle to its edge
AXIS = np.float32([0.0, 0.0, 0.08])  # what a camera stands around, head axes
CENTRE = np.float32([0.0, 0.022, 0.0])  # what the image's middle shows, head axes
NECK_SHARE = 0.4  # of the head's turn happens at the neck's foot
LID_FULL = np.deg2rad(22.0)  # eye pitch at which a lid shape is at full strength

STRANDS = 600  # of hair, from ear to ear
SCLERA = (0.93, 0.91, 0.89)
BACKGROUND_TOP, BACKGROUND_BOTTOM = (0.86, 0.88, 0.90), (0.66, 0.70, 0.74)


@dataclasses.dataclass(frozen=True)
class View:
    """A camera and where the person is.

    Attributes:
      focal: focal length in halves of the picture's edge.
      place: the middle between the eyes of a head at rest, camera frame, metres.
      towards: (pitch, yaw) in radians of the direction from the head in which the camera
        stands, seen from a camera before the person: the whole person is seen from there,
        while angles stay those of the camera before it.
    """

    focal: float = DISTANCE / HALF_VIEW
    place: tuple[float, float, float] = tuple((np.array([0, 0, 2]) - CENTRE).tolist())
    towards: tuple[float, float] = (0.0, 0.0)

    @property
    def near(self) -> float:
        return self.place[2] - (SIDEWAYS if any(self.towards) else IN_FRONT)

    @property
    def far(self) -> float:
        return self.place[2] + (SIDEWAYS if any(self.towards) else BEHIND)

    @property
    def turn(self) -> np.ndarray:
        """`[3, 3]` from the axes of a camera before the person to this camera's."""
        return motion.head_to_matrix(np.float32([*self.towards, 0])).T


@dataclasses.dataclass(frozen=True)
class Look:
    """Colours (sRGB, 0 to 1), irises and light.

    Attributes:
      skin, lips, hair, cloth, iris_colour: colours.
      eyeball: radius of the sphere that carries the iris, in radii of the sphere that
        the lids lie on; it touches that sphere at the front, and its centre is where
        the eye turns about. The mesh's eyes are larger than people's, to be read in a
        small picture; where the true size matters, see `HeadMesh.anatomical_eyeball`.
      iris, pupil: radians from their middle to their edge, seen from the eyeball's
        centre.
      key: the direction that the light comes from, camera frame.
      detail: 1 draws what makes a face look alive, blood in the skin, strands of hair,
        fibres of the iris, lashes; 0 leaves them out, as pictures that are measured do.
    """

    skin: tuple[float, float, float] = (0.83, 0.66, 0.575)
    lips: tuple[float, float, float] = (0.72, 0.42, 0.40)
    hair: tuple[float, float, float] = (0.25, 0.185, 0.15)
    cloth: tuple[float, float, float] = (0.30, 0.37, 0.45)
    iris_colour: tuple[float, float, float] = (0.25, 0.42, 0.50)
    eyeball: float = 1.0
    iris: float = float(np.deg2rad(26.0))
    pupil: float = float(np.deg2rad(11.0))
    key: tuple[float, float, float] = (-0.42, -0.55, -0.72)
    detail: float = 0.0

    @property
    def light(self) -> np.ndarray:
        """`[3]` unit vector towards the light."""
        return np.float32(self.key) / np.float32(np.linalg.norm(self.key))


@dataclasses.dataclass(frozen=True, eq=False)
class Pose:
    """Where the parts of the head are, camera frame, metres.

    Attributes:
      points: `[v, 3]` vertices.
      normals: `[v, 3]` unit normals.
      eyes: `[2, 3]` centres of the eyeballs, image-left first when the head is still.
      forward: `[3]` unit vector along which both eyeballs point.
      front: `[3]` the head's own front.
      up: `[3]` the head's own up.
    """

    points: jax.Array
    normals: jax.Array
    eyes: jax.Array
    forward: jax.Array
    front: jax.Array
    up: jax.Array


jax.tree_util.register_dataclass(Pose)


def _linear(colour) -> np.ndarray:
    return np.asarray(colour, np.float32) ** 2.2


def pose_head(
    mesh: HeadMesh,
    gaze: Float[Array, " 2"],
    head: Float[Array, " 3"],
    blink: Float[Array, ""],
    view: View = View(),
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


def project(
    points: Float[Array, "*n 3"],
    size: int,
    view: View = View(),
) -> Float[Array, "*n 3"]:
    """Camera-frame points to (x, y) in pixels, centres at +0.5, and inverse depth."""
    inverse = 1 / points[..., 2]
    focal = size / 2 * view.focal
    xy = points[..., :2] * (focal * inverse)[..., None] + size / 2
    return jnp.concatenate([xy, inverse[..., None]], axis=-1)


def _light(normals, openness, towards):
    """Light on surfaces, linear RGB: sky, key light and a faint edge."""
    sky = 0.5 - 0.5 * normals[:, 1]
    ambient = (0.22 + 0.33 * sky) * openness
    lambert = normals @ towards
    # The terminator of skin is soft, and reddish as light comes back out of it.
    soft = jnp.clip((lambert[:, None] + np.float32([[0.32, 0.20, 0.16]])) / 1.25, 0, 1)
    key = 0.95 * soft * (0.35 + 0.65 * openness)[:, None]
    return ambient[:, None] * np.float32([[0.97, 1.0, 1.05]]) + key


def _halfway(look: Look) -> np.ndarray:
    """`[3]` the normal that mirrors the light into the camera."""
    half = look.light + np.float32([0, 0, -1])
    return half / np.linalg.norm(half)


def _vertex_colours(mesh: HeadMesh, pose: Pose, look: Look) -> Float[Array, "v 3"]:
    albedo = np.tile(_linear(look.skin), (len(mesh.vertices), 1))
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
        albedo = albedo * (1 - share) + _linear(colour)[None] * share
    lit = albedo * _light(pose.normals, mesh.openness, look.light)
    half = _halfway(look)
    shine = jnp.clip(pose.normals @ half, 0, 1) ** 24
    gloss = 0.05 + 0.10 * masks["lips"] - 0.02 * masks["hair"] - 0.05 * masks["cloth"]
    lit = lit + gloss * (shine * mesh.openness)[:, None]
    if look.detail:
        tint = 0.4 + _linear(look.hair)[None] / _linear(look.hair).max()
        lit = (
            lit + look.detail * masks["hair"] * _sheen(mesh, pose, look)[:, None] * tint
        )
    return jnp.clip(lit, 0, 1) ** (1 / 2.2)


def _sheen(mesh: HeadMesh, pose: Pose, look: Look) -> Float[Array, " v"]:
    """The band of light on combed hair (Kajiya and Kay 1989): it runs across strands."""
    back = -pose.front
    along = back[None] - (pose.normals @ back)[:, None] * pose.normals
    along /= jnp.maximum(jnp.linalg.norm(along, axis=1, keepdims=True), 1e-6)
    across = 1 - jnp.clip((along @ _halfway(look)) ** 2, 0, 1)
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


def _draw_eye(image, buffer: raster.ZBuffer, centre, pose: Pose, radius, view, look):
    """Paints one eyeball into its window of the image, behind the lids."""
    size = image.shape[-1]
    focal = size / 2 * view.focal
    edge = min(int(2 * radius * focal / view.near) + 3, size)
    middle = project(centre, size, view)[:2]
    corner = jnp.clip(jnp.round(middle - edge / 2), 0, size - edge).astype(jnp.int32)
    left, top = corner[0], corner[1]
    patch = jax.lax.dynamic_slice(image, (0, top, left), (3, edge, edge))
    keys = buffer.keys.reshape(size, size)
    skin = jax.lax.dynamic_slice(keys, (top, left), (edge, edge))

    step = jnp.arange(edge, dtype=jnp.float32) + 0.5
    x = jnp.broadcast_to((left + step - size / 2) / focal, (edge, edge))
    y = jnp.broadcast_to(((top + step - size / 2) / focal)[:, None], (edge, edge))
    ray = jnp.stack([x, y, jnp.ones_like(x)], axis=-1).reshape(-1, 3)
    hit, depth, normal = _meet(ray, centre, radius)
    forwards = (1 - look.eyeball) * radius * pose.front
    carries = _meet(ray, centre + forwards, radius * look.eyeball)
    colour = _eye_colour(normal, carries, pose, radius * focal / view.place[2], look)
    front = raster.inverse_depth(skin.ravel(), view.near, view.far)
    colour = jnp.where(hit & (1 / depth > front), colour.T, patch.reshape(3, -1))
    patch = colour.reshape(3, edge, edge)
    return jax.lax.dynamic_update_slice(image, patch, (0, top, left))


def _meet(ray, centre, radius):
    """Where rays (x, y, 1) first meet a sphere: whether, depth and outward normal."""
    ray_centre, ray_ray = ray @ centre, (ray**2).sum(-1)
    under = ray_centre**2 - ray_ray * (centre @ centre - radius**2)
    depth = (ray_centre - jnp.sqrt(jnp.maximum(under, 0))) / ray_ray
    return under > 0, depth, (ray * depth[:, None] - centre[None]) / radius


def _eye_colour(normal, carries, pose: Pose, radius_px, look: Look):
    """sRGB of the eyeball where it has these outward normals, and the sphere that
    carries the iris meets the same rays so."""
    met, _, iris_normal = carries
    angle = jnp.arccos(jnp.clip(iris_normal @ pose.forward, -1, 1))
    # One pixel's worth of angle softens the edges of iris and pupil.
    blur = 0.8 / (radius_px * look.eyeball)
    inside = lambda limit: (met * jnp.clip((limit - angle) / blur + 0.5, 0, 1))[:, None]
    ring = jnp.clip((angle / look.iris - 0.72) / 0.28, 0, 1)[:, None]
    iris = _linear(look.iris_colour)[None] * (1.25 - 0.85 * ring)
    if look.detail:
        iris = iris * _fibres(iris_normal, angle, pose, look)[:, None]
    albedo = _linear(SCLERA)[None] * (1 - inside(look.iris)) + iris * inside(look.iris)
    albedo = albedo * (1 - inside(look.pupil)) + 0.008 * inside(look.pupil)
    # The upper lid shades the top of the ball.
    height = normal @ pose.up
    shade = 1 - 0.6 * jnp.clip((height - 0.02) / 0.42, 0, 1)
    lit = albedo * (0.40 + 0.62 * jnp.clip(normal @ look.light + 0.25, 0, 1))[:, None]
    lit = lit * shade[:, None]
    # The cornea is the rounder ball: its normals fan out faster.
    bulge = iris_normal - 0.45 * pose.forward[None]
    bulge /= jnp.linalg.norm(bulge, axis=1, keepdims=True)
    glint = jnp.clip((bulge @ _halfway(look) - 0.97) / 0.02, 0, 1)[:, None]
    return jnp.clip(lit + 0.8 * glint * inside(look.iris * 1.1), 0, 1) ** (1 / 2.2)


def _fibres(iris_normal, angle, pose: Pose, look: Look):
    """How bright the iris is: rays from the pupil, paler and warmer about it."""
    side = jnp.cross(pose.up, pose.forward)
    x, y = iris_normal @ side, iris_normal @ jnp.cross(pose.forward, side)
    turn = jnp.arctan2(y, x)
    rays = (
        jnp.sin(23 * turn) + 0.7 * jnp.sin(41 * turn + 1) + 0.5 * jnp.sin(13 * turn + 2)
    )
    out = jnp.clip((angle - look.pupil) / (look.iris - look.pupil), 0, 1)
    bright = 0.14 * rays * (1 - out) + 0.4 * (1 - out) ** 2 - 0.7 * out**6
    return 1 + look.detail * bright


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


def _room(mesh: HeadMesh, size: int, view: View = View()) -> raster.Room:
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
    view: View = View(),
    look: Look = Look(),
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
            image = _draw_eye(image, buffer, centre, pose, mesh.eye_radius, view, look)
        s = supersample
        image = sum(image[:, i::s, j::s] for i in range(s) for j in range(s)) / s**2
        return (image * 255 + 0.5).astype(jnp.uint8).transpose(1, 2, 0)

    return jax.jit(
        lambda gaze, head, blink: jax.lax.map(lambda a: frame(*a), (gaze, head, blink))
    )
