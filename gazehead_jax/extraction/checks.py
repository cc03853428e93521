"""Which frames and tracks can be trusted; each that cannot gets one reason."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import median_filter

from gazehead_jax.extraction.settings import ExtractSettings
from gazehead_jax.extraction.track import Track

# Of a frame, in order of precedence. "no face" is a frame of the video between the first
# and the last of a track on which the face was not found. A track goes for the reason of
# most of its frames, or because it is "too short"; a clip as a whole because it is
# "unreadable", shows "several faces" or a "cut", has a "slow frame rate", or "failed".
FRAME_REASONS = (
    "no face",
    "small face",
    "low confidence",
    "extreme pose",
    "jump",
    "frozen",
    "covered eyes",
    "blink",
    "no gaze",
)
OK = -1
# The iris of a smaller face is less than three pixels wide.
SMALL_PX = 48.0
# Landmarks of talking people lie .3 to .55 cm off the rigid mean face (19 clips, .73 at
# most): what lies farther off is no face, or hidden.
RESIDUAL_CM = 1.0
# The fastest heads turn by 600°/s.
FASTEST = np.deg2rad(700.0)
# A picture that stands still for longer is no video; shorter repeats come from changed
# frame rates.
FROZEN_S = 0.5
# The lids are closed below this share of the person's usual gap. MediaPipe's own blink
# score exceeds .5 on the same frames: of 580 such frames in 19 clips all but one lie below;
# of the other frames of a clip 0 to 5 % do.
BLINK = 0.4
# Closed from first to last.
CLOSED_CM = 0.25
# Skin about the eyes is .54 to 1.02 times as bright as other skin (medians of 39 clips,
# the least under a cap); with dark glasses painted on, .13 to .37 behind lenses that let
# a fifth of the light through, .32 to .51 behind those that let two fifths through.
COVERED = 0.42
COVERED_S = 1.0  # Shadows pass; glasses stay.


def frame_reasons(
    track: Track, gaze: Float[np.ndarray, "t 2"], settings: ExtractSettings
) -> Int[np.ndarray, " t"]:
    """The first reason of each frame of a track, as an index, or `OK`."""
    turned = np.abs(track.head[:, :2]).max(1)
    found = {
        "small face": track.width_px < SMALL_PX,
        "low confidence": track.residual_cm > RESIDUAL_CM,
        "extreme pose": turned > np.deg2rad(settings.max_turn_deg),
        "jump": _jumps(track),
        "frozen": _long_runs(track.still, track.time_s, FROZEN_S),
        "covered eyes": _covered(track),
        "blink": closed_eyes(track.openness),
        "no gaze": ~np.isfinite(gaze).all(-1),
    }
    reasons = np.full(len(track), OK)
    for name in reversed(found):
        reasons[found[name]] = FRAME_REASONS.index(name)
    return reasons


def closed_eyes(openness: Float[np.ndarray, " t"]) -> Bool[np.ndarray, " t"]:
    """Frames in a blink and one frame around it: lids move before it and after."""
    usual = np.percentile(openness, 75)
    closed = openness < max(BLINK * usual, CLOSED_CM * BLINK)
    if usual < CLOSED_CM:
        closed[:] = True
    out = closed.copy()
    out[1:] |= closed[:-1]
    out[:-1] |= closed[1:]
    return out


def count(reasons: Int[np.ndarray, " t"]) -> dict[str, int]:
    """How many frames have which reason; those that occur."""
    numbers = np.bincount(reasons[reasons != OK], minlength=len(FRAME_REASONS))
    return {
        name: int(n) for name, n in zip(FRAME_REASONS, numbers, strict=True) if n > 0
    }


def track_reason(
    reasons: Int[np.ndarray, " t"], fps: float, settings: ExtractSettings
) -> str | None:
    """Why a track is left out, or None."""
    if len(reasons) < settings.min_seconds * fps - 0.5:
        return "too short"
    valid = int((reasons == OK).sum())
    if valid >= max(1, settings.min_valid * len(reasons)):
        return None
    numbers = count(reasons)
    return max(numbers, key=numbers.get)


def several_at_once(tracks: Mapping[int, Track], seconds: float) -> bool:
    """Whether two people are seen together for longer than a flicker of the detector."""
    spans = [
        (track.shot, track.time_s[0], track.time_s[-1])
        for track in tracks.values()
        if track.time_s[-1] - track.time_s[0] >= seconds
    ]
    return any(
        a[0] == b[0] and min(a[2], b[2]) - max(a[1], b[1]) >= seconds
        for i, a in enumerate(spans)
        for b in spans[:i]
    )


def _covered(track: Track) -> np.ndarray:
    """Dark about the eyes, on the median of the frames nearby."""
    known = np.flatnonzero(np.isfinite(track.shade))
    if not len(known):
        return np.zeros(len(track), bool)
    shade = np.interp(np.arange(len(track)), known, track.shade[known])
    step = np.median(np.diff(track.time_s)) if len(track) > 1 else COVERED_S
    width = min(len(track), 2 * round(COVERED_S / step / 2) + 1)
    return median_filter(shade, width, mode="nearest") < COVERED


def _jumps(track: Track) -> np.ndarray:
    """Frames on both sides of a turn that no neck makes."""
    step = np.diff(track.time_s)
    turn = np.abs((np.diff(track.head, axis=0) + np.pi) % (2 * np.pi) - np.pi).max(-1)
    jump = turn > FASTEST * step
    out = np.zeros(len(track), bool)
    out[1:] |= jump
    out[:-1] |= jump
    return out


def _long_runs(flags: np.ndarray, time_s: np.ndarray, seconds: float) -> np.ndarray:
    """Flags of those runs that last at least so long, with the frame that they repeat."""
    edges = np.diff(np.concatenate([[0], flags.astype(int), [0]]))
    out = np.zeros_like(flags)
    for first, end in zip(
        np.flatnonzero(edges > 0), np.flatnonzero(edges < 0), strict=True
    ):
        before = max(0, first - 1)
        if time_s[end - 1] - time_s[before] >= seconds:
            out[before:end] = True
    return out
