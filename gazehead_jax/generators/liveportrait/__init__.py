"""LivePortrait (Guo et al. 2024): a photo of a face, animated by implicit keypoints.

Written from the paper and from reading the authors' code
(github.com/KwaiVGI/LivePortrait, MIT), of which nothing is copied. Users bring the weights.

    crop → appearance, motion_extractor → keypoints → stitching → warping → spade
"""

from gazehead_jax.generators.liveportrait.generator import (
    LivePortraitGenerator as LivePortraitGenerator,
)
