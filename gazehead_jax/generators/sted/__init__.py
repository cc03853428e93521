"""ST-ED (Zheng et al. 2020, Self-Learning Transformations for Improving Gaze and Head
Redirection): a face patch in any gaze and head direction.

Written from the paper and from reading the authors' code
(github.com/zhengyuf/STED-gaze), of which nothing is copied. That code's network is under
the NVIDIA Source Code License, for research and evaluation only; its weights, which
users bring, were trained on GazeCapture, for research only as well.
"""

from gazehead_jax.generators.sted.generator import StedGenerator as StedGenerator
