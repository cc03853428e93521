"""ST-ED as a generator: its angles are ours, its portraits, its weights, its errors."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mean_face import CAMERA, project
from published_face_nets import random_state

from gazehead_jax.errors import GazeheadError
from gazehead_jax.face_geometry import LEFT_EYE, RIGHT_EYE
from gazehead_jax.generators import Generator, make_generator
from gazehead_jax.generators.sted import StedGenerator, generator, patch
from gazehead_jax.generators.sted.conversion import (
    discriminator_shapes,
    from_torch,
    layout,
)
from gazehead_jax.generators.sted.decoder import Decoder
from gazehead_jax.generators.sted.encoder import Encoder
from gazehead_jax.generators.sted.latents import Latents
from gazehead_jax.motion import angles_to_vector, head_to_matrix
from gazehead_jax.torch_file import read_state

GROWTH, LATENTS = 2, Latents(8, 1, 2, 2, 2)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A folder with weights of a narrow network, which is taken for the published one."""
    monkeypatch.setattr(generator, "GROWTH", GROWTH)
    monkeypatch.setattr(generator, "LATENTS", LATENTS)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("GAZEHEAD_WEIGHTS", raising=False)
    folder = tmp_path / "weights"
    folder.mkdir()
    write_weights(folder / "206865.pt", weights())
    return folder


def weights() -> dict[str, np.ndarray]:
    shapes = {name: shape for name, _, _, shape in layout(GROWTH, LATENTS)}
    return random_state(shapes | discriminator_shapes())


def write_weights(path, state):
    """As safetensors, which needs no torch; files are told by their content."""
    header, body = {}, b""
    for name, value in state.items():
        data = value.tobytes()
        header[name] = {
            "dtype": {"float32": "F32", "int64": "I64"}[str(value.dtype)],
            "shape": value.shape,
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def face() -> np.ndarray:
    return np.random.RandomState(1).randint(0, 256, (128, 128, 3)).astype(np.uint8)


# --- angles --------------------------------------------------------------------------


def test_gaze_is_labelled_as_the_authors_did():
    """pitch = asin(-y), yaw = atan2(-x, -z) of the direction, x right and y down."""
    for vector, expected in (
        ((0, 0, -1), (0, 0)),
        ((-1, 0, -1), (0, np.pi / 4)),  # to the image's left
        ((0, -1, -1), (np.pi / 4, 0)),  # up
    ):
        x, y, z = np.array(vector) / np.linalg.norm(vector)
        theirs = [np.arcsin(-y), np.arctan2(-x, -z)]
        np.testing.assert_allclose(theirs, expected, atol=1e-12)
        ours = np.array([expected], np.float64)
        np.testing.assert_allclose(angles_to_vector(ours), [[x, y, z]], atol=1e-12)
        labels, _ = patch.to_labels(ours, np.zeros((1, 3)))
        np.testing.assert_allclose(labels, [theirs], atol=1e-12)


def test_heads_are_labelled_as_the_authors_did():
    """(asin R₁₂, atan2(R₀₂, R₂₂)) of their face model, which looks up by the tilt."""
    random = np.random.RandomState(3)
    head = random.uniform(-0.6, 0.6, (20, 3)) * [1, 1, 0]
    up = patch.HEAD_TILT
    tilt = np.array(
        [[1, 0, 0], [0, np.cos(up), np.sin(up)], [0, -np.sin(up), np.cos(up)]]
    )
    r = head_to_matrix(head) @ tilt
    theirs = np.stack([np.arcsin(r[:, 1, 2]), np.arctan2(r[:, 0, 2], r[:, 2, 2])], -1)
    _, labels = patch.to_labels(np.zeros((20, 2)), head)
    np.testing.assert_allclose(labels, theirs, atol=1e-9)
    _, back = patch.from_labels(np.zeros((20, 2)), labels)
    np.testing.assert_allclose(back, head, atol=1e-9)


# --- drawing -------------------------------------------------------------------------


def test_a_generator_by_name(small):
    made = make_generator("sted", portrait=face_file(small), folder=small)
    assert isinstance(made, Generator)
    assert isinstance(made, StedGenerator)
    assert made.photo_real
    assert made.size == (128, 128)
    assert made.reach.head_roll == 0
    assert "non-commercial only" in made.licence


def face_file(folder):
    image = pytest.importorskip("PIL.Image", reason="needs Pillow to write a picture")
    pytest.importorskip("av", reason="needs PyAV to read a picture")
    path = folder / "face.png"
    image.fromarray(face()).save(path)
    return path


def test_a_picture_file_is_the_same_portrait(small):
    a = StedGenerator(face_file(small), small, batch=1)
    b = StedGenerator(face(), small, batch=1)
    np.testing.assert_array_equal(a.source_gaze, b.source_gaze)


def test_the_portraits_own_pose_gives_what_the_decoder_makes_of_it(small):
    made = StedGenerator(face(), small, batch=2)
    params = from_torch(weights(), GROWTH, LATENTS)
    picture = patch.as_input(patch.equalised(face()))[None]
    features, angles = jax.jit(Encoder(GROWTH, LATENTS).apply)(
        {"params": params["encoder"]}, jnp.asarray(picture)
    )
    expected = jax.jit(Decoder(GROWTH).apply)({"params": params["decoder"]}, features)
    expected = (np.clip(expected, -1, 1) + 1) * 127.5
    np.testing.assert_allclose(made.source_gaze, angles[0, -2:], atol=1e-6)
    np.testing.assert_allclose(
        made.source_head,
        [angles[0, -4] - patch.HEAD_TILT, angles[0, -3], 0],
        atol=1e-6,
    )
    got = made.draw(*pose(made.source_gaze, made.source_head))
    assert got.dtype == np.uint8
    assert np.abs(got[0] + 0.5 - expected[0]).max() < 0.51  # cut off, not rounded
    np.testing.assert_array_equal(got[0], got[1])


def pose(gaze, head, shut=0.0, count=2):
    shape = lambda a: np.tile(np.float32(a), (count, 1))
    return shape(gaze), shape(head), np.full(count, shut, np.float32)


def test_gaze_and_head_change_the_picture_and_roll_and_lids_do_not(small):
    made = StedGenerator(face(), small, batch=2)
    rest = made.draw(*pose((0, 0), (0, 0, 0)))
    for gaze, head in (
        ((0.3, 0), (0, 0, 0)),
        ((0, 0.3), (0, 0, 0)),
        ((0, 0), (0.3, 0, 0)),
        ((0, 0), (0, 0.3, 0)),
    ):
        assert (made.draw(*pose(gaze, head)) != rest).mean() > 0.05
    for ignored in (pose((0, 0), (0, 0, 0.4)), pose((0, 0), (0, 0, 0), shut=1.0)):
        np.testing.assert_array_equal(made.draw(*ignored), rest)


def test_frames_of_a_batch_do_not_touch_each_other(small):
    made = StedGenerator(face(), small, batch=2)
    gaze = np.float32([[0.3, -0.2], [-0.1, 0.5]])
    head = np.float32([[0, 0.4, 0], [0.2, 0, 0]])
    shut = np.zeros(2, np.float32)
    both = made.draw(gaze, head, shut)
    assert (both[0] != both[1]).mean() > 0.05
    swapped = made.draw(gaze[::-1], head[::-1], shut)
    assert np.abs(both[::-1].astype(int) - swapped).max() <= 1


def test_half_precision_draws_nearly_the_same(small):
    args = pose((0.1, -0.2), (0.2, 0.1, 0))
    full = StedGenerator(face(), small, batch=2).draw(*args)
    half = StedGenerator(face(), small, batch=2, dtype=jnp.bfloat16).draw(*args)
    difference = np.abs(full.astype(int) - half)
    assert 0 < difference.mean() < 3


# --- portraits -----------------------------------------------------------------------


@pytest.mark.parametrize("roll", [0.0, 0.4])
def test_the_patch_is_where_the_authors_put_it(roll):
    """Eyes level and 25 px (30 mm at 500/600) above the middle, 76 px apart (90.7 mm)."""
    at = np.array([6.0, -3.0, 60.0])
    towards = [np.arctan2(at[1], at[2]), np.arctan2(at[0], at[2]), roll]
    landmarks = project(np.array([towards]), np.zeros((1, 2)), [at])
    picture = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
    y, x = np.mgrid[: CAMERA.height, : CAMERA.width] + 0.5
    for corner, colour in ((RIGHT_EYE[0], 0), (LEFT_EYE[0], 1)):
        there = landmarks[0, corner, :2]
        picture[np.hypot(x - there[0], y - there[1]) < 6, colour] = 255
    got = patch.cut_out(picture, landmarks).astype(float)
    y, x = np.mgrid[:128, :128] + 0.5
    places = [
        [(got[..., i] * axis).sum() / got[..., i].sum() for axis in (x, y)]
        for i in (0, 1)
    ]
    (right_x, right_y), (left_x, left_y) = places
    assert left_x - right_x == pytest.approx(75.6, abs=2)
    assert left_y == pytest.approx(right_y, abs=1)
    assert (left_x + right_x) / 2 == pytest.approx(64, abs=1)
    assert 64 - (left_y + right_y) / 2 == pytest.approx(25, abs=2)


def test_a_portrait_needs_one_whole_face(small):
    picture = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
    one = project(np.zeros((1, 3)), np.zeros((1, 2)), [[0.0, 0.0, 60.0]])
    assert StedGenerator(picture + 9, small, landmarks=one).batch == 8
    for landmarks, message in (
        (one[:0], "must show one face, got none"),
        (np.concatenate([one, one]), "must show one face, got 2"),
        (one - [300, 0, 0], "wholly within the portrait.* columns -"),
        (one * np.nan, "478 finite points"),
    ):
        with pytest.raises(GazeheadError, match=message):
            StedGenerator(picture, small, landmarks=landmarks)
    with pytest.raises(GazeheadError, match="128 × 128 pixels, got 640 × 480"):
        StedGenerator(picture, small)


def test_a_file_that_is_no_picture_is_told_so(small, tmp_path):
    pytest.importorskip("av", reason="needs PyAV to read a picture")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    with pytest.raises(
        GazeheadError, match=r"broken\.png.*cannot be read as a picture"
    ):
        StedGenerator(tmp_path / "broken.png", small)
    with pytest.raises(GazeheadError, match=r"nowhere\.png.*no such portrait"):
        StedGenerator(tmp_path / "nowhere.png", small)


def test_only_rgb_bytes_are_a_portrait():
    for picture in (np.zeros((128, 128, 4), np.uint8), np.zeros((128, 128, 3))):
        with pytest.raises(
            GazeheadError, match=r"must be RGB, uint8.*got .* \[128, 128"
        ):
            generator._face(picture, None)


def test_an_empty_batch_is_refused(small):
    with pytest.raises(GazeheadError, match="1 frame or more, got 0"):
        StedGenerator(face(), small, batch=0)


# --- weights -------------------------------------------------------------------------


def test_weights_that_are_not_there_are_asked_for(small):
    (small / "206865.pt").unlink()
    with pytest.raises(GazeheadError, match=r"sted are missing: no 206865\.pt.*STED"):
        StedGenerator(face(), small)


def test_truncated_weights_are_refused(small):
    path = small / "206865.pt"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(GazeheadError, match="truncated or altered"):
        StedGenerator(face(), small)


def test_weights_of_another_model_are_refused(small):
    write_weights(small / "206865.pt", {"fc.weight": np.zeros((3, 3), np.float32)})
    with pytest.raises(GazeheadError, match=r"1 unknown.*checkpoint of ST-ED"):
        StedGenerator(face(), small)


def test_any_missing_strange_or_misshapen_tensor_is_refused():
    state = weights()
    for name, value in state.items():
        less = {k: v for k, v in state.items() if k != name}
        if name.startswith("discriminator."):
            from_torch(less, GROWTH, LATENTS)
        else:
            with pytest.raises(GazeheadError, match=re.escape(f"1 missing ({name})")):
                from_torch(less, GROWTH, LATENTS)
        with pytest.raises(GazeheadError, match=re.escape(f"another shape ({name} ")):
            from_torch(state | {name: value[None]}, GROWTH, LATENTS)
    strange = "encoder.encoder.initial.norm.weight"
    with pytest.raises(GazeheadError, match=re.escape(f"1 unknown ({strange})")):
        from_torch(state | {strange: np.zeros(4)}, GROWTH, LATENTS)


def test_every_tensor_is_used():
    """Any change of a tensor changes a parameter; none but the discriminator's is lost."""
    state = weights()
    before = sum(x.size for x in jax.tree.leaves(from_torch(state, GROWTH, LATENTS)))
    used = {name: v for name, v in state.items() if not name.startswith("discrim")}
    assert before == sum(value.size for value in used.values())
    numbered = {
        name: np.full(value.shape, i, np.float32)
        for i, (name, value) in enumerate(used.items())
    }
    got = jax.tree.leaves(from_torch(numbered, GROWTH, LATENTS))
    values, counts = np.unique(
        np.concatenate([x.ravel() for x in got]), return_counts=True
    )
    assert dict(zip(values, counts, strict=True)) == {
        i: value.size for i, value in enumerate(used.values())
    }


def test_the_published_checkpoints_form_is_read(tmp_path):
    """Three state_dicts in one file."""
    torch = pytest.importorskip("torch", reason="needs torch to write a checkpoint")
    parts: dict = {"encoder": {}, "decoder": {}, "discriminator": {}}
    for name, value in weights().items():
        part, rest = name.split(".", 1)
        parts[part][rest] = torch.tensor(value)
    torch.save(parts, tmp_path / "206865.pt")
    a = from_torch(read_state(tmp_path / "206865.pt"), GROWTH, LATENTS)
    b = from_torch(weights(), GROWTH, LATENTS)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)
