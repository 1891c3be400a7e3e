"""The client for chat endpoints in OpenAI's form (vLLM, SGLang, llama.cpp, a hosted one).

Annotators, the judge and peers ask through it. tenacity retries what may pass, with growing pauses: time-outs, broken
connections, 408, 409, 425, 429, 5xx, and an answer that cannot be read. It waits at least as long as `Retry-After`
says. A refused request (401, 404 …) is not retried. Tokens are counted from the endpoint's own `usage`.
"""

from __future__ import annotations

import asyncio
import base64
import io
import itertools
import json
import os
import re
import wave
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import jsonschema
import numpy as np
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from realtime.errors import RealtimeError
from realtime.records import SAMPLE_RATE_HZ, Float32, UInt8

TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"HTTP statuses that are retried."
MAX_ANSWER_BYTES = 4 * 1024 * 1024
LONGEST_PAUSE_S = 60.0
LONGEST_RETRY_AFTER_S = 120.0
Message = dict[str, Any]
T = TypeVar("T")
R = TypeVar("R")


class EndpointDown(RealtimeError):
    """The endpoint does not answer, or not as a chat endpoint does. What was answered before is kept: run again."""

    code = "endpoint_down"
    exit_code = 6


class Unanswered(Exception):
    """One attempt failed in a way that may pass. `retry_after_s` is what the endpoint asks us to wait."""

    def __init__(self, problem: str, retry_after_s: float = 0.0) -> None:
        super().__init__(problem)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class ChatSettings:
    url: str
    "Up to and with /v1."
    model: str
    key_variable: str
    "The environment variable that holds the key. The key itself is never stored."
    temperature: float = 0.0
    max_tokens: int = 800
    timeout_s: float = 120.0
    attempts: int = 4
    pause_s: float = 1.0
    "Before the second attempt; doubled each time, at most 60 s, with up to a quarter of `pause_s` more at random."
    price_in: float = 0.0
    "Per million prompt tokens, in whatever currency."
    price_out: float = 0.0


@dataclass
class ChatUsage:
    """Counts of requests, tokens and cost."""

    requests: int = 0
    retries: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    problems: dict[str, int] = field(default_factory=dict)
    "How often each kind of failure led to a retry."


class ChatClient:
    """An async client of one endpoint and model, shared by concurrent tasks of one event loop. Callers bound them."""

    def __init__(self, settings: ChatSettings, usage: ChatUsage | None = None) -> None:
        self._settings = settings
        self._usage = usage or ChatUsage()
        key = os.environ.get(settings.key_variable)
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(settings.timeout_s, connect=min(10.0, settings.timeout_s)),
            headers={"Authorization": f"Bearer {key}"} if key else {},
        )
        self._backoff_s = wait_exponential(settings.pause_s, max=LONGEST_PAUSE_S) + wait_random(0, settings.pause_s / 4)

    async def close(self) -> None:
        await self._client.aclose()

    async def text(self, messages: list[Message]) -> str:
        """The text of the answer. Raises EndpointDown after the last attempt or a refusal."""
        return await self._retried(self._body(messages), str)

    async def json(self, messages: list[Message], schema: Mapping[str, Any], *, name: str) -> dict[str, Any]:
        """A JSON object that fits `schema`; `name` names it to the endpoint. Raises EndpointDown as `text` does."""

        def parse(text: str) -> dict[str, Any]:
            try:
                value = read_object(text)
                jsonschema.validate(value, schema)
            except ValueError as error:
                raise Unanswered("the answer is not the JSON asked for") from error
            except jsonschema.ValidationError as error:
                raise Unanswered(f"the answer does not fit the schema ({error.validator})") from error
            return value

        form = {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": True}}
        return await self._retried({**self._body(messages), "response_format": form}, parse)

    def _body(self, messages: list[Message]) -> dict[str, Any]:
        s = self._settings
        return {"model": s.model, "messages": messages, "temperature": s.temperature, "max_tokens": s.max_tokens}

    async def _retried(self, body: dict[str, Any], parse: Callable[[str], T]) -> T:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(Unanswered),
            stop=stop_after_attempt(self._settings.attempts),
            wait=self._wait_s,
            before_sleep=self._count_retry,
            reraise=True,
        )
        try:
            return await retrying(self._attempt, body, parse)
        except Unanswered as error:
            raise EndpointDown(
                f"{self._settings.url} gave no answer in {self._settings.attempts} attempts: {error}.",
                "Start it, or check the address; then run the same command again: it goes on where it stopped.",
            ) from error

    async def _attempt(self, body: dict[str, Any], parse: Callable[[str], T]) -> T:
        self._usage.requests += 1
        url = self._settings.url
        try:
            response = await self._client.post(f"{url.rstrip('/')}/chat/completions", json=body)
        except httpx.TimeoutException as error:
            raise Unanswered(f"no answer within {self._settings.timeout_s:g} s") from error
        except httpx.HTTPError as error:
            raise Unanswered(f"connection failed ({type(error).__name__})") from error
        if response.status_code in TRANSIENT:
            raise Unanswered(f"HTTP {response.status_code}", retry_after_s(response))
        if response.status_code >= 400:
            said = response.text[:200].replace("\n", " ")
            raise EndpointDown(
                f"{url} refuses the request: HTTP {response.status_code}, {said}",
                f"Check the address, the model's name and the key in {self._settings.key_variable}.",
            )
        if len(response.content) > MAX_ANSWER_BYTES:
            raise Unanswered("an answer of more than 4 MB")
        try:
            completion = response.json()
            self._count_tokens(completion.get("usage") or {})
            text = str(completion["choices"][0]["message"]["content"] or "")
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise Unanswered("an answer that is no chat completion") from error
        return parse(text)

    def _wait_s(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked_s = error.retry_after_s if isinstance(error, Unanswered) else 0.0
        return max(self._backoff_s(state), asked_s)

    def _count_retry(self, state: RetryCallState) -> None:
        problem = str(state.outcome.exception()) if state.outcome else ""
        self._usage.retries += 1
        self._usage.problems[problem] = self._usage.problems.get(problem, 0) + 1

    def _count_tokens(self, usage: Mapping[str, Any]) -> None:
        n_in, n_out = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
        self._usage.tokens_in += n_in
        self._usage.tokens_out += n_out
        self._usage.cost += (n_in * self._settings.price_in + n_out * self._settings.price_out) / 1e6


def in_parallel(
    settings: ChatSettings, items: Iterable[T], work: Callable[[ChatClient, T], Awaitable[R]], *, concurrency: int
) -> Iterator[R]:
    """Results of `work(client, item)` as they come, `concurrency` at a time, for callers without an event loop.

    After the first failure no other item is begun. What is already under way is waited for and handed on, because it
    is paid for; then the failure is raised.
    """
    client, rest = ChatClient(settings), iter(items)
    waiting: set[asyncio.Future[R]] = set()
    failures: list[BaseException] = []

    async def step() -> list[R] | None:
        """Begin what there is room for and wait until something is finished; None: nothing is left."""
        nonlocal waiting
        if not failures:
            free = itertools.islice(rest, concurrency - len(waiting))
            waiting |= {asyncio.ensure_future(work(client, item)) for item in free}
        if not waiting:
            return None
        finished, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        failures.extend(error for task in finished if (error := task.exception()))
        return [task.result() for task in finished if not task.exception()]

    with asyncio.Runner() as runner:
        try:
            while (results := runner.run(step())) is not None:
                yield from results
        finally:
            for task in waiting:
                task.cancel()
            runner.run(client.close())
    if failures:
        raise failures[0]


def read_object(text: str) -> dict[str, Any]:
    """The JSON object in an answer; thoughts before it and a code fence around it are left out. Raises ValueError."""
    text = re.sub(r"<think>.*?</think>", "", text, flags=re.DOTALL).strip()
    fenced = re.search(r"```(?:json)?\s*(\{.*\})\s*```", text, flags=re.DOTALL)
    value = json.loads(fenced.group(1) if fenced else text)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def retry_after_s(response: httpx.Response) -> float:
    """Seconds of the `Retry-After` header; 0 where there is none, or a date."""
    try:
        return min(LONGEST_RETRY_AFTER_S, max(0.0, float(response.headers.get("retry-after", 0))))
    except ValueError:
        return 0.0


def jpeg_part(rgb_HW3: UInt8, *, quality: int, longest_px: int | None = None) -> Message:
    """A picture as part of a message; its longer side is scaled down to `longest_px`."""
    from PIL import Image

    image = Image.fromarray(rgb_HW3)
    if longest_px is not None:
        image.thumbnail((longest_px, longest_px))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    url = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def wav_part(samples_N: Float32) -> Message:
    """Speech as part of a message: WAV, 16 kHz, mono, 16 bits."""
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(SAMPLE_RATE_HZ)
        wav.writeframes((np.clip(samples_N, -1, 1) * 32767).astype("<i2").tobytes())
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(file.getvalue()).decode(), "format": "wav"}}


def text_part(text: str) -> Message:
    return {"type": "text", "text": text}
