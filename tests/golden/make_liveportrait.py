"""Runs the original LivePortrait at reduced width and keeps what comes out.

    git clone https://github.com/KwaiVGI/LivePortrait
    python tests/golden/make_liveportrait.py LivePortrait

writes `liveportrait.npz` beside this file. Inputs and weights are not in it: both are
made again from seeds by `tests/liveportrait_small.py`. Needs torch, and opencv-python,
pyyaml and scipy, which the original imports. Made at its commit 1986663 with torch 2.13.0.
"""

import argparse
import ast
import json
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from liveportrait_small import (  # noqa: E402
    EYES,
    MOUTH,
    NAMES,
    SMALL,
    normal,
    picture,
    states,
)

from gazehead_jax.generators.liveportrait.architecture import (  # noqa: E402
    PUBLISHED,
)


def modules(net):
    """The original's networks by the names of their files."""
    from src.modules.appearance_feature_extractor import AppearanceFeatureExtractor
    from src.modules.convnextv2 import ConvNeXtV2
    from src.modules.spade_generator import SPADEDecoder
    from src.modules.stitching_retargeting_network import StitchingRetargetingNetwork
    from src.modules.warping_network import WarpingNetwork

    motion = torch.nn.Module()
    motion.detector = ConvNeXtV2(
        depths=list(net.blocks), dims=list(net.stages), num_kp=net.keypoints
    )
    flow = {
        "block_expansion": net.flow_width,
        "max_features": net.flow_most,
        "num_blocks": net.flow_levels,
        "reshape_depth": net.depth,
        "compress": net.compress,
    }
    points = 3 * net.keypoints
    small = {
        "retarget_shoulder": (2 * points, net.stitching, points + 2),
        "retarget_mouth": (points + 2, net.lip, points),
        "retarget_eye": (points + 3, net.eye, points),
    }
    return {
        "appearance": AppearanceFeatureExtractor(
            image_channel=3,
            block_expansion=net.width,
            num_down_blocks=2,
            max_features=net.channels,
            reshape_channel=net.planes,
            reshape_depth=net.depth,
            num_resblocks=net.resblocks,
        ),
        "motion": motion,
        "warping": WarpingNetwork(
            num_kp=net.keypoints,
            block_expansion=net.width,
            max_features=net.channels,
            num_down_blocks=2,
            reshape_channel=net.planes,
            estimate_occlusion_map=True,
            dense_motion_params=flow,
        ),
        "generator": SPADEDecoder(
            upscale=2,
            block_expansion=net.width,
            max_features=net.channels,
            out_channels=net.width,
            num_down_blocks=2,
        ),
        "retargeting": torch.nn.ModuleDict(
            {
                name: StitchingRetargetingNetwork(inputs, list(hidden), outputs)
                for name, (inputs, hidden, outputs) in small.items()
            }
        ),
    }


def first(array):
    """NCHW or NCDHW to channels last."""
    return np.moveaxis(array.numpy(), 1, -1)


def torch_picture(array):
    return torch.from_numpy(array.transpose(2, 0, 1)[None].copy())


def module_outputs(nets):
    """What each network gives alone."""
    image = torch_picture(picture())
    d, edge = SMALL.depth, SMALL.size // 4
    volume = torch.from_numpy(normal(2, 2, SMALL.planes, d, edge, edge))
    driving, source = (
        torch.from_numpy(normal(seed, 2, SMALL.keypoints, 3, scale=0.5))
        for seed in (3, 4)
    )
    warped = nets["warping"](volume, kp_driving=driving, kp_source=source)
    features = torch.from_numpy(normal(5, 2, SMALL.warped, edge, edge))
    out = {
        "appearance": first(nets["appearance"](image)),
        "warped": first(warped["out"]),
        "where": warped["deformation"].numpy(),
        "occlusion": first(warped["occlusion_map"]),
        "generator": first(nets["generator"](features)),
    }
    for name, value in nets["motion"].detector(image).items():
        out[f"motion_{name}"] = value.numpy()
    for seed, name in enumerate(("shoulder", "mouth", "eye"), start=6):
        net = nets["retargeting"][f"retarget_{name}"]
        inputs = torch.from_numpy(normal(seed, 3, net.mlp[0].in_features))
        out[f"retarget_{name}"] = net(inputs).numpy()
    return out


def eyeball_rule(checkout):
    """The demo's function that moves the eyes, without the demo."""
    tree = ast.parse((checkout / "src/gradio_pipeline.py").read_text())
    name = "update_delta_new_eyeball_direction"
    (node,) = (n for n in ast.walk(tree) if getattr(n, "name", "") == name)
    node.decorator_list = []
    space = {}
    exec(compile(ast.Module([node], []), name, "exec"), space)
    return lambda x, y, expression: space[name](None, x, y, expression.clone())


def end_to_end(nets, checkout):
    """A portrait, angles in degrees, eye sliders and lids to pictures."""
    from src.live_portrait_wrapper import LivePortraitWrapper
    from src.utils.camera import get_rotation_matrix

    class Settings:
        flag_use_half_precision = False
        device_id = 0

    wrapper = object.__new__(LivePortraitWrapper)
    wrapper.inference_cfg, wrapper.device, wrapper.compile = Settings, "cpu", False
    wrapper.appearance_feature_extractor = nets["appearance"]
    wrapper.motion_extractor = nets["motion"].detector
    wrapper.warping_module, wrapper.spade_generator = nets["warping"], nets["generator"]
    wrapper.stitching_retargeting_module = {
        name: nets["retargeting"][f"retarget_{part}"]
        for name, part in (("stitching", "shoulder"), ("lip", "mouth"), ("eye", "eye"))
    }
    degrees = np.float32([[0, 0, 0], [12, -20, 7], [-9, 15, -11]])
    sliders = np.float32([[0, 0], [14, -20], [-9, 25]])  # right, up
    shut = np.float32([0, 1, 0.4])
    image = torch_picture(picture())
    info = wrapper.get_kp_info(image)
    volume = wrapper.extract_feature_3d(image)
    source = wrapper.transform_keypoint(info)
    flat = info["t"].clone()
    flat[:, 2] = 0
    move = eyeball_rule(checkout)
    eyes, mouth = torch.from_numpy(EYES), torch.from_numpy(MOUTH)
    lid = lambda aim: wrapper.retarget_eye(
        source, torch.cat([eyes, torch.tensor([[aim]])], 1)
    )
    closed = wrapper.retarget_lip(source, torch.cat([mouth, 0 * mouth], 1))
    now = eyes.mean().item()
    pictures, points = [], []
    for angles, (right, up), lids in zip(degrees, sliders, shut, strict=True):
        rotation = get_rotation_matrix(*torch.from_numpy(angles)[:, None])
        expression = move(float(right), float(up), info["exp"])
        driving = info["scale"] * (info["kp"] @ rotation + expression) + flat
        driving = driving + lid(now * (1 - float(lids))) - lid(now)
        driving = wrapper.stitching(source, driving) + closed
        points.append(driving.numpy()[0])
        drawn = wrapper.warp_decode(volume, source, driving)["out"]
        pictures.append(first(drawn)[0])
    return {
        "degrees": degrees,
        "sliders": sliders,
        "shut": shut,
        "source": source.numpy(),
        "rotations": get_rotation_matrix(*torch.from_numpy(degrees.T)).numpy(),
        "points": np.stack(points),
        "pictures": np.stack(pictures),
    }


def crops():
    """Squares about 106 random points, by the rule for InsightFace's."""
    from src.utils import crop

    out = {"crop_points": [], "crop_ends": [], "crop_warp": []}
    for seed in range(4):
        points = 200 + 60 * normal(20 + seed, 106, 2)
        ends = crop.parse_pt2_from_pt106(points)
        warp, _ = crop._estimate_similar_transform_from_pts(
            points, dsize=512, scale=2.3, vy_ratio=-0.125
        )
        for name, value in zip(out, (points, ends, warp), strict=True):
            out[name].append(value)
    return {name: np.float32(value) for name, value in out.items()}


def layouts():
    """Name and shape of every tensor of the published sizes, as text."""
    return {
        name: {k: list(v.shape) for k, v in net.state_dict().items()}
        for name, net in modules(PUBLISHED).items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path, help="a checkout of LivePortrait")
    checkout = parser.parse_args().checkout.resolve()
    sys.path.insert(0, str(checkout))
    nets = modules(SMALL)
    for name, state in states().items():
        tensors = {k: torch.from_numpy(np.array(v)) for k, v in state.items()}
        nets[name].load_state_dict(tensors)
        nets[name].eval()
    assert set(nets) == set(NAMES)
    with torch.no_grad():
        out = module_outputs(nets) | end_to_end(nets, checkout) | crops()
    text = json.dumps(layouts(), separators=(",", ":"))
    path = HERE / "liveportrait.npz"
    np.savez_compressed(path, layouts=np.frombuffer(text.encode(), np.uint8), **out)
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
