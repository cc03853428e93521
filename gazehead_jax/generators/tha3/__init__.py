"""Talking Head Anime 3 (Khungurn 2022), its small model `separable_float`, in Flax.

One picture of a drawn character becomes that character in any of a range of poses.
Code: https://github.com/pkhungurn/talking-head-anime-3-demo (MIT); weights CC BY 4.0.
"""

from gazehead_jax.generators.tha3.generator import Tha3Generator

__all__ = ["Tha3Generator"]
