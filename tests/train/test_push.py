"""Model cards for a hub, and pushing a merged model: huggingface_hub's own client against a hub on this machine."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import yaml
from safetensors.torch import save_file

from realtime.errors import BadModel, BadSettings, RealtimeError
from realtime.model import checkpoint
from realtime.model.backbone import PACKAGED
from tests.train.fake_hub import TOKEN, Hub, running
from train import merge, model_card, push
from train.nano.pretrained import PUBLISHED

# The client sends files with an argument that its own HTTP library calls old.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning")
ROOT = Path(__file__).parents[2]
RUN = {"model": "nano", "settings": {"lr": 2e-5, "records": ["/home/ann/coet"], "out": "/home/ann/A"}, "n_records": 6}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with running() as hub:
        constants = huggingface_hub.constants
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
        # Its protocol can't be played here, so weights go over LFS, as from a client without the package hf-xet.
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub


@pytest.fixture
def merged(tmp_path: Path) -> Path:
    """What a merge leaves, with little weights, in a folder where other things lie, too."""
    folder = tmp_path / "merged"
    (folder / "sub").mkdir(parents=True)
    save_file({"thinker.a": torch.zeros(2)}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    (folder / "records.jsonl").write_text("a person\n")
    (folder / "sub" / "more.json").write_text("{}")
    card(folder, "nano")
    return folder


def card(out: Path, name: str, folder: Path = checkpoint.NANO, licence: str | None = None) -> dict[str, Any]:
    """Write a card, and read its front matter by another reader than the one that wrote it."""
    chosen = model_card.terms(model_card.of_base(name, folder), licence)
    model_card.write(out, name=name, folder=folder, adapter=Path("A"), run=RUN, licence=chosen)
    return front(out / "README.md")


def front(path: Path) -> dict[str, Any]:
    found = re.match(r"---\n(.*?)\n---\n\n# ", path.read_text("utf-8"), re.DOTALL)
    assert found is not None, f"{path} does not begin with front matter and a heading"
    data: dict[str, Any] = yaml.safe_load(found[1])
    return data


@pytest.mark.parametrize("name", ["nano", "small"])
def test_a_shipped_card_tells_the_hub_the_licence_that_its_text_and_the_package_have(name: str) -> None:
    folder = checkpoint.SHIPPED[name]
    data = front(folder / "README.md")
    text = (folder / "README.md").read_text("utf-8")
    (told,) = re.findall(r"^\| licence \| \*\*(.*?)\*\*", text, re.MULTILINE)
    package = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["license"]
    assert data["license"] == told.replace(" ", "-").lower()
    assert data["license"] in package.lower().split(" and ")
    assert (
        (folder / "LICENSE").read_text("utf-8").startswith("Creative Commons Attribution-NonCommercial-ShareAlike 4.0")
    )
    assert data["library_name"] == "emothinker"


def test_the_bases_in_the_cards_are_those_that_the_code_begins_from() -> None:
    assert set(front(checkpoint.NANO / "README.md")["base_model"]) == {one.hub for one in PUBLISHED.values()}
    small = front(checkpoint.SMALL / "README.md")
    assert small["base_model"] == PACKAGED["smollm2-135m-instruct"].hub
    assert small["base_model_relation"] == "adapter"


def test_a_merged_models_card_has_the_licence_of_its_base(tmp_path: Path) -> None:
    of_nano = card(tmp_path, "nano")
    assert (of_nano["license"], of_nano["pipeline_tag"]) == ("cc-by-nc-sa-4.0", "video-text-to-text")
    assert (tmp_path / "LICENSE").read_bytes() == (checkpoint.NANO / "LICENSE").read_bytes()
    # As a base in its turn it says the same.
    assert card(tmp_path / "..", str(tmp_path), tmp_path)["license"] == "cc-by-nc-sa-4.0"
    empty = tmp_path / "empty"
    empty.mkdir()
    large = card(tmp_path, "Qwen/Qwen2.5-Omni-7B", empty)
    assert (large["license"], large["base_model"]) == ("apache-2.0", "Qwen/Qwen2.5-Omni-7B")
    assert card(tmp_path, "Qwen/Qwen2.5-Omni-3B", empty)["license_name"] == "qwen-research"
    assert card(tmp_path, "Qwen/Qwen2.5-Omni-7B", empty, "cc-by-nc-4.0")["license"] == "cc-by-nc-4.0"
    assert "license" not in card(tmp_path, str(empty), empty), "nobody has said it"


def test_the_card_tells_nothing_of_where_things_lay(tmp_path: Path) -> None:
    card(tmp_path, "nano")
    text = (tmp_path / "README.md").read_text("utf-8")
    assert "| lr | 2e-05 |" in text
    assert "/home" not in text
    assert model_card.shown(str(tmp_path)) == tmp_path.name


@pytest.mark.parametrize("base", ["nano", "Qwen/Qwen2.5-Omni-3B"])
def test_terms_that_the_base_does_not_allow_are_refused(base: str) -> None:
    with pytest.raises(BadSettings, match=r"is under (cc-by-nc-sa-4\.0|qwen-research), which is not apache-2\.0"):
        model_card.terms(model_card.of_base(base, checkpoint.NANO), "apache-2.0")


def test_a_damaged_card_of_a_base_is_told(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: [\n---\n")
    with pytest.raises(BadModel, match=r"The front matter of .*README\.md cannot be read: while parsing"):
        model_card.front_matter(tmp_path)


def test_a_new_repository_is_private_and_gets_what_the_merge_wrote(hub: Hub, merged: Path) -> None:
    address = push.push(push.sign_in("owner/m", public=False), merged, "owner/m", public=False)
    repository = hub.repositories["owner/m"]
    assert address == f"{hub.url}/owner/m/commit/{1:040x}"
    assert repository.private
    assert repository.files.keys() == {"README.md", "LICENSE", "config.json", "model.safetensors"}
    assert repository.files["model.safetensors"] == (merged / "model.safetensors").read_bytes()


def test_a_repository_with_other_content_gets_a_commit_and_no_left_over_weights(hub: Hub, merged: Path) -> None:
    api = push.sign_in("owner/m", public=True)
    push.push(api, merged, "owner/m", public=False)
    repository = hub.repositories["owner/m"]
    repository.files |= {"notes.md": b"mine", "model.safetensors.index.json": b"{}", "config.json": b"old"}
    push.push(push.sign_in("owner/m", public=True), merged, "owner/m", public=True)
    assert repository.files.keys() == {"README.md", "LICENSE", "config.json", "model.safetensors", "notes.md"}
    assert (repository.files["config.json"], len(repository.commits)) == (b"{}", 2)
    assert (repository.private, repository.seen_by_all) == (False, False), "public once it is whole"
    with pytest.raises(BadSettings, match="owner/m is public already"):
        push.sign_in("owner/m", public=False)


@pytest.mark.parametrize(
    ("name", "token", "status", "told"),
    [
        ("owner/m", "", None, "There is no token for the hub here. Sign in (hf auth login)"),
        ("owner/m", "hf_wrong", None, "The hub does not take the token."),
        ("owner/m", TOKEN, 403, "The token may not write to owner/m."),
        ("owner/m", TOKEN, 507, "The hub answers 507 for owner/m."),
        ("m", TOKEN, None, "'m' is no name of a repository. Write it as OWNER/NAME."),
        ("owner/m m", TOKEN, None, "'owner/m m' is no name of a repository."),
    ],
)
def test_what_the_hub_refuses_is_a_sentence(
    name: str, token: str, status: int | None, told: str, hub: Hub, merged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    hub.refuses = status
    with pytest.raises(RealtimeError) as raised:
        push.push(push.sign_in(name, public=False), merged, name, public=False)
    assert str(raised.value).startswith(told)
    assert (f"push it again: realtime train push {merged} owner/m" in raised.value.hint) == (status is not None)


def test_an_upload_that_breaks_off_is_a_sentence(hub: Hub, merged: Path) -> None:
    """The client wraps what goes wrong with one file in a RuntimeError, which no caller expects."""
    hub.loses_files = True
    with pytest.raises(push.NotPushed, match=r"The token may not write to owner/m\."):
        push.push(push.sign_in("owner/m", public=False), merged, "owner/m", public=True)
    assert hub.repositories["owner/m"].private, "it is published only whole"
    assert not hub.repositories["owner/m"].commits


def test_no_network_is_a_sentence(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(push.NotPushed, match="The hub does not answer"):
        push.sign_in("owner/m", public=False)


def test_a_folder_without_a_card_or_a_licence_is_not_pushed(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="has no README"):
        push.files(tmp_path)
    (tmp_path / "README.md").write_text("# a model\n")
    with pytest.raises(BadSettings, match="The card names no licence"):
        push.files(tmp_path)


def test_a_merge_that_could_not_be_pushed_is_not_begun(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text(json.dumps({"model_type": "qwen2_5_omni"}))
    (tmp_path / "A").mkdir()
    words = ["merge", "--adapter", str(tmp_path / "A"), "--out", str(tmp_path / "out"), "--push-to-hub", "owner/m"]
    monkeypatch.setattr("sys.argv", [*words, "--model", str(tmp_path / "base")])
    with pytest.raises(BadSettings, match="The card names no licence"):
        merge.main()
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.setattr("sys.argv", [*words, "--model", "nano"])
    with pytest.raises(push.NotPushed, match="There is no token"):
        merge.main()
    assert not (tmp_path / "out").exists()
