"""Takes the place of `ClipExtractor` where no net is wanted; workers import it."""

import dataclasses
import os
import time
from pathlib import Path

from gazehead_jax.errors import GazeheadError
from gazehead_jax.motion import Motion
from gazehead_jax.simulator import simulate


@dataclasses.dataclass
class Result:
    motions: list[Motion]
    report: dict


class StandIn:
    """A file's text says what its "video" gives: "2" motions, or a reason for none."""

    def __init__(self, settings):
        self.settings = settings

    def __call__(self, path, *, subject="", source="") -> Result:
        time.sleep(0.05)
        text = Path(path).read_text() if Path(path).exists() else "unreadable"
        if text == "bug":
            raise RuntimeError("the codec fell over\nand more")
        count = int(text) if text.isdigit() else 0
        motions = [
            simulate(2, self.settings.fps or 30, seed=len(source) + i).replace(
                subject=subject, source=source, meta={"person": i}
            )
            for i in range(count)
        ]
        frames = sum(len(m) for m in motions)
        report = {
            "frames": frames + 10,
            "seconds": 2.0,
            "fps": 30.0,
            "size": [64, 48],
            "kept": frames,
            "valid": sum(int(m.valid.sum()) for m in motions),
            "rejected": {} if count else {text: 1},
            "frame_reasons": {"blink": 3} if count else {},
            "message": f"by process {os.getpid()}",
        }
        return Result(motions, report)


class Unready:
    """One that lacks its weights."""

    def __init__(self, settings):
        raise GazeheadError("the weights of iris are missing; get them.")
