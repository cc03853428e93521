r"""The paper's model as published: 5 fps, windows of 12 frames, one z for each.

Liu, Wen, Sugano, "Data-driven Head Motion Generation through Natural Gaze-Head
Coordination", MVA 2025. Optimiser, hidden size and KL schedule are not published; Adam,
256 and a linear ramp over the first sixth stand in.

  gazehead train --config experiments/paper.py --workdir runs/paper

60,000 steps on `gazehead_sample/faces`. For numbers worth comparing, train on the
eye-tracker excerpt; a third of the steps is enough there:

  gazehead train --config experiments/paper.py --workdir runs/paper \
      --config.data.dataset=gazehead_sample/eye_tracker --config.train.steps=20000

On two cores of an Intel Xeon (2026-11-23) all 60,000 steps take 13.3 minutes, evaluations and
checkpoints included, and 20,000 a third of that. Expect, of the second command, a validation
loss of 2.6 and, on the test split, an angular error of 6.5° on average and 3.4° for the best of
30. The first has four minutes of six people to learn from, and its validation loss is least
(9.9) after 6,000 steps; the best checkpoint is kept.
"""

from gazehead_jax.config import Config, DataConfig, ModelConfig


def get_config() -> Config:
    return Config(
        name="paper",
        data=DataConfig(dataset="gazehead_sample", fps=5.0, horizon=12),
        model=ModelConfig(hidden=256, latent=128, head_dim=2, context=2, period=12),
    )
