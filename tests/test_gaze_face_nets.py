"""Face networks: parity with independent torch definitions, and what they tell."""

import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_gaze_normalise import CAMERA, POSES, published_turn, seen
from test_torch_file import safetensors

from gazehead_jax.errors import GazeheadError
from gazehead_jax.face_geometry import HeadFit, fit_head
from gazehead_jax.gaze import face_nets
from gazehead_jax.gaze.estimator import CHUNK, FaceFrames, GazeEstimator
from gazehead_jax.gaze.face_nets import (
    FaceNet,
    L2csEstimator,
    UniGazeEstimator,
    XGazeEstimator,
    expected_angles,
)
from gazehead_jax.gaze.normalise import NormalisedSpace, SquareSpace, to_camera
from gazehead_jax.gaze.resnet import ResNetGaze, l2cs_from_torch, xgaze_from_torch
from gazehead_jax.gaze.vit import UNIGAZE, Architecture, ViTGaze, unigaze_from_torch
from gazehead_jax.motion import vector_to_angles

# --- the published networks, in torch, written from their papers ----------------------


@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip("torch", reason="defines the networks to compare with")


def torch_resnet(torch, width, published):
    """ResNet-50 with the names of `published`: "xgaze" or "l2cs"."""
    from torch import nn

    def conv(i, o, k, s=1):
        return nn.Conv2d(i, o, k, s, k // 2, bias=False)

    class Block(nn.Module):
        def __init__(self, before, inside, stride, project):
            super().__init__()
            self.conv1, self.bn1 = conv(before, inside, 1), nn.BatchNorm2d(inside)
            self.conv2, self.bn2 = (
                conv(inside, inside, 3, stride),
                nn.BatchNorm2d(inside),
            )
            self.conv3, self.bn3 = (
                conv(inside, 4 * inside, 1),
                nn.BatchNorm2d(4 * inside),
            )
            if project:
                self.downsample = nn.Sequential(
                    conv(before, 4 * inside, 1, stride), nn.BatchNorm2d(4 * inside)
                )

        def forward(self, x):
            y = self.bn1(self.conv1(x)).relu()
            y = self.bn2(self.conv2(y)).relu()
            y = self.bn3(self.conv3(y))
            return (
                y + (self.downsample(x) if hasattr(self, "downsample") else x)
            ).relu()

    class ResNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            before = width
            for stage, blocks in enumerate((3, 4, 6, 3), start=1):
                inside = width * 2 ** (stage - 1)
                layer = []
                for block in range(blocks):
                    stride = 2 if stage > 1 and block == 0 else 1
                    layer.append(Block(before, inside, stride, block == 0))
                    before = 4 * inside
                setattr(self, f"layer{stage}", nn.Sequential(*layer))

        def forward(self, x):
            x = self.bn1(self.conv1(x)).relu()
            x = nn.functional.max_pool2d(x, 3, 2, 1)
            x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
            return x.mean((2, 3))

    class XGaze(nn.Module):
        def __init__(self):
            super().__init__()
            self.gaze_network = ResNet()
            self.gaze_network.fc = nn.Linear(32 * width, 1000)
            self.gaze_fc = nn.Sequential(nn.Linear(32 * width, 2))

        def forward(self, x):
            return self.gaze_fc(self.gaze_network(x))

    class L2cs(ResNet):
        def __init__(self):
            super().__init__()
            self.fc_yaw_gaze = nn.Linear(32 * width, 90)
            self.fc_pitch_gaze = nn.Linear(32 * width, 90)
            self.fc_finetune = nn.Linear(32 * width + 3, 3)

        def forward(self, x):
            x = super().forward(x)
            return torch.cat([self.fc_yaw_gaze(x), self.fc_pitch_gaze(x)], 1)

    return {"xgaze": XGaze, "l2cs": L2cs}[published]()


def torch_vit(torch, sizes):
    """UniGaze's names: timm's vision transformer within `vit`, and `gaze_fc`."""
    from torch import nn

    n, heads = sizes.features, sizes.heads

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.proj = nn.Linear(n, 3 * n), nn.Linear(n, n)

        def forward(self, x):
            b, t, _ = x.shape
            q, k, v = (
                part.reshape(b, t, heads, n // heads).transpose(1, 2)
                for part in self.qkv(x).split(n, dim=-1)
            )
            share = (q @ k.transpose(-1, -2) / (n // heads) ** 0.5).softmax(-1)
            return self.proj((share @ v).transpose(1, 2).reshape(b, t, n))

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(n, 1e-6), nn.LayerNorm(n, 1e-6)
            self.attn = Attention()
            self.mlp = nn.Module()
            self.mlp.fc1, self.mlp.fc2 = nn.Linear(n, 4 * n), nn.Linear(4 * n, n)

        def forward(self, x):
            x = x + self.attn(self.norm1(x))
            inner = nn.functional.gelu(self.mlp.fc1(self.norm2(x)))
            return x + self.mlp.fc2(inner)

    class Vit(nn.Module):
        def __init__(self):
            super().__init__()
            self.cls_token = nn.Parameter(torch.zeros(1, 1, n))
            self.pos_embed = nn.Parameter(torch.zeros(1, sizes.tokens, n))
            self.patch_embed = nn.Module()
            self.patch_embed.proj = nn.Conv2d(3, n, sizes.patch, sizes.patch)
            self.blocks = nn.Sequential(*(Block() for _ in range(sizes.depth)))
            self.norm, self.head = nn.LayerNorm(n, 1e-6), nn.Linear(n, 1000)

        def forward(self, x):
            x = self.patch_embed.proj(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.cls_token.expand(len(x), 1, n), x], 1) + self.pos_embed
            return self.norm(self.blocks(x))[:, 0]

    class UniGaze(nn.Module):
        def __init__(self):
            super().__init__()
            self.vit, self.gaze_fc = Vit(), nn.Linear(n, 2)

        def forward(self, x):
            return self.gaze_fc(self.vit(x))

    return UniGaze()


# --- random weights that keep signals of one size, the same on every machine -----------


def random_state(shapes, seed=0):
    random = np.random.RandomState(seed)
    state = {}
    for name, shape in sorted(shapes.items()):
        if name.endswith("num_batches_tracked"):
            value = np.array(1234)
        elif name.endswith("running_var"):
            value = random.uniform(0.5, 2.0, shape)
        elif len(shape) > 1 and not name.endswith(("cls_token", "pos_embed")):
            value = random.standard_normal(shape) * np.prod(shape[1:]) ** -0.5
        elif re.search(r"(bn\d|norm\d?|downsample\.1)\.weight$", name):
            value = random.uniform(0.5, 1.5, shape)
        else:
            value = random.standard_normal(shape) * 0.3
        state[name] = np.asarray(value, np.int64 if not shape else np.float32)
    return state


def shapes_of(module):
    return {name: tuple(t.shape) for name, t in module.state_dict().items()}


def pictures(count, size, seed=1):
    random = np.random.RandomState(seed)
    return random.standard_normal((count, size, size, 3)).astype(np.float32)


def torch_outputs(torch, module, state, images):
    tensors = {name: torch.from_numpy(value.copy()) for name, value in state.items()}
    module.load_state_dict(tensors, strict=True)
    with torch.no_grad():
        return module.eval()(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()


def flax_outputs(network, params, images):
    return np.asarray(jax.jit(network.apply)({"params": params}, images))


def resnet_shapes(published, width):
    """The published layout, spelled out once more."""
    prefix = "gaze_network." if published == "xgaze" else ""
    shapes = {}

    def convolution(conv, norm, shape):
        shapes[f"{prefix}{conv}.weight"] = shape
        for name in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{prefix}{norm}.{name}"] = shape[:1]
        shapes[f"{prefix}{norm}.num_batches_tracked"] = ()

    convolution("conv1", "bn1", (width, 3, 7, 7))
    before = width
    for stage, blocks in ((1, 3), (2, 4), (3, 6), (4, 3)):
        n = width << (stage - 1)
        for b in range(blocks):
            at = f"layer{stage}.{b}"
            convolution(f"{at}.conv1", f"{at}.bn1", (n, before, 1, 1))
            convolution(f"{at}.conv2", f"{at}.bn2", (n, n, 3, 3))
            convolution(f"{at}.conv3", f"{at}.bn3", (4 * n, n, 1, 1))
            if b == 0:
                at = f"{at}.downsample"
                convolution(f"{at}.0", f"{at}.1", (4 * n, before, 1, 1))
            before = 4 * n
    if published == "xgaze":
        heads = {"gaze_network.fc": (1000, before), "gaze_fc.0": (2, before)}
    else:
        heads = {"fc_yaw_gaze": (90, before), "fc_pitch_gaze": (90, before)}
        heads["fc_finetune"] = (3, before + 3)
    for name, shape in heads.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return shapes


def vit_shapes(sizes):
    n = sizes.features
    layers = {"vit.patch_embed.proj": (n, 3, sizes.patch, sizes.patch)}
    for i in range(sizes.depth):
        at = f"vit.blocks.{i}"
        layers |= {f"{at}.norm1": (n,), f"{at}.norm2": (n,)}
        layers |= {f"{at}.attn.qkv": (3 * n, n), f"{at}.attn.proj": (n, n)}
        layers |= {f"{at}.mlp.fc1": (4 * n, n), f"{at}.mlp.fc2": (n, 4 * n)}
    layers |= {"vit.norm": (n,), "vit.head": (1000, n), "gaze_fc": (2, n)}
    shapes = {"vit.cls_token": (1, 1, n), "vit.pos_embed": (1, sizes.tokens, n)}
    for name, shape in layers.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return shapes


SMALL_VIT = Architecture(patch=14, features=32, depth=32, heads=16, size=56)
CONVERT = {"xgaze": xgaze_from_torch, "l2cs": l2cs_from_torch}
OUTPUTS = {"xgaze": 2, "l2cs": 180}


def small_resnet(published):
    """A narrow ResNet-50: torch's layout, its state, the Flax outputs."""
    state = random_state(resnet_shapes(published, 8))
    params = CONVERT[published](state, width=8)
    network = ResNetGaze(OUTPUTS[published], width=8)
    return state, flax_outputs(network, params, pictures(2, 65))


def small_vit():
    state = random_state(vit_shapes(SMALL_VIT))
    params = unigaze_from_torch(state, SMALL_VIT)
    return state, flax_outputs(ViTGaze(SMALL_VIT), params, pictures(2, 56))


@pytest.mark.parametrize("published", ["xgaze", "l2cs"])
def test_narrow_resnet_is_torchs(torch, published):
    state, got = small_resnet(published)
    module = torch_resnet(torch, 8, published)
    assert shapes_of(module) == {k: v.shape for k, v in state.items()}
    expected = torch_outputs(torch, module, state, pictures(2, 65))
    np.testing.assert_allclose(got, expected, atol=1e-4)
    assert np.ptp(expected) > 0.5


def test_narrow_vit_is_torchs(torch):
    state, got = small_vit()
    module = torch_vit(torch, SMALL_VIT)
    assert shapes_of(module) == {k: v.shape for k, v in state.items()}
    expected = torch_outputs(torch, module, state, pictures(2, 56))
    np.testing.assert_allclose(got, expected, atol=1e-4)
    assert np.ptp(expected) > 0.5


# First and last output that torch 2.13 gave in the two tests above, for machines
# without it.
GOLDEN = {
    "xgaze": [[0.890302, -2.331239], [0.960392, -2.356426]],
    "l2cs": [[-1.611433, 3.935984], [-1.647433, 4.155326]],
    "unigaze": [[0.505511, 0.778994], [0.093304, 1.127675]],
}


@pytest.mark.parametrize("published", GOLDEN)
def test_narrow_networks_give_what_torch_gave(published):
    _, got = small_vit() if published == "unigaze" else small_resnet(published)
    np.testing.assert_allclose(got[:, [0, -1]], GOLDEN[published], atol=1e-4)


def test_full_resnet_50_is_torchs(torch):
    state = random_state(resnet_shapes("xgaze", 64))
    expected = torch_outputs(
        torch, torch_resnet(torch, 64, "xgaze"), state, pictures(1, 224)
    )
    got = flax_outputs(ResNetGaze(2), xgaze_from_torch(state), pictures(1, 224))
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_full_unigaze_b_is_torchs(torch):
    state = random_state(vit_shapes(UNIGAZE["b"]))
    module = torch_vit(torch, UNIGAZE["b"])
    expected = torch_outputs(torch, module, state, pictures(1, 224))
    params = unigaze_from_torch(state, UNIGAZE["b"])
    got = flax_outputs(ViTGaze(UNIGAZE["b"]), params, pictures(1, 224))
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_unigaze_sizes_are_those_published():
    """Parameters of MAE's ViT-B, -L and -H without a classifier: 86, 303, 631 M."""
    for variant, millions in {"b": 86, "l": 303, "h": 631}.items():
        shapes = vit_shapes(UNIGAZE[variant])
        count = sum(
            np.prod(shape) for name, shape in shapes.items() if "vit.head" not in name
        )
        assert round(count / 1e6) == millions
        network = ViTGaze(UNIGAZE[variant])
        made = jax.eval_shape(
            network.init, jax.random.key(0), jnp.zeros((1, 224, 224, 3))
        )
        assert sum(x.size for x in jax.tree.leaves(made)) == count


def test_converted_parameters_fit_the_network():
    """Leaf for leaf those that the network itself would make."""
    for network, params, size in (
        (
            ResNetGaze(2, width=8),
            xgaze_from_torch(random_state(resnet_shapes("xgaze", 8)), width=8),
            65,
        ),
        (
            ViTGaze(SMALL_VIT),
            unigaze_from_torch(random_state(vit_shapes(SMALL_VIT)), SMALL_VIT),
            56,
        ),
    ):
        made = jax.eval_shape(
            network.init, jax.random.key(0), jnp.zeros((1, size, size, 3))
        )["params"]
        assert jax.tree.structure(made) == jax.tree.structure(params)
        assert jax.tree.map(jnp.shape, made) == jax.tree.map(jnp.shape, params)
        assert {x.dtype for x in jax.tree.leaves(params)} == {np.dtype(np.float32)}


# --- every key is accounted for --------------------------------------------------------


@pytest.mark.parametrize("name", ["xgaze", "l2cs", "unigaze"])
def test_any_missing_strange_or_misshapen_tensor_is_refused(name):
    convert, state = converter(name)
    convert(state)
    optional = re.compile(
        r"num_batches_tracked|gaze_network\.fc\.|fc_finetune|vit\.head\."
    )
    for key, value in state.items():
        less = {k: v for k, v in state.items() if k != key}
        if optional.search(key):
            convert(less)
        else:
            with pytest.raises(GazeheadError, match=re.escape(f"1 missing ({key})")):
                convert(less)
        with pytest.raises(GazeheadError, match=re.escape(f"another shape ({key} ")):
            convert(state | {key: value[None]})
    with pytest.raises(GazeheadError, match=r"1 unknown \(vit\.fc_norm\.weight\)"):
        convert(state | {"vit.fc_norm.weight": np.zeros(3)})


def converter(name):
    if name == "unigaze":
        sizes = Architecture(patch=14, features=32, depth=2, heads=4, size=28)
        return lambda s: unigaze_from_torch(s, sizes), random_state(vit_shapes(sizes))
    state = random_state(resnet_shapes(name, 2))
    return lambda s: CONVERT[name](s, width=2), state


def test_weights_of_another_model_are_refused():
    for name in CONVERT:
        for other in {"xgaze", "l2cs", "unigaze"} - {name}:
            with pytest.raises(GazeheadError, match="give the checkpoint of"):
                converter(name)[0](converter(other)[1])


def test_l2cs_of_mpiigaze_is_refused():
    """Its 28 bins are of 3°, for normalised faces."""
    state = random_state(resnet_shapes("l2cs", 2))
    state["fc_yaw_gaze.weight"] = state["fc_yaw_gaze.weight"][:28]
    with pytest.raises(GazeheadError, match=r"\(28, 64\) instead of \(90, 64\)"):
        l2cs_from_torch(state, width=2)


def test_the_first_xgaze_checkpoint_had_a_parallel_network_inside():
    state = random_state(resnet_shapes("xgaze", 2))
    old = {
        k.replace("gaze_network.", "gaze_network.module."): v for k, v in state.items()
    }
    for a, b in zip(
        jax.tree.leaves(xgaze_from_torch(state, 2)),
        jax.tree.leaves(xgaze_from_torch(old, 2)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


# --- what the networks tell, in the camera frame ---------------------------------------


def frames(names, shape=(1080, 1920)):
    landmarks = np.concatenate([seen(name)[0] for name in names])
    fit = fit_head(landmarks, CAMERA)
    image = np.zeros((*shape, 3), np.uint8)
    head = np.zeros((len(names), 3))
    return FaceFrames([image] * len(names), landmarks, fit, head, CAMERA)


def says(outputs, space, decode=lambda outputs: outputs):
    """An estimator whose network gives the same for any picture, and its traces."""
    traces = []

    class Says(nn.Module):
        @nn.compact
        def __call__(self, images):
            traces.append(images.shape)
            return jnp.tile(jnp.array(outputs, jnp.float32)[None], (len(images), 1))

    return FaceNet("says", "none", space, Says(), {}, decode), traces


@pytest.mark.parametrize(
    "normalised",
    [(0.0, 0.0), (0.3, 0.0), (0.0, 0.4), (-0.2, -0.5)],
    ids=["straight", "up", "image-left", "down image-right"],
)
def test_normalised_gaze_is_turned_into_the_camera_frame(normalised):
    """Oracle: the published v, its label of −gaze, undone with the inverse rotation."""
    net, _ = says(normalised, NormalisedSpace())
    gaze = net.measure(frames(list(POSES)))
    assert gaze.shape == (len(POSES), 2)
    pitch, yaw = normalised
    label = np.array(
        [np.cos(pitch) * np.sin(yaw), np.sin(pitch), np.cos(pitch) * np.cos(yaw)]
    )
    for got, name in zip(gaze, POSES, strict=True):
        _, points, rotation = seen(name)
        turn = published_turn(points, rotation)
        expected = vector_to_angles(np.linalg.inv(turn) @ -label)
        np.testing.assert_allclose(got, expected, atol=np.deg2rad(0.5))


def test_signs_of_normalised_gaze():
    """Up is up and image-left is image-left, but for the crop's lean of 2.6°."""
    for normalised, sign in (((0.3, 0.0), [1, 0]), ((0.0, 0.3), [0, 1])):
        net, _ = says(normalised, NormalisedSpace())
        gaze = net.measure(frames(["frontal"]))[0]
        np.testing.assert_allclose(gaze, 0.3 * np.array(sign), atol=0.02)


def logits(yaw_deg, pitch_deg):
    """L2CS-Net's outputs when it is sure: yaw's bins first."""
    bins = np.full((2, 90), -50.0)
    for row, angle in enumerate((yaw_deg, pitch_deg)):
        bins[row, round((angle + 180) / 4)] = 50.0
    return bins.ravel()


def test_l2cs_bins_are_yaw_then_pitch():
    outputs = jnp.array([logits(20, -12), logits(-180, 176)], jnp.float32)
    gaze = np.rad2deg(expected_angles(outputs))
    np.testing.assert_allclose(gaze, [[-12, 20], [176, -180]], atol=1e-3)


def test_l2cs_takes_the_mean_over_bins():
    random = np.random.default_rng(0)
    outputs = random.normal(0, 2, (5, 180))
    share = np.exp(outputs.reshape(5, 2, 90))
    share /= share.sum(-1, keepdims=True)
    degrees = share @ (np.arange(90) * 4.0 - 180)
    got = np.rad2deg(expected_angles(jnp.array(outputs, jnp.float32)))
    np.testing.assert_allclose(got, degrees[:, ::-1], atol=1e-3)


def test_l2cs_gaze_is_about_the_ray_to_the_eyes():
    """Gaze360's frame: 20° image-left and 12° down of the ray back to the camera."""
    net, _ = says(logits(20, -12), SquareSpace(), expected_angles)
    names = ["frontal", "off-centre", "corner"]
    for got, name in zip(net.measure(frames(names)), names, strict=True):
        _, points, _ = seen(name)
        ray = points[[33, 133, 263, 362]].mean(0)
        ray /= np.linalg.norm(ray)
        right = np.cross([0, 1, 0], ray)
        right /= np.linalg.norm(right)
        yaw, pitch = np.deg2rad(20), np.deg2rad(-12)
        # Its v has x to the left, y up and z along the ray.
        x, y, z = (
            np.cos(pitch) * np.sin(yaw),
            np.sin(pitch),
            -np.cos(pitch) * np.cos(yaw),
        )
        expected = -x * right - y * np.cross(ray, right) + z * ray
        np.testing.assert_allclose(
            got, vector_to_angles(expected), atol=np.deg2rad(0.5)
        )


# --- the estimators ----------------------------------------------------------------


def test_compiles_once_for_any_number_and_size_of_frames():
    net, traces = says((0.1, 0.2), NormalisedSpace())
    names = list(POSES)
    for count, shape in ((1, (1080, 1920)), (6, (1080, 1920)), (3, (360, 640))):
        assert net.measure(frames(names[:count], shape)).shape == (count, 2)
    assert traces == [(CHUNK, 224, 224, 3)]
    with pytest.raises(GazeheadError, match="up to 32 at a time, got 33"):
        net.measure(frames(["frontal"] * 33))


def test_padding_does_not_reach_the_frames():
    """A frame gets the same alone and among others, and each gets its own."""

    class Mean(nn.Module):
        @nn.compact
        def __call__(self, images):
            return images.mean((1, 2))[:, :2]

    net = FaceNet("mean", "none", NormalisedSpace(), Mean(), {})
    together = frames(["frontal"] * 3)
    for i, image in enumerate(plain_pictures(3)):
        together.images[i] = image
    all_three = net.measure(together)
    assert np.ptp(all_three, axis=0).min() > 0.01
    for i in range(3):
        one = FaceFrames(
            [together.images[i]],
            together.landmarks[i : i + 1],
            HeadFit(
                *(
                    getattr(together.fit, name)[i : i + 1]
                    for name in ("rotation", "seen", "landmarks", "pixels_per_cm")
                )
            ),
            together.head[i : i + 1],
            CAMERA,
        )
        np.testing.assert_allclose(net.measure(one)[0], all_three[i], atol=1e-6)


def plain_pictures(count):
    random = np.random.default_rng(2)
    return [
        np.full((1080, 1920, 3), random.integers(0, 255, 3), np.uint8)
        for _ in range(count)
    ]


def test_resolve_keeps_what_was_measured():
    net, _ = says((0.1, 0.2), NormalisedSpace())
    assert isinstance(net, GazeEstimator)
    measured = np.array([[0.1, 0.2], [np.nan, np.nan]])
    head = np.zeros((2, 3))
    np.testing.assert_array_equal(
        net.resolve(measured, head, np.array([True, False])), measured
    )


def checkpoint(tmp_path, state):
    tensors = {
        name: ("I64" if value.dtype == np.int64 else "F32", value)
        for name, value in state.items()
    }
    return safetensors(tmp_path / "net.safetensors", tensors)


@pytest.mark.parametrize("name", ["xgaze", "l2cs", "unigaze"])
def test_estimators_read_their_checkpoint_and_measure(name, tmp_path, monkeypatch):
    """With narrow networks: the whole way from a file to angles."""
    monkeypatch.setattr(face_nets, "CHUNK", 2)
    small = Architecture(14, 32, 2, 4)
    monkeypatch.setitem(face_nets.UNIGAZE, "h", small)
    for function in ("ResNetGaze", "xgaze_from_torch", "l2cs_from_torch"):
        narrow = functools.partial(getattr(face_nets, function), width=4)
        monkeypatch.setattr(face_nets, function, narrow)
    shapes = vit_shapes(small) if name == "unigaze" else resnet_shapes(name, 4)
    state = random_state(shapes)
    path = checkpoint(tmp_path, state)
    estimator, network, params, size = {
        "xgaze": lambda: (
            XGazeEstimator(path),
            ResNetGaze(2, width=4),
            xgaze_from_torch(state, width=4),
            224,
        ),
        "l2cs": lambda: (
            L2csEstimator(path),
            ResNetGaze(180, width=4),
            l2cs_from_torch(state, width=4),
            448,
        ),
        "unigaze": lambda: (
            UniGazeEstimator(path, "h"),
            ViTGaze(small),
            unigaze_from_torch(state, small),
            224,
        ),
    }[name]()
    assert estimator.name == name
    assert "non-commercial" in estimator.licence or "research" in estimator.licence
    two = frames(["frontal", "turned"])
    two.images[:] = plain_pictures(2)
    gaze = estimator.measure(two)
    assert gaze.shape == (2, estimator.width)
    # A plain picture is plain in any crop.
    crops = np.stack([np.broadcast_to(x[0, 0], (size, size, 3)) for x in two.images])
    crops = (crops / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    outputs = jnp.asarray(flax_outputs(network, params, crops.astype(np.float32)))
    outputs = expected_angles(outputs) if name == "l2cs" else outputs
    space = SquareSpace() if name == "l2cs" else NormalisedSpace()
    turn, _ = space.place(two.fit, two.landmarks, CAMERA)
    expected = to_camera(np.asarray(outputs, np.float64), turn)
    np.testing.assert_allclose(gaze, expected, atol=1e-4)


def test_an_unknown_variant_is_told_the_known_ones(tmp_path):
    with pytest.raises(GazeheadError, match=r"one of b, l, h; got 's'"):
        UniGazeEstimator(tmp_path / "any", "s")


def test_a_missing_checkpoint_is_one_sentence(tmp_path):
    for make in (XGazeEstimator, L2csEstimator, UniGazeEstimator):
        with pytest.raises(GazeheadError, match="could not be read"):
            make(tmp_path / "net.pth")
