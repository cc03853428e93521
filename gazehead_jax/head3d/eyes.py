"""Eyeballs: exact spheres, painted into the picture behind the lids."""

import jax
import jax.numpy as jnp

from gazehead_jax.head3d import raster
from gazehead_jax.head3d.look import SCLERA, Look, Pose, halfway, linear, project


def draw_eye(image, buffer: raster.ZBuffer, centre, pose: Pose, radius, view, look):
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
    iris = linear(look.iris_colour)[None] * (1.25 - 0.85 * ring)
    if look.detail:
        iris = iris * _fibres(iris_normal, angle, pose, look)[:, None]
    albedo = linear(SCLERA)[None] * (1 - inside(look.iris)) + iris * inside(look.iris)
    albedo = albedo * (1 - inside(look.pupil)) + 0.008 * inside(look.pupil)
    # The upper lid shades the top of the ball.
    height = normal @ pose.up
    shade = 1 - 0.6 * jnp.clip((height - 0.02) / 0.42, 0, 1)
    lit = albedo * (0.40 + 0.62 * jnp.clip(normal @ look.light + 0.25, 0, 1))[:, None]
    lit = lit * shade[:, None]
    # The cornea is the rounder ball: its normals fan out faster.
    bulge = iris_normal - 0.45 * pose.forward[None]
    bulge /= jnp.linalg.norm(bulge, axis=1, keepdims=True)
    glint = jnp.clip((bulge @ halfway(look) - 0.97) / 0.02, 0, 1)[:, None]
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
