"""The files that a published folder has beside its weights: what transformers writes is taken, other things are not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from realtime.engine import loading
from realtime.engine.companions import require_alike
from realtime.errors import BadModel
from realtime.model import checkpoint
from realtime.model.checkpoint import NANO
from realtime.model.tokenizer import Vocabulary
from realtime.reason import prompt

MEDIA = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_bos|><|IMAGE|><|vision_eos|>"
    "{% elif part['type'] == 'audio' %}<|audio_bos|><|AUDIO|><|audio_eos|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"How Qwen2.5-Omni writes a conversation, as transformers' documentation of the model shows it."
OTHER_FORM = "{% for message in messages %}[INST] {{ message['content'] }} [/INST]{% endfor %}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """nano's, without its weights: its shapes and its tokens."""
    for name in ("config.json", "emothinker.json", "tokenizer.json"):
        shutil.copy(NANO / name, tmp_path)
    return tmp_path


def check(folder: Path) -> None:
    require_alike(folder, checkpoint.read_config(folder), Vocabulary.read(folder))


def put(folder: Path, file: str, **settings: object) -> None:
    path = folder / file
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(known | settings))


def test_a_folder_without_them_is_taken_as_it_is(folder: Path) -> None:
    check(folder)


def test_what_transformers_processors_write_is_taken(folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    file = folder / "preprocessor_config.json"
    transformers.WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)
    sound = json.loads(file.read_text())
    transformers.Qwen2VLImageProcessorPil().save_pretrained(folder)
    both = sound | json.loads(file.read_text())
    assert {"hop_length", "n_fft", "image_mean", "patch_size"} <= both.keys()
    file.write_text(json.dumps(both))
    check(folder)


@pytest.mark.parametrize(("name", "value"), [
    ("feature_size", 128), ("sampling_rate", 8000), ("hop_length", 320), ("n_fft", 512), ("dither", 1.0),
    ("patch_size", 16), ("merge_size", 1), ("temporal_patch_size", 1), ("image_mean", [0.5, 0.5, 0.5]),
    ("image_std", [0.5, 0.5]), ("hop_length", "160"),
])  # fmt: skip
def test_other_features_than_are_computed_are_refused(folder: Path, name: str, value: object) -> None:
    put(folder, "preprocessor_config.json", **{name: value})
    with pytest.raises(BadModel, match=rf"preprocessor_config\.json .* says {name} "):
        check(folder)


def test_colours_may_be_written_with_fewer_digits(folder: Path) -> None:
    put(
        folder, "preprocessor_config.json", image_mean=[0.48145, 0.45783, 0.40821], image_std=[0.26863, 0.2613, 0.27578]
    )
    check(folder)


def test_markers_are_those_that_the_config_numbers(folder: Path) -> None:
    vocabulary = Vocabulary.read(folder)
    put(folder, "config.json", audio_start_token_id=vocabulary.id_of(prompt.AUDIO_START))
    check(folder)
    put(folder, "config.json", audio_start_token_id=151_647)
    with pytest.raises(BadModel, match=r"config\.json .* says audio_start_token_id 151647; here it is "):
        check(folder)


@pytest.mark.parametrize("several", [False, True])
def test_an_answer_ends_where_the_model_was_taught_to_end_it(folder: Path, several: bool) -> None:
    end = Vocabulary.read(folder).id_of(prompt.END_OF_TURN)
    put(folder, "generation_config.json", eos_token_id=[end, 0] if several else end, temperature=0.7)
    check(folder)
    put(folder, "generation_config.json", eos_token_id=[0] if several else 0)
    with pytest.raises(BadModel, match="says eos_token_id"):
        check(folder)


@pytest.mark.parametrize("file", ["chat_template.jinja", "chat_template.json", "tokenizer_config.json"])
def test_another_form_of_conversation_is_refused(folder: Path, file: str) -> None:
    def write(template: str) -> None:
        text = template if file.endswith(".jinja") else json.dumps({"chat_template": template})
        (folder / file).write_text(text)

    write(MEDIA)
    check(folder)
    write(OTHER_FORM)
    with pytest.raises(BadModel, match="converses in a format of its own"):
        check(folder)


def test_they_are_read_before_any_weight_is(folder: Path) -> None:
    for name in ("model.safetensors", "emothinker.safetensors"):
        (folder / name).symlink_to(NANO / name)
    put(folder, "preprocessor_config.json", hop_length=320)
    read: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("realtime.model.filling.fill", lambda *_, **__: read.append("weights"))
        with pytest.raises(BadModel, match="hop_length"):
            loading.load(str(folder))
    assert not read


def test_our_prompt_is_what_the_template_writes() -> None:
    """Text, a picture and an utterance in one turn, as Qwen2.5-Omni's template puts them."""
    templates = pytest.importorskip("transformers.utils.chat_template_utils")
    pytest.importorskip("jinja2")
    question = prompt.Question()
    for wording, words in prompt.WORDINGS.items():
        state = prompt.branch_text(n_faces=1, has_picture=True, has_speech=True, opening="")
        state, _, opening = state.partition(prompt.END_OF_TURN)
        conversation = [
            {"role": "system", "content": [{"type": "text", "text": words.system + words.format}]},
            {"role": "user", "content": [
                {"type": "text", "text": f"{prompt.query_text(wording, question)}\n"},
                {"type": "image"}, {"type": "audio"}, {"type": "text", "text": state},
            ]},
        ]  # fmt: skip
        rendered, _ = templates.render_jinja_template([conversation], chat_template=MEDIA, add_generation_prompt=True)
        picture = f"{prompt.VISION_START}<|IMAGE|>{prompt.VISION_END}"
        sound = f"{prompt.AUDIO_START}<|AUDIO|>{prompt.AUDIO_END}"
        ours = f"{prompt.prefix_text(wording, question)}{picture}{sound}{state}{prompt.END_OF_TURN}{opening}"
        assert rendered == [ours]
