"""The natural model that sees gaze in the camera frame, not in its own head.

Claim: heads turn to bring the eyes back to their middle, so that this is what to look at.

gazehead train --config ablations/camera_gaze --workdir runs/camera_gaze
"""

from gazehead_jax.config import Config, load_experiment, override


def get_config() -> Config:
    changes = {"model.sees": "gaze"}
    return override(
        load_experiment("ablations/full"), {"name": "camera_gaze", **changes}
    )
