"""The command-line arguments of annotators, and the annotators that they name."""

from __future__ import annotations

import argparse

from realtime.errors import BadSettings
from train.chat import ChatClient, ChatSettings, ChatUsage
from train.coet.annotators import Annotator, MeasuredAnnotator
from train.coet.openai import Endpoints, OpenAIAnnotator

KEY_VARIABLE = "EMOTHINKER_ANNOTATE_KEY"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--annotator", action="append", choices=("measured", "openai"), help="default: measured")
    chat = parser.add_argument_group("openai")
    chat.add_argument("--url", help="of the endpoint, up to and with /v1")
    chat.add_argument("--endpoint-model", help="the model's name there")
    chat.add_argument("--audio-url", help="another endpoint for the audio")
    chat.add_argument("--audio-model")
    chat.add_argument("--text-url", help="another endpoint for the stages without media (question, think)")
    chat.add_argument("--text-model")
    chat.add_argument("--concurrency", type=int, default=8)
    chat.add_argument("--timeout-s", type=float, default=120.0)
    chat.add_argument("--attempts", type=int, default=5)
    chat.add_argument("--pause-s", type=float, default=1.0, help="before the second attempt, then doubled")
    chat.add_argument("--price-in", type=float, default=0.0, help="per million prompt tokens")
    chat.add_argument("--price-out", type=float, default=0.0)
    chat.add_argument(
        "--hide-label", action="store_true", help="do not send the label to the endpoint; the gate still checks it"
    )


def annotators(args: argparse.Namespace) -> list[Annotator]:
    """The annotators in the order given. Raises BadSettings where an endpoint is not named."""
    made: list[Annotator] = []
    for name in args.annotator or ["measured"]:
        if name == "measured":
            made.append(MeasuredAnnotator(args.seed))
            continue
        if not args.url or not args.endpoint_model:
            raise BadSettings(
                "The openai annotator needs --url and --endpoint-model.", "For example --url http://127.0.0.1:8000/v1."
            )
        usage = ChatUsage()

        def endpoint(url: str, model: str, usage: ChatUsage = usage) -> ChatClient:
            settings = ChatSettings(
                url, model, KEY_VARIABLE, temperature=0.3, max_tokens=1500, timeout_s=args.timeout_s,
                attempts=args.attempts, pause_s=args.pause_s, price_in=args.price_in, price_out=args.price_out,
            )  # fmt: skip
            return ChatClient(settings, usage)

        main = endpoint(args.url, args.endpoint_model)
        audio = endpoint(args.audio_url or args.url, args.audio_model) if args.audio_model else main
        text = endpoint(args.text_url or args.url, args.text_model) if args.text_model else main
        made.append(
            OpenAIAnnotator(Endpoints(main, audio, text), usage, tell_label=not args.hide_label, seed=args.seed)
        )
    return made
