"""LivePortrait's files: every tensor accounted for; what is wrong is told."""

import json
import zipfile
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from liveportrait_small import NAMES, SMALL, normal, random_state, shapes, states

from gazehead_jax import weights
from gazehead_jax.errors import GazeheadError
from gazehead_jax.face_geometry import LANDMARKS
from gazehead_jax.generators import Generator
from gazehead_jax.generators.liveportrait import LivePortraitGenerator, crop
from gazehead_jax.generators.liveportrait.appearance import AppearanceExtractor
from gazehead_jax.generators.liveportrait.architecture import PUBLISHED
from gazehead_jax.generators.liveportrait.conversion import (
    NETWORKS,
    from_torch,
    read_networks,
)
from gazehead_jax.generators.liveportrait.layout import mlp_widths
from gazehead_jax.generators.liveportrait.motion_extractor import MotionExtractor
from gazehead_jax.generators.liveportrait.spade import SpadeGenerator
from gazehead_jax.generators.liveportrait.stitching import Mlp
from gazehead_jax.generators.liveportrait.warping import Warping
from gazehead_jax.weight_catalogue import WEIGHTS

GOLDEN = Path(__file__).parent / "golden" / "liveportrait.npz"


@cache
def published():
    """Names and shapes of all tensors of the original modules, by file."""
    with np.load(GOLDEN) as file:
        layouts = json.loads(file["layouts"].tobytes())
    return {
        name: {key: tuple(shape) for key, shape in layout.items()}
        for name, layout in layouts.items()
    }


# --- every tensor is accounted for -----------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_names_and_shapes_are_the_originals(name):
    assert shapes(name, PUBLISHED) == published()[name]
    assert len(published()[name]) > 20


@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_belongs_to_one_layer(name):
    layers = list(NETWORKS[name][0](PUBLISHED))
    asked = [key for layer in layers for key in layer.tensors()]
    counters = [key for key in published()[name] if key.endswith("batches_tracked")]
    assert sorted(asked + counters) == sorted(published()[name])
    assert len({(type(layer), layer.path) for layer in layers}) == len(layers)


@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_counts(name):
    state = random_state(shapes(name))
    before = jax.tree.leaves(from_torch(name, state, SMALL))
    for key, value in state.items():
        if key.endswith("num_batches_tracked"):
            continue
        other = np.roll(value, 1) * 1.1 + 0.01
        after = jax.tree.leaves(from_torch(name, state | {key: other}, SMALL))
        changed = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
        assert any(changed), key


@pytest.mark.parametrize("name", NAMES)
def test_parameters_fit_the_network(name):
    params = from_torch(name, random_state(shapes(name)), SMALL)
    edge = SMALL.size // 4
    image, points = jnp.zeros((1, 32, 32, 3)), jnp.zeros((1, SMALL.keypoints, 3))
    volume = jnp.zeros((1, SMALL.depth, edge, edge, SMALL.planes))
    made = {
        "appearance": lambda: (AppearanceExtractor(SMALL), image),
        "motion": lambda: (MotionExtractor(SMALL), image),
        "warping": lambda: (Warping(SMALL), volume, points, points),
        "generator": lambda: (
            SpadeGenerator(SMALL),
            volume[:, 0, :, :, :1].repeat(32, -1),
        ),
    }
    if name == "retargeting":
        inputs = {"stitching": 126, "lip": 65, "eye": 66}
        expected = {
            small: init(Mlp(mlp_widths(SMALL, small)), jnp.zeros((1, n)))
            for small, n in inputs.items()
        }
    else:
        expected = init(*made[name]())
    shape = lambda tree: jax.tree.map(lambda a: (a.shape, str(a.dtype)), tree)
    assert shape(params) == shape(expected)


def init(network, *inputs):
    return jax.eval_shape(network.init, jax.random.key(0), *inputs)["params"]


@pytest.mark.parametrize("name", NAMES)
def test_missing_strange_and_misshapen_tensors_are_refused(name):
    state = random_state(shapes(name))
    key = sorted(k for k in state if not k.endswith("num_batches_tracked"))[3]
    file = Path(NETWORKS[name][1]).name
    without = {k: v for k, v in state.items() if k != key}
    with pytest.raises(GazeheadError, match=rf"{file}.*1 missing \({key}\)"):
        from_torch(name, without, SMALL)
    with pytest.raises(GazeheadError, match=r"1 unknown \(head\.weight\)"):
        from_torch(name, state | {"head.weight": np.zeros(3)}, SMALL)
    with pytest.raises(GazeheadError, match=rf"1 of another shape \({key}"):
        from_torch(name, state | {key: np.zeros((2, 2, 9))}, SMALL)


def test_counters_of_batch_norms_may_lack():
    state = random_state(shapes("warping"))
    bare = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    assert len(bare) < len(state)
    from_torch("warping", bare, SMALL)


# --- files -----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip("torch", reason="needs torch to write checkpoints")


@pytest.fixture(scope="session")
def published_folder(torch, tmp_path_factory):
    """The five files at reduced width, laid out and wrapped as the published ones."""
    folder = tmp_path_factory.mktemp("weights") / "liveportrait"
    for name, state in states().items():
        tensors = {k: torch.from_numpy(np.array(v)) for k, v in state.items()}
        if name == "retargeting":
            parts = {}
            for key, value in tensors.items():
                part, rest = key.split(".", 1)
                parts.setdefault(part, {})[f"module.{rest}"] = value
            tensors = parts
        path = folder / NETWORKS[name][1]
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(tensors, path)
    return folder


@pytest.fixture(scope="module")
def plain_folder(tmp_path_factory):
    """The same tensors as safetensors, which need no torch to be written."""
    folder = tmp_path_factory.mktemp("weights")
    for name, state in states().items():
        header, data = {}, b""
        for key, value in state.items():
            value = np.asarray(value, np.float32)
            ends = [len(data), len(data) + value.nbytes]
            header[key] = {"dtype": "F32", "shape": value.shape, "data_offsets": ends}
            data += value.tobytes()
        text = json.dumps(header).encode()
        path = folder / NETWORKS[name][1]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return folder


def copied(folder, target):
    for path in folder.rglob("*.pth"):
        to = target / path.relative_to(folder)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(path.read_bytes())
    return target


def test_files_give_the_parameters_of_their_tensors(published_folder):
    got = read_networks(published_folder, SMALL)
    for name, state in states().items():
        expected = from_torch(name, state, SMALL)
        jax.tree.map(np.testing.assert_array_equal, got[name], expected)


def test_weights_of_another_model_are_refused(published_folder, tmp_path):
    folder = copied(published_folder, tmp_path)
    (folder / NETWORKS["motion"][1]).write_bytes(
        (folder / NETWORKS["generator"][1]).read_bytes()
    )
    with pytest.raises(
        GazeheadError, match=r"those of LivePortrait's motion_extractor"
    ):
        read_networks(folder, SMALL)


def test_weights_of_another_width_are_refused(published_folder):
    with pytest.raises(GazeheadError, match=r"of another shape \(first\.conv\.weight"):
        read_networks(published_folder)


def test_a_truncated_file_is_refused(published_folder, tmp_path):
    folder = copied(published_folder, tmp_path)
    path = folder / NETWORKS["warping"][1]
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(GazeheadError, match=r"warping_module\.pth must be a whole"):
        read_networks(folder, SMALL)


def test_a_checkpoint_that_is_a_zip_of_something_else_is_refused(
    published_folder, tmp_path
):
    folder = copied(published_folder, tmp_path)
    with zipfile.ZipFile(folder / NETWORKS["motion"][1], "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(GazeheadError, match=r"motion_extractor\.pth must be a whole"):
        read_networks(folder, SMALL)


def test_a_missing_file_is_told(published_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("GAZEHEAD_WEIGHTS", raising=False)
    folder = copied(published_folder, tmp_path / "deep" / "liveportrait")
    assert weights.locate("liveportrait", tmp_path / "deep") == folder
    row = {r.weights.name: r for r in weights.listing(tmp_path / "deep")}
    assert row["liveportrait"].status == "there"
    assert row["liveportrait"].path == folder
    (folder / NETWORKS["retargeting"][1]).unlink()
    with pytest.raises(
        GazeheadError,
        match=r"spade_generator\.pth and retargeting.*Get them from https",
    ):
        weights.locate("liveportrait", tmp_path / "deep")


def test_all_files_are_those_that_are_read():
    known = WEIGHTS["liveportrait"]
    assert set(known.files) == {file for _, file in NETWORKS.values()}
    assert known.brought
    assert not known.commercial
    assert "not verified" in known.terms


# --- the portrait ----------------------------------------------------------------------


def mesh(centre=(300.0, 260.0), size=80.0, roll=0.0):
    """Landmarks of one face: a flat mask, eyes above a mouth, turned clockwise."""
    points = np.zeros((LANDMARKS, 2))
    points[:] = normal(30, LANDMARKS, 2, scale=0.2)
    for (outer, inner, upper, lower), x in zip(crop.EYES, (-0.45, 0.45), strict=True):
        side = np.sign(x)
        points[[outer, inner]] = [[x + side * 0.2, -0.4], [x - side * 0.2, -0.4]]
        points[[upper, lower]] = [[x, -0.45], [x, -0.35]]
    points[list(crop.MOUTH)] = [[-0.3, 0.5], [0.3, 0.5], [0, 0.47], [0, 0.53]]
    points[list(crop.JAW)] = np.stack(
        [
            np.sin(np.linspace(-np.pi / 2, np.pi / 2, len(crop.JAW))),
            np.cos(np.linspace(-np.pi / 2, np.pi / 2, len(crop.JAW))),
        ],
        -1,
    )
    points[list(crop.BROWS), 1] = -0.6
    c, s = np.cos(roll), np.sin(roll)
    points = points @ np.array([[c, s], [-s, c]]) * size + centre
    return np.concatenate([points, np.zeros((LANDMARKS, 1))], 1)[None]


def scene(width=640, height=520, seed=7):
    """A smooth picture in which every place is its own."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [
        np.sin(x * a + y * b + c)
        for a, b, c in rng.uniform([0.005, 0.005, 0], [0.03, 0.03, 6], (3, 3))
    ]
    return (127 + 100 * np.stack(waves, -1)).astype(np.uint8)


def test_a_face_is_cut_upright_2_3_times_as_large_and_an_eighth_up():
    roll, centre, size = 0.3, np.array([300.0, 260.0]), 80.0
    picture = scene()
    face = crop.cut_out(picture, mesh(centre, size, roll), 64)
    # The mask reaches from −1 to 1 across and from −.6 to 1 down.
    side = 2.3 * 2 * size
    axes = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    middle = centre + axes.T @ [0, 0.2 * size - side / 8]
    for u, v in ((8, 40), (32, 32), (50, 20), (30, 55)):
        place = middle + axes.T @ ((np.array([u, v]) + 0.5) / 64 - 0.5) * side
        x, y = np.round(place - 0.5).astype(int)
        np.testing.assert_allclose(
            face.picture[v, u], picture[y, x] / 255, atol=0.05, err_msg=f"{u}, {v}"
        )
    np.testing.assert_allclose(face.eyes, [0.25, 0.25], atol=1e-5)
    np.testing.assert_allclose(face.mouth, 0.1, atol=1e-5)


def test_eyes_are_told_left_and_right_in_the_image():
    landmarks = mesh()
    landmarks[0, 159] = landmarks[0, 145]  # the subject's right eye is shut
    face = crop.cut_out(scene(), landmarks, 64)
    np.testing.assert_allclose(face.eyes, [0, 0.25], atol=1e-5)


def test_outside_the_picture_is_black():
    face = crop.cut_out(np.full((300, 300, 3), 200, np.uint8), mesh((20.0, 20.0)), 64)
    np.testing.assert_allclose(face.picture[0, 0], 0, atol=1e-6)
    np.testing.assert_allclose(face.picture[50, 50], 200 / 255, atol=1e-4)


@pytest.mark.parametrize(("count", "told"), [(0, "none"), (2, "2")])
def test_a_portrait_must_show_one_face(count, told):
    faces = np.repeat(mesh(), count, 0)
    with pytest.raises(GazeheadError, match=rf"must show one face, got {told};"):
        crop.cut_out(scene(), faces, 64)


def test_landmarks_must_be_numbers():
    broken = mesh()
    broken[0, 3] = np.nan
    with pytest.raises(GazeheadError, match="finite"):
        crop.cut_out(scene(), broken, 64)


# --- the generator ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def face(plain_folder):
    return LivePortraitGenerator(
        scene(), plain_folder, landmarks=mesh(), batch=2, architecture=SMALL
    )


def test_it_is_a_generator(face):
    assert isinstance(face, Generator)
    assert isinstance(face, LivePortraitGenerator)
    assert face.photo_real
    assert face.size == (64, 64)
    assert "not verified" in face.licence


def test_it_draws_what_it_is_told(face):
    angles = np.zeros((2, 2)), np.zeros((2, 3)), np.zeros(2)
    pictures = face.draw(*angles)
    assert pictures.shape == (2, 64, 64, 3)
    assert pictures.dtype == np.uint8
    np.testing.assert_array_equal(pictures[0], pictures[1])
    np.testing.assert_array_equal(face.draw(*angles), pictures)
    gaze, head, shut = (a.copy() for a in angles)
    gaze[0, 1], head[1, 1] = 0.2, 0.2
    moved = face.draw(gaze, head, shut).astype(int)
    assert np.abs(moved - pictures).max((1, 2, 3)).min() > 5
    lids = face.draw(*angles[:2], np.array([0.0, 1.0])).astype(int)
    np.testing.assert_array_equal(lids[0], pictures[0])
    assert np.abs(lids[1] - pictures[1]).max() > 5


def test_it_must_be_told_where_the_face_is(plain_folder):
    with pytest.raises(GazeheadError, match="give the landmarks"):
        LivePortraitGenerator(scene(), plain_folder, architecture=SMALL)


def test_a_batch_has_frames(plain_folder):
    with pytest.raises(GazeheadError, match="batch must be 1"):
        LivePortraitGenerator(scene(), plain_folder, landmarks=mesh(), batch=0)


def test_a_portrait_that_is_no_picture_is_told(plain_folder, tmp_path):
    pytest.importorskip("av", reason="needs PyAV to read pictures")
    path = tmp_path / "portrait.png"
    path.write_bytes(b"no picture")
    with pytest.raises(GazeheadError, match=r"portrait\.png"):
        LivePortraitGenerator(path, plain_folder, landmarks=mesh())
