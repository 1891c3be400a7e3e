"""Any OpenAI-compatible chat endpoint, asked from a few threads: what the judge and the runner of peers share."""

from __future__ import annotations

import base64
import io
import os
import time
import wave
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from realtime.errors import RealtimeError
from realtime.records import SAMPLE_RATE_HZ, Float32, UInt8

KEY_VARIABLE = "EMOTHINKER_EVALUATE_KEY"
PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
Message = dict[str, Any]


class EndpointDown(RealtimeError):
    """The endpoint does not answer, or not as a chat endpoint does. What was answered before is kept: run again."""

    code = "endpoint_down"
    exit_code = 6


@dataclass(frozen=True)
class EndpointSettings:
    url: str
    "Up to and with /v1."
    model: str
    temperature: float = 0.0
    max_tokens: int = 800
    timeout_s: float = 120.0
    attempts: int = 4
    pause_s: float = 1.0
    "Before the second attempt; doubled each time."


class Endpoint:
    """Thread-safe; `close` it. The key is read from EMOTHINKER_EVALUATE_KEY and never stored."""

    def __init__(self, settings: EndpointSettings, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.settings = settings
        self._sleep = sleep
        key = os.environ.get(KEY_VARIABLE)
        self._client = httpx.Client(
            timeout=httpx.Timeout(settings.timeout_s, connect=min(10.0, settings.timeout_s)),
            headers={"Authorization": f"Bearer {key}"} if key else {},
        )

    def close(self) -> None:
        self._client.close()

    def ask(self, messages: list[Message]) -> str:
        """The text of the answer. Raises EndpointDown once it is not to be had."""
        s, problem = self.settings, ""
        body = {"model": s.model, "messages": messages, "temperature": s.temperature, "max_tokens": s.max_tokens}
        for attempt in range(s.attempts):
            if attempt:
                self._sleep(min(60.0, s.pause_s * 2 ** (attempt - 1)))
            try:
                response = self._client.post(f"{s.url.rstrip('/')}/chat/completions", json=body)
            except httpx.HTTPError as error:
                problem = f"no connection ({type(error).__name__})"
                continue
            if response.status_code in PASSING:
                problem = f"HTTP {response.status_code}"
                continue
            if response.status_code >= 400:
                said = response.text[:200].replace("\n", " ")
                raise EndpointDown(
                    f"{s.url} refuses the request: HTTP {response.status_code}, {said}",
                    f"Check the address, the model's name and the key in {KEY_VARIABLE}.",
                )
            try:
                return str(response.json()["choices"][0]["message"]["content"] or "")
            except (ValueError, KeyError, IndexError, TypeError):
                problem = "an answer that is no chat completion"
        raise EndpointDown(
            f"{s.url} gave no answer in {s.attempts} attempts: {problem}.",
            "Start it, or check the address; then run the same command again: it goes on where it stopped.",
        )


def picture(rgb_HW3: UInt8) -> Message:
    """A JPEG part of a message."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(rgb_HW3).save(file, "JPEG", quality=90)
    url = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def sound(samples_N: Float32) -> Message:
    """A WAV part of a message, 16 kHz mono."""
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(SAMPLE_RATE_HZ)
        wav.writeframes((np.clip(samples_N, -1, 1) * 32767).astype("<i2").tobytes())
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(file.getvalue()).decode(), "format": "wav"}}
