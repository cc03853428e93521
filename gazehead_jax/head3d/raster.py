"""Triangles to pixels: a z-buffer made of one scatter-max.

Every triangle that faces the camera is cut into its rows of pixels, and every row into
runs of a few. A covered pixel gets the key `nearness << RUN_BITS | run`, and the largest
key of a pixel wins: one scatter does the depth test and the book-keeping. The numbers of
rows and runs are bounded beforehand, so that all shapes are static and nothing recompiles.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt32

RUN_LENGTHS = (8, 16, 32, 64)  # pixels
RUN_BITS = 18
MAX_ROWS = 2**19
MAX_RUNS = 2**RUN_BITS
_STEPS = 2 ** (32 - RUN_BITS) - 2
# Twice the area, in square pixels, below which a triangle is taken for a sliver.
_SLIVER = 1e-4


@dataclasses.dataclass(frozen=True, eq=False)
class ZBuffer:
    """What is seen at each pixel of a frame.

    Attributes:
      keys: `[h * w]`, 0 where nothing is seen.
      triangle: `[runs]` the triangle of each run.
      x, y: `[runs]` centre of the run's first pixel.
      near, far: the bounds of depth that the keys were made with.
    """

    keys: UInt32[Array, " p"]
    triangle: Int[Array, " r"]
    x: Float[Array, " r"]
    y: Float[Array, " r"]
    near: float = dataclasses.field(metadata={"static": True})
    far: float = dataclasses.field(metadata={"static": True})

    @property
    def covered(self) -> jax.Array:
        return self.keys > 0

    @property
    def run(self) -> jax.Array:
        """`[h * w]` the winning run, meaningless where nothing is covered."""
        return (self.keys & (MAX_RUNS - 1)).astype(jnp.int32)


jax.tree_util.register_dataclass(
    ZBuffer,
    data_fields=["keys", "triangle", "x", "y"],
    meta_fields=["near", "far"],
)


def inverse_depth(
    keys: UInt32[Array, "*p"], near: float, far: float
) -> Float[Array, "*p"]:
    """Inverse depth of what is seen, to one part in 16,000 of the range."""
    level = (keys >> RUN_BITS).astype(jnp.float32) - 0.5
    return 1 / far + level * ((1 / near - 1 / far) / _STEPS)


@dataclasses.dataclass(frozen=True)
class Room:
    """Room for the rows and runs of a frame, and how many pixels a run has."""

    rows: int
    runs: int
    length: int


def _gradient(x, y, values):
    """The slopes along x and y of what has these values at a triangle's corners."""
    x1, x2, y1, y2 = x[1] - x[0], x[2] - x[0], y[1] - y[0], y[2] - y[0]
    det = x1 * y2 - x2 * y1
    inverse = jnp.where(jnp.abs(det) > _SLIVER, 1 / det, 0)
    c1, c2 = values[1] - values[0], values[2] - values[0]
    return (c1 * y2 - c2 * y1) * inverse, (c2 * x1 - c1 * x2) * inverse


def count_rows(
    points: Float[Array, "v 3"], faces: Int[np.ndarray, "f 3"], size: int
) -> Int[Array, ""]:
    """How many rows a frame has."""
    return _triangle_stage(points, faces, size, 1.0, 2.0)["count"].sum()


def count_runs(
    points: Float[Array, "v 3"], faces: Int[np.ndarray, "f 3"], size: int, rows: int
) -> Int[Array, " lengths"]:
    """How many runs a frame has for each of RUN_LENGTHS, with room for so many rows."""
    triangles = stage(lambda p: _triangle_stage(p, faces, size, 1.0, 2.0), points)
    owner = _owners(triangles["start"], triangles["count"], rows)
    width = _row_stage(triangles, owner)["width"]
    return jnp.stack([((width + n - 1) // n).sum() for n in RUN_LENGTHS])


def rasterise(
    points: Float[Array, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    *,
    size: int,
    room: Room,
    near: float,
    far: float,
) -> ZBuffer:
    """The z-buffer of a frame.

    Args:
      points: x and y in pixels (centres at +0.5), and *inverse* depth, which is linear
        over a triangle in the image.
      faces: those counter-clockwise in the image are seen, the others culled.
      size: edge of the square frame, pixels.
      room: at most MAX_ROWS and MAX_RUNS; what does not find room is dropped.
      near, far: bounds of depth.
    """
    length = room.length
    triangles = stage(lambda p: _triangle_stage(p, faces, size, near, far), points)
    owner = stage(lambda t: _owners(t["start"], t["count"], room.rows), triangles)
    rows = stage(lambda t, i: _split(_row_stage(t, i), length), triangles, owner)
    row = stage(lambda r: _owners(r["start"], r["count"], room.runs), rows)
    runs = stage(lambda r, i: _run_stage(r, i, length), rows, row)
    keys = stage(lambda r: _pixel_stage(r, size, length), runs)
    x, y = runs["px"] + jnp.float32(0.5), runs["py"] + jnp.float32(0.5)
    triangle = owner.at[row].get(mode="promise_in_bounds")
    return ZBuffer(keys, triangle, x, y, near, far)


def stage(function, *operands):
    """`function(*operands)`, wholly computed before anything reads it.

    XLA's CPU compiler drops `optimization_barrier` and would redo the work of each
    triangle for every run, and that of each run for every pixel. What a conditional
    returns it must store.
    """
    tree = None

    def flat(*operands):
        nonlocal tree
        leaves, tree = jax.tree.flatten(function(*operands))
        return leaves

    nothing = [jnp.zeros(a.shape, a.dtype) for a in jax.eval_shape(flat, *operands)]
    some = next(a for a in jax.tree.leaves(operands) if a.dtype == jnp.float32)
    always = some.ravel()[0] > -jnp.inf
    stored = jax.lax.cond(always, flat, lambda *_: nothing, *operands)
    return jax.tree.unflatten(tree, stored)


def _triangle_stage(points, faces, size, near, far) -> dict:
    x, y, z = ([points[faces[:, c], a] for c in range(3)] for a in range(3))
    first = lambda a: jnp.clip(jnp.ceil(a - 0.5), 0, size).astype(jnp.int32)
    low = lambda a: jnp.minimum(jnp.minimum(a[0], a[1]), a[2])
    high = lambda a: jnp.maximum(jnp.maximum(a[0], a[1]), a[2])
    left, top = first(low(x)), first(low(y))
    width = first(high(x)) - left
    area = (x[2] - x[0]) * (y[1] - y[0]) - (x[1] - x[0]) * (y[2] - y[0])
    seen = (area > _SLIVER) & (width > 0)
    count = jnp.where(seen, first(high(y)) - top, 0)
    # Three linear functions of the pixel: two barycentric coordinates (the third is
    # the rest of 1) and nearness; each with its value at the box's first pixel.
    fx = left + jnp.float32(0.5) - x[0]
    fy = top + jnp.float32(0.5) - y[0]
    scale = _STEPS / (1 / near - 1 / far)
    one, two = (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
    planes = []
    for corner in (one, two, [(v - 1 / far) * scale for v in z]):
        gx, gy = _gradient(x, y, corner)
        planes.append((corner[0] + gx * fx + gy * fy, gx, gy))
    return {
        "planes": planes,
        "start": jnp.cumsum(count) - count,
        "count": count,
        "left": left,
        "top": top,
        "width": width,
    }


def _owners(start, count, room):
    """`[room]` whose part each one is: marked where they begin, carried forward."""
    begin = jnp.where(count > 0, start, room)
    mark = jnp.zeros(room, jnp.int32)
    mark = mark.at[begin].max(jnp.arange(len(start), dtype=jnp.int32), mode="drop")
    return jax.lax.cummax(mark)


def _row_stage(triangles, triangle) -> dict:
    """The rows of all triangles, each no wider than the triangle is there."""
    # Gathers of single columns are several times faster than gathers of rows.
    at = lambda column: column.at[triangle].get(mode="promise_in_bounds")
    index = jnp.arange(len(triangle), dtype=jnp.int32)
    row = index - at(triangles["start"])
    lines = [(at(base) + at(gy) * row, at(gx)) for base, gx, gy in triangles["planes"]]
    (second, step2), (third, step3), _ = lines
    # Each barycentric coordinate is positive on one side of where it is 0. A little more
    # is taken than that: the pixels themselves are tested later.
    lowest, highest = -1.0, at(triangles["width"]).astype(jnp.float32)
    for base, step in (
        (second, step2),
        (third, step3),
        (1 - second - third, -step2 - step3),
    ):
        zero = -base / jnp.where(step == 0, 1e-30, step)
        lowest = jnp.maximum(lowest, jnp.where(step > 0, zero - 0.01, -1.0))
        highest = jnp.minimum(highest, jnp.where(step < 0, zero + 0.01, jnp.inf))
    begin = jnp.clip(jnp.ceil(lowest), 0, at(triangles["width"])).astype(jnp.int32)
    end = jnp.minimum(jnp.floor(highest) + 1, at(triangles["width"]))
    used = index < triangles["start"][-1] + triangles["count"][-1]
    width = jnp.where(used, jnp.maximum(end.astype(jnp.int32) - begin, 0), 0)
    return {
        "lines": [(base + step * begin, step) for base, step in lines],
        "px": at(triangles["left"]) + begin,
        "py": at(triangles["top"]) + row,
        "width": width,
    }


def _split(rows, length) -> dict:
    count = (rows["width"] + length - 1) // length
    return {**rows, "count": count, "start": jnp.cumsum(count) - count}


def _run_stage(rows, row, length) -> dict:
    at = lambda column: column.at[row].get(mode="promise_in_bounds")
    index = jnp.arange(len(row), dtype=jnp.int32)
    shift = (index - at(rows["start"])) * length
    lines = []
    for base, step in rows["lines"]:
        step = at(step)
        lines.append((at(base) + step * shift, step))
    used = index < rows["start"][-1] + rows["count"][-1]
    lines[0] = jnp.where(used, lines[0][0], -jnp.inf), lines[0][1]
    return {"lines": lines, "px": at(rows["px"]) + shift, "py": at(rows["py"])}


def _pixel_stage(runs, size, length):
    offset = np.arange(length, dtype=np.int32)[None]
    second, third, level = (
        base[:, None] + step[:, None] * offset.astype(np.float32)
        for base, step in runs["lines"]
    )
    inside = (second >= 0) & (third >= 0) & (second + third <= 1)
    inside &= runs["px"][:, None] + offset < size
    nearness = jnp.clip(level, 0, _STEPS).astype(jnp.uint32) + 1
    index = jnp.arange(len(runs["px"]), dtype=jnp.uint32)
    keys = (nearness << RUN_BITS) | index[:, None]
    # One slot more than there are pixels takes all that misses.
    place = (runs["py"] * size + runs["px"])[:, None] + offset
    place = jnp.where(inside, place, size**2)
    buffer = jnp.zeros(size**2 + 1, jnp.uint32)
    return buffer.at[place].max(keys, mode="promise_in_bounds")[:-1]


def interpolate(
    buffer: ZBuffer,
    points: Float[Array, "v 3"],
    values: Float[Array, "v c"],
    faces: Int[np.ndarray, "f 3"],
    *,
    size: int,
) -> list[Float[Array, " p"]]:
    """Vertex values at each pixel, one array per channel; rubbish where nothing is
    covered."""
    planes = stage(lambda p, v: _colour_planes(p, v, faces), points, values)
    lines = stage(_colour_lines, planes, buffer)
    to_pixel = lambda a: a.at[buffer.run].get(mode="promise_in_bounds")
    column = jnp.arange(size**2, dtype=jnp.int32) % size
    along = column.astype(jnp.float32) + 0.5 - to_pixel(buffer.x)
    return [to_pixel(base) + to_pixel(gx) * along for base, gx in lines]


def _colour_planes(points, values, faces):
    x, y = ([points[faces[:, c], a] for c in range(3)] for a in range(2))
    planes = []
    for channel in values.T:
        corner = [channel[faces[:, c]] for c in range(3)]
        planes.append((corner[0], *_gradient(x, y, corner)))
    return x[0], y[0], planes


def _colour_lines(triangles, buffer: ZBuffer):
    at = lambda column: column.at[buffer.triangle].get(mode="promise_in_bounds")
    x, y, planes = triangles
    dx, dy = buffer.x - at(x), buffer.y - at(y)
    lines = []
    for base, gx, gy in planes:
        gx = at(gx)
        lines.append((at(base) + gx * dx + at(gy) * dy, gx))
    return lines
