"""The structure: imports run one way, the package is light to import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gazehead_jax

PACKAGE = Path(gazehead_jax.__file__).parent

# From what is general to what is particular. A module imports lower floors, or its
# neighbours on the left.
FLOORS = [
    ["version", "errors"],
    [
        "files",
        "motion",
        "normaliser",
        "averages",
        "config",
        "video",
        "torch_file",
        "weight_sources",
        "weight_catalogue",
    ],
    [
        "weights",
        "timing",
        "motion_io",
        "sequence_arithmetic",
        "gaze_shifts",
        "coordination",
        "simulator_parameters",
        "face_geometry",
        "overlay",
        "controls",
        "figures",
    ],
    [
        "metrics",
        "bands",
        "simulator",
        "gru",
        "model",
        "natural",
        "networks",
        "rule_based",
        "baselines",
        "plots",
        "gaze",
        "formats",
        "head3d",
    ],
    [
        "losses",
        "energy",
        "parallel",
        "motion_builder",
        "checkpoint",
        "numpy_step",
        "kernel_tiles",
        "kernel_networks",
        "one_kernel",
        "reporting",
        "run_guard",
        "extraction",
        "generators",
        "marking",
        "recordings",
    ],
    [
        "build",
        "data",
        "rollout",
        "head_stream",
        "sampling",
        "export_onnx",
        "export",
        "rendering",
        "motion_templates",
        "datasets",
    ],
    [
        "predictors",
        "styles",
        "train_step",
        "training",
        "two_sample",
        "evaluation",
        "goals",
        "scorecard",
        "driving_gaze",
        "drift_features",
        "drift_record",
        "doctor",
    ],
    [
        "tables",
        "drift",
        "robustness",
        "drift_plots",
        "extraction_report",
        "demo",
        "reel",
    ],
    ["study", "benchmarks"],
    ["cli"],
    ["__init__", "__main__"],
]
RANK = {
    name: (floor, i)
    for floor, names in enumerate(FLOORS)
    for i, name in enumerate(names)
}
HEAVY = ("torch", "cv2", "av", "mediapipe", "tensorflow", "matplotlib")


def sources() -> list[Path]:
    files = [p for p in PACKAGE.rglob("*.py") if "experiments" not in p.parts]
    # rglob does not follow the link to the builders.
    builders = (PACKAGE / "datasets").resolve()
    links = [
        PACKAGE / "datasets" / p.relative_to(builders) for p in builders.rglob("*.py")
    ]
    assert len(links) > 8
    return sorted({*files, *links})


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node, node.module, [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name, []


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    here = module_of(path)
    assert here in RANK, f"{here} has no floor; give it one"
    for _, module, names in imported(ast.parse(path.read_text())):
        parts = module.split(".")
        if parts[0] != "gazehead_jax":
            continue
        for target in [parts[1]] if len(parts) > 1 else names:
            if target != here and target in RANK:
                assert RANK[target] < RANK[here], f"{here} imports {target} above it"


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_packages_are_imported_where_they_are_used(path):
    for node, module, _ in imported(ast.parse(path.read_text())):
        if module.split(".")[0] in HEAVY:
            assert node.col_offset > 0, f"{path.name} imports {module} at its top"


def loaded_after(code: str) -> set[str]:
    program = f"import sys; {code}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_the_package_is_light_to_import():
    names = loaded_after("import gazehead_jax")
    assert not names & {"jax", "numpy", *HEAVY, "tensorflow_datasets", "grain"}


def test_sampling_needs_neither_tfds_nor_grain():
    names = loaded_after("from gazehead_jax import sample, load, load_motion, Motion")
    assert "jax" in names
    assert not names & {*HEAVY, "tensorflow_datasets", "grain"}


def test_every_export_exists_and_modules_do_not_hide_it():
    loaded_after(
        "import gazehead_jax as g, gazehead_jax.cli, gazehead_jax.sampling;"
        "assert all(getattr(g, n) is not None for n in g.__all__);"
        "assert all(not hasattr(getattr(g, n), '__path__') for n in g.__all__);"
        "assert callable(g.sample) and callable(g.train) and callable(g.evaluate)"
    )
    with pytest.raises(AttributeError, match="no attribute 'smaple'"):
        gazehead_jax.smaple  # noqa: B018
