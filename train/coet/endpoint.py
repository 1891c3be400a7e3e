"""A chat endpoint in OpenAI's form (vLLM, SGLang, llama.cpp, a hosted one), asked for one JSON object at a time.

Bounded concurrency, a time limit per request, retries with growing pauses for what may pass (time-outs, 408, 409, 429,
5xx, an answer that is not the JSON asked for), none for what will not (401, 404, a refused request). Tokens are counted
from the endpoint's own `usage`.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import jsonschema

from train.coet.annotators import AnnotationFailed, Spent

PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
MAX_ANSWER_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class EndpointSettings:
    url: str
    "Up to and with /v1."
    model: str
    key: str | None = None
    concurrency: int = 8
    timeout_s: float = 120.0
    attempts: int = 5
    pause_s: float = 1.0
    "Before the second attempt; doubled each time, at most 60 s, with up to a quarter more at random."
    price_in: float = 0.0
    "Per million prompt tokens, in whatever currency."
    price_out: float = 0.0
    max_tokens: int = 1500
    temperature: float = 0.3


class Endpoint:
    """Shared by all clips of a run. `close` it."""

    def __init__(
        self, settings: EndpointSettings, spent: Spent, *, sleep: Callable[[float], Any] = asyncio.sleep
    ) -> None:
        self._settings = settings
        self._spent = spent
        self._sleep = sleep
        self._places = asyncio.Semaphore(settings.concurrency)
        headers = {"Authorization": f"Bearer {settings.key}"} if settings.key else {}
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(settings.timeout_s, connect=min(10.0, settings.timeout_s)), headers=headers
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def ask(self, messages: list[dict[str, Any]], schema: Mapping[str, Any], *, name: str) -> dict[str, Any]:
        """The object asked for. Raises AnnotationFailed once it is not to be had."""
        body = {
            "model": self._settings.model,
            "messages": messages,
            "temperature": self._settings.temperature,
            "max_tokens": self._settings.max_tokens,
            "response_format": {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": True}},
        }
        problem, wait_s = "", 0.0
        for attempt in range(self._settings.attempts):
            if attempt:
                pause_s = min(60.0, self._settings.pause_s * 2 ** (attempt - 1)) * (1 + 0.25 * random.random())
                await self._sleep(max(pause_s, wait_s))
                self._spent.retries += 1
                self._spent.problems[problem] = self._spent.problems.get(problem, 0) + 1
            async with self._places:
                problem, wait_s, answer = await self._once(body, schema)
            if answer is not None:
                return answer
        raise AnnotationFailed(
            f"{self._settings.url} gave no usable answer in {self._settings.attempts} attempts: {problem}.",
            "See whether the endpoint is up and its model follows the schema; then run again with --retry-failed.",
        )

    async def _once(self, body: dict[str, Any], schema: Mapping[str, Any]) -> tuple[str, float, dict[str, Any] | None]:
        """(what was wrong, seconds the endpoint wants us to wait, the answer)."""
        self._spent.requests += 1
        try:
            response = await self._client.post(f"{self._settings.url.rstrip('/')}/chat/completions", json=body)
        except httpx.TimeoutException:
            return f"no answer within {self._settings.timeout_s:g} s", 0.0, None
        except httpx.HTTPError as error:
            return f"connection failed ({type(error).__name__})", 0.0, None
        if response.status_code in PASSING:
            return f"HTTP {response.status_code}", _retry_after_s(response), None
        if response.status_code >= 400:
            said = response.text[:200].replace("\n", " ")
            raise AnnotationFailed(
                f"{self._settings.url} refuses the request: HTTP {response.status_code}, {said}",
                "Check --url, --endpoint-model and the key in EMOTHINKER_ANNOTATE_KEY.",
            )
        if len(response.content) > MAX_ANSWER_BYTES:
            return "an answer of more than 4 MB", 0.0, None
        try:
            whole = response.json()
            self._count(whole.get("usage") or {})
            text = whole["choices"][0]["message"]["content"]
            value = read_object(text)
            jsonschema.validate(value, schema)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            return "the answer is not the JSON asked for", 0.0, None
        except jsonschema.ValidationError as error:
            return f"the answer does not fit the schema ({error.validator})", 0.0, None
        return "", 0.0, value

    def _count(self, usage: Mapping[str, Any]) -> None:
        n_in, n_out = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
        self._spent.tokens_in += n_in
        self._spent.tokens_out += n_out
        self._spent.cost += (n_in * self._settings.price_in + n_out * self._settings.price_out) / 1e6


def read_object(text: str) -> dict[str, Any]:
    """The JSON object in an answer; thoughts before it and a code fence around it are left out. Raises ValueError."""
    text = re.sub(r"<think>.*?</think>", "", text, flags=re.DOTALL).strip()
    fenced = re.search(r"```(?:json)?\s*(\{.*\})\s*```", text, flags=re.DOTALL)
    value = json.loads(fenced.group(1) if fenced else text)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _retry_after_s(response: httpx.Response) -> float:
    try:
        return min(120.0, max(0.0, float(response.headers.get("retry-after", 0))))
    except ValueError:
        return 0.0
