"""People, places and looks of the head, and what makes it up."""

import jax.numpy as jnp
import numpy as np
import pytest
from test_head3d import OPEN, RED, blue, deg, irises

from gazehead_jax import motion
from gazehead_jax.errors import GazeheadError
from gazehead_jax.head3d import (
    Look,
    View,
    groom,
    load_head,
    load_person,
    make_renderer,
    mesh,
    scene,
)
from gazehead_jax.head3d import paint as mesh_paint
from gazehead_jax.head3d.scene import pose_head

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
    rows, columns = np.nonzero(blue(frame))
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
    rest, left = (irises(f) for f in frames)
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
