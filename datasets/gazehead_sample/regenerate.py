"""Makes the shipped numbers again from the videos.

    python -m gazehead_jax.datasets.gazehead_sample.regenerate \\
        --faces DIR [--weights DIR] [--out DIR]

The videos are found by name anywhere under `--faces`. About three minutes on two cores.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from gazehead_jax.datasets.gazehead_sample.clips import CLIPS, DATA, TERMS, Clip
from gazehead_jax.datasets.gazehead_sample.manifest import write_manifest
from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.extraction import ClipExtractor, ExtractSettings
from gazehead_jax.motion import Motion
from gazehead_jax.motion_io import save_motion

DECIMALS = 5  # 1e-5 rad, far below the landmarks' noise.


def regenerate_clip(clip: Clip, faces: Path, extract: ClipExtractor) -> Motion:
    """The motion of one clip, rounded as it is shipped.

    Raises:
      GazeheadError: the video is not under `faces`, or does not give one motion.
    """
    found = sorted(Path(faces).rglob(f"{clip.name}.mp4"))
    require(
        len(found) == 1,
        f"{clip.name}.mp4 must be found once under {faces}, got {len(found)} files; "
        f"source: {clip.source}.",
    )
    result = extract(found[0], subject=clip.person, source=clip.name)
    require(
        len(result.motions) == 1,
        f"{found[0]}: the clip must give one motion, got {len(result.motions)} "
        f"(left out: {result.report['rejected']}); it is not the clip that is shipped.",
    )
    (motion,) = result.motions
    return motion.replace(
        gaze=np.round(motion.gaze, DECIMALS),
        head=np.round(motion.head, DECIMALS),
        meta={**motion.meta, "from": clip.source, "terms": TERMS[clip.source]},
    )


def manifest_row(clip: Clip, motion: Motion) -> dict:
    """What manifest.csv tells about a clip."""
    return {
        "clip": clip.name,
        "person": clip.person,
        "split": clip.split,
        "seconds": f"{motion.duration_s:.2f}",
        "frames": len(motion),
        "fps": f"{motion.fps:g}",
        "valid_fraction": f"{motion.valid.mean():.4f}",
        "source": clip.source,
        "terms": TERMS[clip.source],
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, required=True, help="folder of videos")
    parser.add_argument("--weights", help="folder with face_landmarker.task")
    parser.add_argument("--out", type=Path, default=DATA, help="default: in place")
    options = parser.parse_args(arguments)
    rows = []
    try:
        extract = ClipExtractor(ExtractSettings(weights=options.weights))
        for clip in CLIPS:
            motion = regenerate_clip(clip, options.faces, extract)
            save_motion(options.out / clip.path.name, motion)
            rows.append(manifest_row(clip, motion))
            print(*list(rows[-1].values())[:7], flush=True)
        write_manifest(options.out, rows)
    except GazeheadError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
