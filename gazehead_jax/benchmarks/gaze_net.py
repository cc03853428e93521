"""ETH-XGaze's ResNet-50 with random weights: the same for every framework."""

from pathlib import Path

import numpy as np


def write_case(folder: Path, faces: int, edge: int) -> float:
    """Writes `resnet.npz`: parameters by path, and `images` `[faces, edge, edge, 3]`.

    Batch norms are already folded into the convolutions, for rivals too.

    Returns:
      Floating-point operations of all faces.
    """
    import jax

    from gazehead_jax.benchmarks.operations import matrix_operations
    from gazehead_jax.gaze.resnet import ResNetGaze

    rng = np.random.default_rng(0)
    images = rng.normal(size=(faces, edge, edge, 3)).astype(np.float32)
    network = ResNetGaze(2)
    shapes = jax.eval_shape(network.init, jax.random.key(0), images[:1])["params"]

    def drawn(leaf) -> np.ndarray:
        # Signals neither grow nor fade much.
        scale = np.prod(leaf.shape[:-1]) ** -0.5 if len(leaf.shape) > 1 else 0.1
        return rng.normal(0, scale, leaf.shape).astype(np.float32)

    params = jax.tree.map(drawn, shapes)
    leaves = jax.tree_util.tree_leaves_with_path(params)
    named = {"/".join(str(k.key) for k in path): x for path, x in leaves}
    np.savez(folder / "resnet.npz", images=images, **named)
    return matrix_operations(
        lambda p, x: network.apply({"params": p}, x), params, images
    )


def load(folder: str | Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """(parameters, images) that `write_case` wrote."""
    with np.load(Path(folder) / "resnet.npz") as file:
        params = {name: file[name] for name in file.files}
    images = params.pop("images")
    return params, images


class Ours:
    """The Flax network, compiled."""

    def __init__(self, folder: str):
        import jax

        from gazehead_jax.doctor import enable_compilation_cache
        from gazehead_jax.gaze.resnet import ResNetGaze

        enable_compilation_cache()
        flat, images = load(folder)
        params = {}
        for name, value in flat.items():
            *path, last = name.split("/")
            within = params
            for part in path:
                within = within.setdefault(part, {})
            within[last] = value
        apply = jax.jit(ResNetGaze(2).apply)
        params, images = jax.device_put(({"params": params}, images))
        self.run = lambda: np.asarray(apply(params, images))

    def settle(self) -> None:
        """There is nothing to choose."""
