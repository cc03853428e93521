"""The 3-D head behind the generators' protocol: cameras, backgrounds, bad input."""

import numpy as np
import pytest

from gazehead_jax.errors import GazeheadError
from gazehead_jax.generators.head3d import (
    Camera,
    Head3dGenerator,
    parse_camera,
    read_background,
)

STILL = np.zeros((8, 2), np.float32), np.zeros((8, 3), np.float32), np.zeros(8)
SMALL = {"size": 64, "supersample": 1}


def test_terms_of_a_camera_are_degrees_and_metres():
    camera = parse_camera("fov=30, distance=0.6,yaw=-20,pitch=5")
    assert camera.distance == 0.6
    np.testing.assert_allclose(
        np.rad2deg([camera.fov, camera.yaw, camera.pitch]), [30, -20, 5]
    )
    view = camera.view
    assert view.focal == pytest.approx(1 / np.tan(np.deg2rad(15)))
    assert view.place[2] == pytest.approx(0.6)
    np.testing.assert_allclose(np.rad2deg(view.towards), [5, -20])


@pytest.mark.parametrize("text", ["", "distance=0.6", "fov=20", "fov=60", "distance=8"])
def test_the_head_fills_the_picture_unless_both_are_set(text):
    view = (parse_camera(text) if text else Camera()).view
    assert (
        view.place[2] / view.focal == pytest.approx(0.145, rel=1e-6) or text == "fov=60"
    )
    assert view.place[2] >= 0.4  # however wide the field of view


@pytest.mark.parametrize(
    "text",
    ["fov", "fov=", "fov=x", "zoom=2", "fov=3,fov=4", "fov=0", "fov=170", "fov=nan"]
    + ["distance=0.1", "distance=inf", "yaw=400", "pitch=-91", ",", "distance=-1"],
)
def test_a_camera_that_cannot_be_is_told(text):
    with pytest.raises(GazeheadError, match="camera"):
        parse_camera(text)


def test_backgrounds_are_colours_and_images(tmp_path):
    from PIL import Image

    np.testing.assert_allclose(read_background("#ff8000")[0, 0], [1, 128 / 255, 0])
    picture = np.zeros((30, 40, 3), np.uint8)
    picture[:, 20:] = [250, 10, 120]
    Image.fromarray(picture).save(tmp_path / "a.png")
    np.testing.assert_allclose(
        read_background(tmp_path / "a.png"), picture / 255, atol=0.02
    )
    green = Head3dGenerator(**SMALL, background="#00ff00").draw(*STILL)
    assert green.shape == (8, 64, 64, 3)
    np.testing.assert_array_equal(green[0, 1, 1], [0, 255, 0])


@pytest.mark.parametrize("name", ["none.png", "text.png", "cut.png", "empty.png"])
def test_a_background_that_cannot_be_read_is_told(tmp_path, name):
    from PIL import Image

    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(tmp_path / "whole.png")
    (tmp_path / "text.png").write_text("red")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:40])
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(GazeheadError, match="a colour as #rrggbb or an image file"):
        read_background(tmp_path / name)
