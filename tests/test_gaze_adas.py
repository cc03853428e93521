"""Open Model Zoo's networks: reading, conversion, conventions, real clips."""

import jax
import numpy as np
import pytest
from mean_face import CAMERA, project
from openvino_files import gaze_net, head_net

from gazehead_jax.errors import GazeheadError
from gazehead_jax.face_geometry import (
    LEFT_EYE,
    RIGHT_EYE,
    HeadFit,
    fit_head,
    likely_camera,
)
from gazehead_jax.gaze import adas, head_pose_adas
from gazehead_jax.gaze.adas import AdasEstimator, GazeNet
from gazehead_jax.gaze.estimator import CHUNK, FaceFrames, GazeEstimator
from gazehead_jax.gaze.head_pose_adas import HeadPoseAdas, HeadPoseNet
from gazehead_jax.gaze.iris import IrisEstimator
from gazehead_jax.gaze.openvino_flax import in_batches
from gazehead_jax.gaze.openvino_ir import read_ir
from gazehead_jax.motion import gaze_in_head, matrix_to_head, vector_to_angles

RNG = np.random.default_rng(5)
PICTURES = RNG.integers(0, 256, (2, 2, 60, 60, 3)).astype(np.float32)
HEAD_DEG = RNG.normal(0, 15, (2, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def random_nets(tmp_path_factory):
    """A folder with both networks, and what they give for PICTURES and HEAD_DEG."""
    folder = tmp_path_factory.mktemp("ir")
    gaze, looks = gaze_net(*PICTURES, HEAD_DEG)
    head, angles = head_net(PICTURES[0])
    gaze.write(folder)
    head.write(folder)
    return folder, looks, angles


# --- conversion --------------------------------------------------------------------


def test_the_gaze_net_computes_what_its_file_says(random_nets):
    folder, looks, _ = random_nets
    params = adas.convert(read_ir(folder / f"{adas.NAME}.xml"))
    got = jax.jit(GazeNet().apply)(params, *PICTURES, HEAD_DEG)
    assert np.std(looks) > 0.1
    np.testing.assert_allclose(got, looks, atol=1e-4)


def test_the_head_pose_net_computes_what_its_file_says(random_nets):
    folder, _, angles = random_nets
    params = head_pose_adas.convert(read_ir(folder / f"{head_pose_adas.NAME}.xml"))
    got = jax.jit(HeadPoseNet().apply)(params, PICTURES[0])
    assert np.std(angles) > 0.1
    np.testing.assert_allclose(got, angles, atol=1e-4)


def test_one_compile_serves_every_number_of_frames(random_nets):
    folder, looks, _ = random_nets
    params = adas.convert(read_ir(folder / f"{adas.NAME}.xml"))
    net = jax.jit(GazeNet().apply)
    for times in (1, 16, 20):
        inputs = [
            np.tile(x, (times, *[1] * (x.ndim - 1))) for x in (*PICTURES, HEAD_DEG)
        ]
        got = in_batches(net, params, *inputs)
        np.testing.assert_allclose(got, np.tile(looks, (times, 1)), atol=1e-4)
    assert in_batches(net, params, *(x[:0] for x in inputs)).shape == (0, 3)
    assert net._cache_size() == 1


# What is done to a file → the complaint. The first Const with 3 × 3 × 3 × 32 numbers is
# the first convolution's.
DAMAGE = {
    "not xml": (lambda xml: xml[:-20], "not an XML file"),
    "html": (lambda xml: "<html><body/></html>", "expected an OpenVINO IR"),
    "old": (lambda xml: xml.replace("version='10'", "version='7'"), "version='7'"),
    "empty": (lambda xml: "<net version='10'/>", "must have layers"),
    "no type": (lambda xml: xml.replace(" type='ReLU'", "", 1), "not written as"),
    "no port": (lambda xml: xml.replace(" to-port='0'", "", 1), "lacks its ends"),
    "no source": (
        lambda xml: xml.replace("from-layer='0'", "from-layer='x'", 1),
        "not there",
    ),
    "int8": (lambda xml: xml.replace("'f16'", "'i8'", 1), "FP16 or FP32"),
    "size": (lambda xml: xml.replace("size='1728'", "size='1720'", 1), "1720 bytes"),
    "other input": (lambda xml: xml.replace("left_eye", "eye"), "'left_eye_image'"),
    "shape": (
        lambda xml: xml.replace(
            "<dim>32</dim><dim>3</dim><dim>3</dim><dim>3</dim>",
            "<dim>16</dim><dim>6</dim><dim>3</dim><dim>3</dim>",
            1,
        ),
        r"shape \(3, 3, 3, 32\) for left_conv1's kernel, not \(3, 3, 6, 16\)",
    ),
    "flat kernel": (
        lambda xml: xml.replace(
            "<dim>32</dim><dim>3</dim><dim>3</dim><dim>3</dim>", "<dim>864</dim>", 1
        ),
        "a kernel in",
    ),
    "stride": (lambda xml: xml.replace("'2,2'", "'3,3'", 1), "not .*'3,3'"),
    "padding": (
        lambda xml: xml.replace("pads_end='1,1'", "pads_end='0,0'", 1),
        "pads_end",
    ),
    "no relu": (
        lambda xml: xml.replace("'ReLU'", "'Sigmoid'", 1),
        "ReLU after .*Sigmoid",
    ),
    "axis": (lambda xml: xml.replace("axis='1'", "axis='2'", 1), "in this order"),
    "more": (
        lambda xml: xml.replace(
            "</layers>",
            "<layer id='x' name='spare' type='Const'><data element_type='f16' offset='0' "
            "size='2'/><output><port><dim>1</dim></port></output></layer></layers>",
        ),
        "no place for Const 'spare'",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_another_file_is_told_in_a_sentence(kind, random_nets, tmp_path):
    change, complaint = DAMAGE[kind]
    source = random_nets[0] / f"{adas.NAME}.xml"
    path = tmp_path / source.name
    changed = change(source.read_text())
    assert changed != source.read_text()
    path.write_text(changed)
    path.with_suffix(".bin").write_bytes(source.with_suffix(".bin").read_bytes())
    with pytest.raises(GazeheadError, match=complaint) as error:
        AdasEstimator(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda data: data[:1000], "truncated"),
        (lambda data: data + b"\0", "do not belong together"),
    ],
)
def test_constants_must_fill_their_file(change, complaint, random_nets, tmp_path):
    source = random_nets[0] / f"{head_pose_adas.NAME}.xml"
    path = tmp_path / source.name
    path.write_text(source.read_text())
    with pytest.raises(GazeheadError, match=r"\.bin: cannot be read"):
        HeadPoseAdas(tmp_path)
    path.with_suffix(".bin").write_bytes(
        change(source.with_suffix(".bin").read_bytes())
    )
    with pytest.raises(GazeheadError, match=complaint):
        HeadPoseAdas(tmp_path)


def test_swapped_eyes_and_the_other_network_are_told(random_nets, tmp_path):
    swapped, _ = gaze_net(*PICTURES, HEAD_DEG, swap=True)
    swapped.write(tmp_path)
    with pytest.raises(GazeheadError, match="in this order"):
        AdasEstimator(tmp_path)
    with pytest.raises(GazeheadError, match=r"a Parameter named 'data'"):
        head_pose_adas.convert(read_ir(random_nets[0] / f"{adas.NAME}.xml"))
    with pytest.raises(GazeheadError, match=r"xml: cannot be read \(No such file"):
        AdasEstimator(tmp_path / "nowhere")
    with pytest.raises(GazeheadError, match="'mesh' or 'zero', got 'net'"):
        AdasEstimator(random_nets[0], head_input="net")


# --- conventions -------------------------------------------------------------------


def frames_of(head_deg, position_cm, size=(480, 640)):
    """Frames of the mean face; bright red where its left eye is."""
    head_deg = np.atleast_2d(head_deg)
    position = np.broadcast_to(position_cm, (len(head_deg), 3))
    landmarks = project(np.deg2rad(head_deg), np.zeros((len(head_deg), 2)), position)
    fit = fit_head(landmarks, CAMERA)
    images = []
    for points in landmarks:
        image = np.zeros((*size, 3), np.uint8)
        x, y = points[list(LEFT_EYE), :2].mean(0).astype(int)
        image[max(y - 3, 0) : max(y + 3, 0), max(x - 3, 0) : max(x + 3, 0), 0] = 255
        images.append(image)
    return FaceFrames(images, landmarks, fit, matrix_to_head(fit.rotation), CAMERA)


def told_net(monkeypatch, module, answer):
    """Replaces the network; the inputs of each call are kept."""
    calls = []

    def net(apply, params, *inputs):
        calls.append(inputs)
        return np.tile(np.asarray(answer, float), (len(inputs[0]), 1))

    monkeypatch.setattr(module, "in_batches", net)
    return calls


@pytest.mark.parametrize("position", [(0, 0, 300), (90, 40, 300), (-60, -50, 300)])
@pytest.mark.parametrize("roll_deg", [0, 25])
def test_who_looks_into_the_camera_looks_back_along_the_ray(
    position, roll_deg, random_nets, monkeypatch
):
    told_net(monkeypatch, adas, [0, 0, -0.7])
    frames = frames_of([5, -10, roll_deg], position)
    gaze = AdasEstimator(random_nets[0]).measure(frames)
    x, y = frames.landmarks[0, [*RIGHT_EYE, *LEFT_EYE], :2].mean(0)
    ray = [x - CAMERA.width / 2, y - CAMERA.height / 2, CAMERA.focal_px]
    want = vector_to_angles(-np.array([ray]))
    assert np.rad2deg(np.abs(gaze - want)).max() < 0.1


@pytest.mark.parametrize(
    ("look", "roll_deg", "want_deg"),
    [
        ([-1, 0, -1], 0, (0, 45)),  # To the image's left is yaw +.
        ([0, 1, -1], 0, (45, 0)),  # Up is pitch +.
        ([0, 1, -1], 90, (0, -45)),  # "Up" of a head on its side is the image's right.
    ],
)
def test_the_nets_axes_become_ours(look, roll_deg, want_deg, random_nets, monkeypatch):
    told_net(monkeypatch, adas, look)
    gaze = AdasEstimator(random_nets[0]).measure(
        frames_of([0, 0, roll_deg], (0, 0, 3000))
    )
    np.testing.assert_allclose(np.rad2deg(gaze), [want_deg], atol=0.7)


def test_the_net_is_told_the_head_without_its_roll(random_nets, monkeypatch):
    calls = told_net(monkeypatch, adas, [0, 0, -1])
    frames = frames_of([[10, 20, 0], [10, 20, 30]], (0, 0, 250))
    AdasEstimator(random_nets[0]).measure(frames)
    left, right, told = calls.pop()
    # Yaw + to the image's right, pitch + down.
    np.testing.assert_allclose(told[0], [-20, -10, 0], atol=1)
    # Without its roll a head faces the camera as much as before.
    assert told[1, 2] == 0
    facing = np.cos(np.deg2rad(told[:, :2])).prod(1)
    assert facing == pytest.approx(np.cos(np.deg2rad([10, 20])).prod(), abs=0.005)
    assert np.abs(told[1] - told[0]).max() > 3
    # The subject's left eye is the red one, and colours are blue, green, red.
    assert left[:, 27:33, 27:33, 2].mean() > 100
    assert left[..., :2].max() == 0
    assert right.max() == 0
    AdasEstimator(random_nets[0], head_input="zero").measure(frames)
    assert not calls.pop()[2].any()


def test_an_eye_out_of_the_frame_tells_nothing(random_nets):
    estimator = AdasEstimator(random_nets[0])
    assert isinstance(estimator, GazeEstimator)
    frames = frames_of([[0, 0, 0]] * 3, [[0, 0, 200], [72, 0, 200], [500, 0, 200]])
    gaze = estimator.measure(frames)
    assert gaze.shape == (3, estimator.width)
    np.testing.assert_array_equal(np.isnan(gaze[:, 0]), [False, True, True])
    open_eyes = np.ones(3, bool)
    np.testing.assert_array_equal(estimator.resolve(gaze, frames.head, open_eyes), gaze)


def test_the_head_pose_nets_axes_become_ours(random_nets, monkeypatch):
    told_net(monkeypatch, head_pose_adas, [-10, -20, 30])
    net = HeadPoseAdas(random_nets[0])
    far = frames_of([0, 0, 0], (0, 0, 3000))
    np.testing.assert_allclose(np.rad2deg(net.measure(far)), [[10, 20, 30]], atol=0.1)
    # As the picture of an off-centre face is not turned, the face's ray is added.
    aside = frames_of([0, 0, 0], (60, 0, 300))
    told_net(monkeypatch, head_pose_adas, [0, 0, 0])
    assert np.rad2deg(net.measure(aside)[0, 1]) == pytest.approx(
        np.rad2deg(np.arctan2(60, 300)), abs=0.3
    )


def test_the_face_lies_in_its_crop_as_the_net_knows_it(random_nets, monkeypatch):
    calls = told_net(monkeypatch, head_pose_adas, [0, 0, 0])
    frames = frames_of([0, 15, 0], (10, -5, 100))
    low, high = (f(frames.landmarks[0, :, :2], 0).astype(int) for f in (np.min, np.max))
    frames.images[0][low[1] : high[1], low[0] : high[0]] = 255
    HeadPoseAdas(random_nets[0]).measure(frames)
    face = calls.pop()[0][0, ..., 0] > 127
    rows, columns = (np.flatnonzero(face.any(axis)) for axis in (1, 0))
    # A square 1.32 times as high as the face, whose middle is .03 below its own.
    height = 60 / 1.32
    middle = 30 + 0.03 * height
    assert len(rows) == pytest.approx(height, abs=1.5)
    assert rows.mean() + 0.5 == pytest.approx(middle, abs=1)
    assert columns.mean() + 0.5 == pytest.approx(30, abs=1)


# --- the true networks on real faces -----------------------------------------------


@pytest.fixture(scope="module")
def real(shared):
    """Frames of a clip whose eyes go far to both sides, in chunks."""
    pytest.importorskip("mediapipe")
    from gazehead_jax.extraction.landmarks import LandmarkNet
    from gazehead_jax.video import read_video

    task = (shared / "weights/mediapipe/face_landmarker.task").read_bytes()
    images, landmarks = [], []
    with LandmarkNet(task) as net:
        for i, (time, image) in enumerate(read_video(shared / CLIP)):
            if i % 4 == 0:
                images.append(image)
                landmarks.append(net.detect(image, time)[0])
            if len(images) == 3 * CHUNK:
                break
    landmarks = np.array(landmarks)
    camera = likely_camera(landmarks, images[0].shape[1::-1])
    fit = fit_head(landmarks, camera)
    head = matrix_to_head(fit.rotation)
    return [
        FaceFrames(
            images[at],
            landmarks[at],
            HeadFit(
                fit.rotation[at], fit.seen[at], fit.landmarks[at], fit.pixels_per_cm[at]
            ),
            head[at],
            camera,
        )
        for at in (slice(i, i + CHUNK) for i in range(0, len(images), CHUNK))
    ]


CLIP = "data/faces/liveportrait/d14.mp4"
REASON = "openvino, against which the networks are compared, is not installed"


# The import of openvino sometimes forks, to report that it is used.
@pytest.mark.filterwarnings("ignore:os.fork")
@pytest.mark.parametrize(
    ("module", "estimator", "names"),
    [
        (
            adas,
            AdasEstimator,
            ("left_eye_image", "right_eye_image", "head_pose_angles"),
        ),
        (head_pose_adas, HeadPoseAdas, ("data",)),
    ],
)
def test_parity_with_openvino_on_real_faces(
    module, estimator, names, real, shared, monkeypatch
):
    openvino = pytest.importorskip("openvino", reason=REASON)
    folder = shared / "weights/openvino" / module.NAME
    kept = []

    def keep(net, params, *inputs):
        kept.append((inputs, in_batches(net, params, *inputs)))
        return kept[-1][1]

    monkeypatch.setattr(module, "in_batches", keep)
    estimator(folder).measure(real[1])
    inputs, got = kept.pop()
    path = folder / f"{module.NAME}.xml"
    # Else the runtime may compute in bfloat16.
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    runtime = openvino.Core().compile_model(path, "CPU", hint)
    for i in range(0, CHUNK, 4):
        one = {
            name: np.moveaxis(x[i : i + 1], -1, 1 if x.ndim == 4 else -1).astype(
                np.float32
            )
            for name, x in zip(names, inputs, strict=True)
        }
        answer = {next(iter(k.names)): v for k, v in runtime(one).items()}
        if module is adas:
            want = answer["gaze_vector"][0]
        else:
            want = [answer[f"angle_{name}_fc"].item() for name in "pyr"]
        np.testing.assert_allclose(got[i], want, atol=1e-3)


def test_eyes_and_head_agree_with_the_landmarks_on_a_real_clip(real, shared):
    weights = shared / "weights/openvino"
    head = np.concatenate([f.head for f in real])
    measured = {}
    for name, estimator in {
        "iris": IrisEstimator(),
        "adas": AdasEstimator(weights / adas.NAME),
        "head": HeadPoseAdas(weights / head_pose_adas.NAME),
    }.items():
        measured[name] = np.concatenate([estimator.measure(f) for f in real])
    open_eyes = np.ones(len(head), bool)
    iris = IrisEstimator().resolve(measured["iris"], head, open_eyes)
    seen = [gaze_in_head(gaze, head) for gaze in (iris, measured["adas"])]
    ok = np.isfinite(seen).all((0, 2))
    assert ok.mean() > 0.9
    (pitch, yaw), (other_pitch, other_yaw) = (x[ok].T for x in seen)
    # Not blinks alone: the eyes go far to both sides.
    assert np.rad2deg(yaw.std()) > 10
    assert np.corrcoef(yaw, other_yaw)[0, 1] > 0.9
    assert np.corrcoef(pitch, other_pitch)[0, 1] > 0.3
    assert other_yaw.std() / yaw.std() == pytest.approx(1, abs=0.3)
    assert np.rad2deg(abs(np.median(other_yaw - yaw))) < 6
    for channel, least in enumerate((0.5, 0.7, 0.3)):
        r = np.corrcoef(head[:, channel], measured["head"][:, channel])[0, 1]
        assert r > least, channel
