"""The published face networks, in torch, written from their papers; and their layouts."""

import re

import jax
import numpy as np


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
