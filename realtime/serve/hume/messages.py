"""What such a program sends, checked, and the shapes of what it is answered."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from realtime.errors import BadPayload, NotMedia, RealtimeError, TooLarge, TooLong
from realtime.ingest.sampler import SAMPLE_PERIOD_S
from realtime.ingest.uploads import MAX_S, Picture
from realtime.records import Face, FaceCues

EMOTIONS: Mapping[str, tuple[str, ...]] = {
    "happy": ("Joy",),
    "sad": ("Sadness",),
    "neutral": ("Calmness",),
    "angry": ("Anger",),
    "surprise": ("Surprise (negative)", "Surprise (positive)"),
    "disgust": ("Disgust",),
    "fear": ("Fear",),
}
"""Our labels by Hume's names, which have no neutral and two surprises. We do not tell the two apart: each has the
probability of surprise."""
FACS: Mapping[str, str] = {
    "inner_brow_raise": "AU1 Inner Brow Raise",
    "outer_brow_raise": "AU2 Outer Brow Raise",
    "brow_lower": "AU4 Brow Lowerer",
    "upper_lid_raise": "AU5 Upper Lid Raise",
    "cheek_raise": "AU6 Cheek Raise",
    "lid_tighten": "AU7 Lids Tight",
    "nose_wrinkle": "AU9 Nose Wrinkle",
    "upper_lip_raise": "AU10 Upper Lip Raiser",
    "lip_corner_pull": "AU12 Lip Corner Puller",
    "lip_corner_depress": "AU15 Lip Corner Depressor",
    "lip_stretch": "AU20 Lip Stretch",
    "lip_press": "AU24 Lip Presser",
    "jaw_drop": "AU26 Jaw Drop",
    "eyes_closed": "AU43 Eye Closure",
}
"Our facial cues by Hume's names."
MODELS = ("burst", "face", "facemesh", "language", "prosody")
MEASURED = frozenset({"face", "prosody"})
NOT_MEASURED: Mapping[str, str] = {
    "burst": "Laughs, sighs and other vocal bursts are not measured here.",
    "facemesh": "Landmarks alone are not read here: send the picture, with the model `face`.",
    "language": "Text is not read here.",
}
MISSING = "not_available"
"Code of a warning about what was never measured here. Codes with a letter and digits are Hume's."
MAX_ID_CHARS = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `models` asks for."""

    models: tuple[str, ...]
    facs: bool = False
    descriptions: bool = False
    identify_faces: bool = False
    period_s: float = SAMPLE_PERIOD_S
    "Seconds between two pictures of a video that are looked at."
    least_score: float = 0.0
    least_side_px: float = 0.0


@dataclass(frozen=True, slots=True)
class Payload:
    """One message of the program."""

    data: str | None
    is_text: bool
    wanted: Wanted | None
    "None: what was asked for before."
    window_s: float
    reset: bool
    job_details: bool

    def media(self) -> bytes:
        """The picture or sound. Raises BadPayload."""
        try:
            return base64.b64decode(self.data or "", validate=True)
        except (binascii.Error, ValueError) as error:
            raise Refused("E0201", "data is not Base64.", "Encode the bytes of the whole file.") from error


class Refused(BadPayload):
    """A message that is answered with an error of Hume's code."""

    def __init__(self, hume_code: str, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.hume_code = hume_code


def read_object(text: str) -> dict[str, Any]:
    """The message as an object. Raises BadPayload."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused("E0100", "The message is not JSON.", 'Send {"models": {"face": {}}, "data": "…"}.') from error
    if not isinstance(value, dict):
        raise Refused("E0100", "The message is not a JSON object.", 'Send {"models": {"face": {}}, "data": "…"}.')
    return value


def read_payload(given: Mapping[str, Any]) -> Payload:
    """Check the fields of a message; what Hume's own server did not know is skipped. Raises BadPayload."""
    _text(given, "payload_id", MAX_ID_CHARS)
    data = _text(given, "data", None)
    models = given.get("models")
    payload = Payload(
        data=data,
        is_text=_flag(given, "raw_text"),
        wanted=None if models is None else _wanted(models),
        window_s=min(_number(given, "stream_window_ms", 0.0) / 1000, MAX_S),
        reset=_flag(given, "reset_stream"),
        job_details=_flag(given, "job_details"),
    )
    if not data and not (payload.reset or payload.job_details or payload.wanted):
        raise Refused("E0101", "There is nothing to do in the message.", "Send data, and models to measure it.")
    return payload


def _wanted(models: Any) -> Wanted:
    if not isinstance(models, Mapping):
        raise Refused("E0101", "models is not an object.", 'Send {"face": {}} or {"prosody": {}}.')
    asked = tuple(name for name in MODELS if models.get(name) is not None)
    if not asked:
        raise Refused("E0101", "models names no model.", 'Send {"face": {}} or {"prosody": {}}.')
    if not all(isinstance(models[name], Mapping) for name in asked):
        raise Refused("E0101", "The settings of a model are not an object.", 'Send {"face": {}} or {"prosody": {}}.')
    face = models.get("face") or {}
    fps = _number(face, "fps_pred", 0.0)
    return Wanted(
        asked,
        facs=face.get("facs") is not None,
        descriptions=face.get("descriptions") is not None,
        identify_faces=_flag(face, "identify_faces"),
        period_s=max(SAMPLE_PERIOD_S, 1 / fps) if fps else SAMPLE_PERIOD_S,
        least_score=_number(face, "prob_threshold", 0.0),
        least_side_px=_number(face, "min_face_size", 0.0),
    )


def _text(given: Mapping[str, Any], name: str, most: int | None) -> str | None:
    value = given.get(name)
    if value is not None and not (isinstance(value, str) and (most is None or len(value) <= most)):
        length = "" if most is None else f" of up to {most} characters"
        raise Refused("E0101", f"{name} is no text{length}.", "Send a string, or leave it out.")
    return value


def _flag(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name)
    if value is not None and not isinstance(value, bool):
        raise Refused("E0101", f"{name} is neither true nor false.", "Correct it, or leave it out.")
    return bool(value)


def _number(given: Mapping[str, Any], name: str, default: float) -> float:
    value = given.get(name)
    if value is None:
        return default
    # NaN and infinity, which Python reads in JSON, are not below this either.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise Refused("E0101", f"{name} is no number from 0 on.", "Correct it, or leave it out.")
    return float(value)


# Answers.


def face_prediction(
    picture: Picture, face: Face, cues: FaceCues | None, probabilities: Mapping[str, float], wanted: Wanted
) -> dict[str, Any]:
    """One face of one picture."""
    x, y, w, h = face.box
    found: dict[str, Any] = {
        "frame": picture.number,
        "time": round(picture.at_s, 3),
        "bbox": {
            "x": round(x * picture.width, 1),
            "y": round(y * picture.height, 1),
            "w": round(w * picture.width, 1),
            "h": round(h * picture.height, 1),
        },
        "prob": round(face.score, 6),
        "face_id": f"face_{face.track}" if wanted.identify_faces else "unknown",
        "emotions": emotions(probabilities),
    }
    if wanted.facs and cues is not None:
        found["facs"] = [
            {"name": name, "score": round(cues.intensities[cue], 6)}
            for cue, name in FACS.items()
            if cue in cues.intensities
        ]
    return found


def voice_prediction(begin_s: float, end_s: float, probabilities: Mapping[str, float]) -> dict[str, Any]:
    """One stretch of speech."""
    return {"time": {"begin": round(begin_s, 3), "end": round(end_s, 3)}, "emotions": emotions(probabilities)}


def emotions(probabilities: Mapping[str, float]) -> list[dict[str, Any]]:
    """Probabilities of our labels under Hume's names, in the order of the alphabet as Hume's were."""
    named = {name: score for label, score in probabilities.items() for name in EMOTIONS.get(label, ())}
    return [{"name": name, "score": round(named[name], 6)} for name in sorted(named)]


def found_faces(predictions: Iterable[dict[str, Any]], wanted: Wanted) -> dict[str, Any]:
    """The part `face` of an answer."""
    listed = list(predictions)
    if not listed:
        return {"warning": "No faces were found that could be measured.", "code": "W0103"}
    missing = {"warning": "Descriptions are not measured here.", "code": MISSING} if wanted.descriptions else {}
    return {"predictions": listed, **missing}


def found_speech(predictions: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The part `prosody` of an answer."""
    listed = list(predictions)
    return {"predictions": listed} if listed else {"warning": "No speech was heard.", "code": "W0105"}


def not_measured(wanted: Wanted) -> dict[str, Any]:
    """The parts of an answer about what was asked for and is not measured here."""
    return {name: {"warning": NOT_MEASURED[name], "code": MISSING} for name in wanted.models if name in NOT_MEASURED}


def failure(error: RealtimeError) -> dict[str, Any]:
    """The answer that says what is wrong, with Hume's code where it has one, else ours."""
    match error:
        case Refused():
            code = error.hume_code
        case NotMedia():
            code = "E0200"
        case TooLong():
            code = "E0204" if "video" in error.message else "E0203"
        case TooLarge():
            code = "E0205"
        case _:
            code = error.code
    return {"error": str(error), "code": code}
