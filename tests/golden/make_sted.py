"""Makes sted.npz: what ST-ED's own modules compute, for test_sted_parity.py.

    git clone https://github.com/zhengyuf/STED-gaze
    python tests/golden/make_sted.py STED-gaze

Needs torch and cv2. The modules are used as they are, at a reduced width and, for a few
numbers, at the published one, with random weights: the published weights take no part.
Only numbers are kept. The checkout's licence (NVIDIA, non-commercial, for the network;
MIT or GPL for the rest) is that of its authors.
"""

import sys
import types
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
SMALL = {
    "growth_rate": 4,
    "densenet_blocks": 5,
    "size_0d_unit": 12,
    "num_1d_units": 2,
    "size_1d_unit": 3,
    "num_2d_units": 2,
    "size_2d_unit": 4,
}
PUBLISHED = {
    "growth_rate": 32,
    "densenet_blocks": 5,
    "size_0d_unit": 1024,
    "num_1d_units": 4,
    "size_1d_unit": 16,
    "num_2d_units": 4,
    "size_2d_unit": 16,
}
GAZE = np.float32([[0.3, -0.5], [-0.2, 0.4]])
HEAD = np.float32([[-0.4, 0.6], [0.1, -0.3]])


def faces(seed: int = 2) -> np.ndarray:
    """Two pictures `[2, 128, 128, 3]` uint8 of soft random shapes, a flat third."""
    random = np.random.RandomState(seed)
    coarse = random.uniform(60, 200, (2, 9, 9, 3))
    at = np.linspace(0, 8, 128)
    for axis in (1, 2):
        low = np.minimum(at.astype(int), 7)
        part = np.expand_dims(at - low, tuple(i for i in range(4) if i != axis))
        coarse = (
            np.take(coarse, low, axis) * (1 - part)
            + np.take(coarse, low + 1, axis) * part
        )
    soft = coarse + random.uniform(-6, 6, coarse.shape)
    return np.concatenate([soft, np.full_like(soft[:1], 90)]).astype(np.uint8)


def main(checkout: str) -> None:
    import torch

    sys.path[:0] = [checkout, str(HERE.parent)]
    for name in ("lpips", "torchvision", "h5py"):  # imported, and not used here
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules["torchvision"].models = None
    from core import DefaultConfig
    from dataset import HDFDataset
    from models.decoder import Decoder
    from models.encoder import Encoder
    from models.st_ed import STED
    from published_face_nets import random_state, shapes_of

    def network(config):
        DefaultConfig().import_dict(config)
        factors = [(0, config["size_0d_unit"])]
        factors += [(1, config["size_1d_unit"])] * config["num_1d_units"]
        factors += [(2, config["size_2d_unit"])] * config["num_2d_units"]
        features = sum((angles + 1) * width for angles, width in factors)
        net = STED.__new__(STED)  # its own __init__ wants a GPU and three more networks
        torch.nn.Module.__init__(net)
        net.configuration = factors
        net.encoder = Encoder(sum(angles for angles, _ in factors), features, factors)
        net.decoder = Decoder(features)
        state = random_state(shapes_of(net))
        net.load_state_dict({k: torch.tensor(v) for k, v in state.items()})
        return net.eval()

    golden = {}
    pictures = faces()
    prepare = types.SimpleNamespace(is_bgr=False)
    equal = [HDFDataset.preprocess_image(prepare, p.copy()) for p in pictures]
    bytes_ = np.rint((np.stack(equal) + 1) * 127.5).astype(np.uint8)
    golden["equalised"] = bytes_.transpose(0, 2, 3, 1)[:, ::2]
    inputs = torch.tensor(np.stack(equal[:2]), dtype=torch.float32)

    def record(name, module):
        def keep(_, __, output):
            output = output[0] if isinstance(output, tuple) else output
            golden[f"module {name}"] = last(output)

        module.register_forward_hook(keep)

    def last(output):
        """Channels last, and of large maps every n-th pixel."""
        value = output.detach().numpy().transpose(0, 2, 3, 1)
        step = max(1, value.shape[1] // 4)
        return value[:, ::step, ::step]

    def redirect(net):
        target = {"gaze_b_r": torch.tensor(GAZE), "head_b_r": torch.tensor(HEAD)}
        picture = net.redirect({"image_a": inputs, **target})["image_b_hat_r"]
        return picture.numpy().transpose(0, 2, 3, 1)

    with torch.inference_mode():
        net = network(SMALL)
        for part in ("encoder", "decoder"):
            inner = getattr(getattr(net, part), part)
            for name, module in inner.named_children():
                record(f"{part}.{name}", module)
        angles, features = net.encoder(inputs)
        golden["angles"] = np.concatenate([a for a in angles if a is not None], 1)
        golden["features"] = np.concatenate([f.flatten(1) for f in features], 1)
        golden["decoded"] = last(net.decoder(features))
        golden["rotations"] = net.rotation_matrix_2d(torch.tensor(GAZE)).numpy()
        picture = redirect(net)
        golden["redirected"] = picture[0]
        golden["redirected sparse"] = picture[:, ::8, ::8]

        net = network(PUBLISHED)
        golden["published parameters"] = np.array(
            [
                sum(p.numel() for p in part.parameters())
                for part in (net.encoder, net.decoder)
            ]
        )
        golden["published redirected"] = redirect(net)[:, ::8, ::8]
    path = HERE / "sted.npz"
    np.savez_compressed(path, **golden)
    print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")
    for name, value in golden.items():
        print(f"  {name} {value.shape}, {np.min(value):.3f} to {np.max(value):.3f}")


if __name__ == "__main__":
    main(sys.argv[1])
