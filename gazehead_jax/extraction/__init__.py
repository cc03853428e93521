"""Face video → motions: decode, shots, faces, landmarks, head, gaze, checks."""

from gazehead_jax.extraction.clip import ClipExtractor, ClipResult, extract_clip
from gazehead_jax.extraction.folder import extract
from gazehead_jax.extraction.settings import ExtractSettings

__all__ = ["ClipExtractor", "ClipResult", "ExtractSettings", "extract", "extract_clip"]
