"""CelebV-Text's names, and which clip is in which split."""

import hashlib
import re
from collections import Counter
from pathlib import Path, PurePosixPath

from gazehead_jax.errors import GazeheadError, require

SPLITS = ("train", "validation", "test")
# Eleven characters of YouTube, which may be _ and -; then one or two numbers.
_NAME = re.compile(r"([\w-]{11})_\d+(?:_\d+)?", re.ASCII)


def clip_name(path: str | Path) -> str:
    """The clip's name of a path: without folders and ending."""
    return PurePosixPath(path).stem


def video_id(clip: str) -> str:
    """The YouTube video that a clip is of.

    Raises:
      GazeheadError: no name of CelebV-Text.
    """
    match = _NAME.fullmatch(clip)
    if not match:
        raise GazeheadError(
            "a clip of CelebV-Text is called like 88e6FikYYGc_8_0 (YouTube video, then "
            f"numbers), got {clip!r}; give the folder of its clips alone (not of the "
            "whole videos they were cut from), or of what `gazehead extract` made of it."
        )
    return match[1]


def read_lists(folder: Path) -> dict[str, list[str]]:
    """Clips by split, of `train.txt`, `validation.txt` and `test.txt` that are there.

    A line names a clip, with or without folders and ending; empty lines and those that
    begin with # are left alone.

    Raises:
      GazeheadError: a list that is empty, repeats a clip, has a name that is none of
        CelebV-Text's, or has a video that is in another list, too.
    """
    lists: dict[str, list[str]] = {}
    where: dict[str, str] = {}
    for split in SPLITS:
        path = folder / f"{split}.txt"
        if not path.is_file():
            continue
        try:
            lines = [line.strip() for line in path.read_text().splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise GazeheadError(f"{path}: not a readable list ({error}).") from error
        clips = [clip_name(line) for line in lines if line and line[0] != "#"]
        require(bool(clips), f"{path}: a list names at least one clip, got none.")
        repeated = sorted(clip for clip, n in Counter(clips).items() if n > 1)
        require(
            not repeated,
            f"{path}: a clip is listed once, got twice {', '.join(repeated[:3])}.",
        )
        for clip in clips:
            try:
                video = video_id(clip)
            except GazeheadError as error:
                raise GazeheadError(f"{path}: {error}") from error
            other = where.setdefault(video, split)
            require(
                other == split,
                f"{path}: a video is in one split only, or people are tested who were "
                f"trained on; video {video} of {clip} is in {other}.txt, too. Take its "
                "clips out of one of them.",
            )
        lists[split] = clips
    require(
        not lists or "test" in lists,
        f"{folder}: lists of a split have a test.txt, got only "
        f"{', '.join(f'{split}.txt' for split in lists)}.",
    )
    return lists


def hashed_split(video: str, validation: float, test: float) -> str:
    """The split of a video by its name alone, the same whatever else is there."""
    digest = hashlib.sha256(f"celebv_text {video}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < test:
        return "test"
    return "validation" if place < test + validation else "train"


def split_clips(
    clips: list[str], lists: dict[str, list[str]], validation: float, test: float
) -> dict[str, list[str]]:
    """Clips by split; what is in none of the lists is left out.

    With a test.txt alone, the rest is for training; without a validation.txt, a share
    of the training videos is for validation; without lists, all goes by `hashed_split`.
    """
    if not lists:
        split_of = {c: hashed_split(video_id(c), validation, test) for c in clips}
    else:
        split_of = {c: split for split, names in lists.items() for c in names}
        if "train" not in lists:
            listed = {video_id(c) for c in split_of}
            rest = [c for c in clips if video_id(c) not in listed]
            split_of |= dict.fromkeys(rest, "train")
        if "validation" not in lists:
            for clip, split in split_of.items():
                if split == "train":
                    split_of[clip] = hashed_split(video_id(clip), validation, 0.0)
    found: dict[str, list[str]] = {split: [] for split in SPLITS}
    for clip in sorted(clips):
        if clip in split_of:
            found[split_of[clip]].append(clip)
    return found
