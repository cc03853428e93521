"""LivePortrait templates: its own equations as the oracle, and pickles that bite."""

import os
import pickle
import pickletools

import numpy as np
import pytest

from gazehead_jax.errors import GazeheadError
from gazehead_jax.motion import Motion, gaze_in_head
from gazehead_jax.motion_templates import load_template, save_template


def _motion(frames=60, fps=30.0, **changes):
    phase = np.linspace(0, 5, frames)
    head = np.stack(
        [0.4 * np.sin(phase), 0.6 * np.cos(phase), 0.3 * np.sin(2 * phase)], axis=1
    )
    gaze = np.stack([0.3 * np.cos(phase), 0.9 * np.cos(phase)], axis=1)
    return Motion(**{"gaze": gaze, "head": head, "fps": fps, "source": "s", **changes})


def _as_liveportrait_reads(path):
    """With the real NumPy and the real pickle: the file is ours."""
    with path.open("rb") as file:
        return pickle.load(file)


def _theirs(pitch, yaw, roll):
    """get_rotation_matrix of LivePortrait's src/utils/camera.py, of degrees."""
    x, y, z = np.deg2rad([pitch, yaw, roll])
    rx = [[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]]
    ry = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
    rz = [[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]]
    return (np.array(rz) @ ry @ rx).T


NOSE = np.array([0.0, 0.1, -0.5])  # y down, z away from the camera
CROWN = np.array([0.0, -0.7, 0.0])


@pytest.mark.parametrize(
    ("head_deg", "theirs_deg", "point", "axis", "sign"),
    [
        ((0, 20, 0), (0, 20, 0), NOSE, 0, -1),  # to the image's left
        ((20, 0, 0), (-20, 0, 0), NOSE, 1, -1),  # up
        ((0, 0, 20), (0, 0, 20), CROWN, 0, +1),  # clockwise
    ],
)
@pytest.mark.filterwarnings("ignore:numpy.core:DeprecationWarning")
def test_rotations_are_what_liveportrait_makes_of_its_angles(
    tmp_path, head_deg, theirs_deg, point, axis, sign
):
    head = np.deg2rad(np.tile(np.float64(head_deg), (2, 1)))
    motion = Motion(np.zeros((2, 2)), head, 30.0)
    path = save_template(tmp_path / "a.pkl", motion)
    rotation = _as_liveportrait_reads(path)["motion"][1]["R"]
    assert rotation.shape == (1, 3, 3)
    np.testing.assert_allclose(rotation[0], _theirs(*theirs_deg), atol=1e-6)
    assert sign * ((point @ rotation[0]) - point)[axis] > 0.1


@pytest.mark.filterwarnings("ignore:numpy.core:DeprecationWarning")
def test_the_layout_is_that_of_liveportrait(tmp_path):
    path = save_template(tmp_path / "a.pkl", _motion(20, 29.97))
    template = _as_liveportrait_reads(path)
    assert template["n_frames"] == len(template["motion"]) == 20
    assert type(template["output_fps"]) is int
    assert template["output_fps"] == 30
    for name, shape in {
        "scale": (1, 1),
        "R": (1, 3, 3),
        "exp": (1, 21, 3),
        "t": (1, 3),
    }.items():
        array = template["motion"][3][name]
        assert type(array) is np.ndarray
        assert (array.shape, array.dtype) == (shape, np.float32)
    assert {a.shape for a in template["c_eyes_lst"]} == {(1, 2)}
    assert {a.shape for a in template["c_lip_lst"]} == {(1, 1)}
    assert len(template["c_eyes_lst"]) == len(template["c_lip_lst"]) == 20
    # NumPy 1, which LivePortrait asks for, has no numpy._core.
    named = {
        a for op, a, _ in pickletools.genops(path.read_bytes()) if op.name == "GLOBAL"
    }
    assert named == {
        "numpy.core.multiarray _reconstruct",
        "numpy ndarray",
        "numpy dtype",
    }


@pytest.mark.filterwarnings("ignore:numpy.core:DeprecationWarning")
def test_gaze_goes_where_the_demos_sliders_put_it(tmp_path):
    """Eyes up and to the image's right: x > 0 and y > 0 of the demo."""
    gaze = np.deg2rad(np.tile([5.0, -10.0], (2, 1)))
    path = save_template(tmp_path / "a.pkl", Motion(gaze, np.zeros((2, 3)), 30.0))
    exp = _as_liveportrait_reads(path)["motion"][0]["exp"][0]
    x, y = 10.0, 2 * 5.0  # slider units, one and two for a degree
    blink = -y / 2
    expected = np.zeros((21, 3))
    expected[11, 0], expected[15, 0] = 0.0007 * x, 0.001 * x
    expected[[11, 15], 1] = -0.001 * y - 0.001 * blink
    expected[[13, 16], 1] = 0.0003 * blink
    np.testing.assert_allclose(exp, expected, atol=1e-7)


def test_what_was_written_is_read_again(tmp_path):
    motion = _motion(subject="p")
    again = load_template(save_template(tmp_path / "a.pkl", motion))
    np.testing.assert_allclose(again.head, motion.head, atol=1e-5)
    np.testing.assert_allclose(again.gaze, motion.gaze, atol=1e-4)
    assert (again.fps, again.source, again.subject) == (30.0, "s", "p")
    assert again.valid.all()
    assert "notes" not in again.meta


@pytest.mark.filterwarnings("ignore:numpy.core:DeprecationWarning")
def test_gaps_are_bridged_with_the_eyes_shut(tmp_path):
    valid = np.ones(60, bool)
    valid[20:26] = False
    motion = _motion()
    gaze, head = motion.gaze.copy(), motion.head.copy()
    gaze[~valid] = head[~valid] = np.nan
    path = save_template(tmp_path / "a.pkl", Motion(gaze, head, 30.0, valid))
    again = load_template(path)
    np.testing.assert_array_equal(again.valid, valid)
    np.testing.assert_allclose(again.head, motion.head, atol=0.05)
    np.testing.assert_allclose(again.gaze[valid], motion.gaze[valid], atol=1e-4)
    open_ = np.array(_as_liveportrait_reads(path)["c_eyes_lst"])[:, 0, 0]
    assert open_[22] == 0
    assert open_[0] == pytest.approx(0.36)


def _template(**changes):
    frame = {
        "scale": np.ones((1, 1), np.float32),
        "R_d": np.float32(_theirs(3, 10, 2))[None],
        "exp": np.full((1, 21, 3), 0.01, np.float32),
        "t": np.zeros((1, 3), np.float32),
    }
    return {"n_frames": 2, "output_fps": 25, "motion": [frame, frame], **changes}


@pytest.mark.parametrize("protocol", range(6))
def test_templates_of_liveportrait_itself_are_read(tmp_path, protocol):
    """With its older key R_d, of every protocol; gaze from its median."""
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(_template(c_d_eyes_lst=None), protocol))
    motion = load_template(path)
    assert (len(motion), motion.fps) == (2, 25.0)
    turned = np.rad2deg(motion.head[0])
    np.testing.assert_allclose(turned, [-3, 10, 2], atol=0.6)  # other order of turns
    eye = gaze_in_head(motion.gaze, motion.head)
    np.testing.assert_allclose(eye, 0, atol=1e-6)
    assert "not in true degrees" in motion.meta["notes"][0]
    assert motion.source == "a"


class Evil:
    def __init__(self, call, *arguments):
        self.made = call, arguments

    def __reduce__(self):
        return self.made


@pytest.mark.parametrize(
    ("call", "named"),
    [
        ((os.system, "touch {place}"), "system"),
        ((eval, "open('{place}', 'w')"), "builtins.eval"),
        ((getattr, np.ndarray, "tofile"), "builtins.getattr"),
        ((np.load, "{place}"), "numpy.load"),
    ],
)
def test_a_pickle_that_calls_is_refused_and_not_run(tmp_path, call, named):
    place = tmp_path / "made"
    call = [a.format(place=place) if isinstance(a, str) else a for a in call]
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(_template(extra=Evil(*call))))
    with pytest.raises(GazeheadError, match=f"{named}, which was not run"):
        load_template(path)
    assert not place.exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"no pickle", pickle.dumps([1, 2]), pickle.dumps({"motion": []})]
    + [pickle.dumps(_template(), 3)[:200], pickle.dumps(_template(motion=[]))]
    + [pickle.dumps(_template(output_fps=0)), pickle.dumps(_template(output_fps="x"))]
    + [
        pickle.dumps(
            _template(motion=[{"R": np.zeros((1, 3, 3)), "exp": np.zeros(63)}]), 3
        )
    ]
    + [pickle.dumps(_template(motion=np.array([{}], object)), 3)]
    # State set upon the stand-in for numpy.dtype itself.
    + [b"\x80\x02cnumpy\ndtype\n}U\x05dtypeU\x01xsb."],
)
def test_what_is_no_template_is_one_sentence(tmp_path, content):
    path = tmp_path / "a.pkl"
    path.write_bytes(content)
    with pytest.raises(GazeheadError) as caught:
        load_template(path)
    assert "\n" not in str(caught.value)


def test_bad_input_is_told(tmp_path):
    with pytest.raises(GazeheadError, match="no such file"):
        load_template(tmp_path / "none.pkl")
    with pytest.raises(GazeheadError, match=r"ends in \.pkl"):
        save_template(tmp_path / "a.npz", _motion())
    with pytest.raises(GazeheadError, match="no head"):
        save_template(tmp_path / "a.pkl", _motion(head=None))
    with pytest.raises(GazeheadError, match="no valid frame"):
        save_template(tmp_path / "a.pkl", _motion(valid=np.zeros(60, bool)))
    assert not list(tmp_path.iterdir())
