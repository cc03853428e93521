"""The README's picture of `gazehead extract --preview`, on rendered people.

    python -m gazehead_jax.extraction_report.preview_figure preview.png [weights folder]

Nobody real is in it.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from gazehead_jax.extraction import ExtractSettings, extract
from gazehead_jax.extraction_report.rendered_scenes import (
    FPS,
    frames_of,
    scenes,
    truth_of,
)
from gazehead_jax.files import atomic_path
from gazehead_jax.video import read_video, write_video

# (scene's condition, person, frame)
SHOWN = (
    ("centred", "african_female", 40),
    ("left", "asian_male", 140),
    ("right", "african_male", 215),
    ("rolled", "caucasian_male", 225),
)


def main(out: str, weights: str | None = None) -> None:
    from PIL import Image

    tiles = []
    with tempfile.TemporaryDirectory() as folder:
        for scene in scenes():
            for condition, person, frame in SHOWN:
                if (scene.condition, scene.person) != (condition, person):
                    continue
                video = Path(folder) / f"{person}.mp4"
                write_video(video, frames_of(scene, truth_of(scene)), fps=FPS)
                extract(video, folder, ExtractSettings(weights=weights), preview=True)
                drawn = read_video(video.with_stem(f"{person}_preview"))
                (tile,) = [image for k, (_, image) in enumerate(drawn) if k == frame]
                tiles.append(tile)
    rows = [np.concatenate(tiles[i : i + 2], axis=1) for i in (0, 2)]
    with atomic_path(out) as temporary:
        Image.fromarray(np.concatenate(rows)).save(temporary, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
