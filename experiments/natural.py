"""The natural model, which ships: 30 fps, look-ahead or live, with a style.

  gazehead train --config natural --workdir runs/natural

8,000 steps in 28 minutes on two x86 cores that other work shared (2026-11-22).
Expect a validation loss of 2.66, and on the test split an energy score of 4.1° and 13 of 19
goals of the scorecard.
"""

from gazehead_jax.config import (
    Config,
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    TrainConfig,
)


def get_config() -> Config:
    return Config(
        name="natural",
        data=DataConfig(
            dataset="eyehead_recordings/converted", fps=30.0, horizon=75, stride=5
        ),
        model=ModelConfig(
            kind="natural",
            hidden=128,
            latent=8,
            head_dim=3,
            context=30,
            period=1,
            style=2,
            lookahead=10,
        ),
        loss=LossConfig(self_feed=1.0, samples=2, gaze_noise_deg=3.0),
        optimizer=OptimizerConfig(
            learning_rate=1e-3, schedule="cosine", warmup_steps=100
        ),
        train=TrainConfig(
            steps=8000,
            batch_size=48,
            log_every=250,
            eval_every=500,
            checkpoint_every=500,
        ),
    )
