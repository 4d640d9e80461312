"""The last look at what would be published: tokens of any maker, paths in texts and in the metadata of weights."""

import json

import pytest
import torch
from safetensors.torch import save_file

from igep.trainers.package_files import PACKAGE
from igep.trainers.publishing.last_net import LeakError, check_published


TOKENS = [
    "hf_" + "a" * 34,
    "sk-ant-api03-" + "b" * 40,
    "AKIA" + "C" * 16,
    "ghp_" + "d" * 36,
    "github_pat_" + "e" * 40,
    "glpat-" + "f" * 20,
    "xoxb-" + "1" * 24,
    "AIza" + "g" * 35,
    "nvapi-" + "h" * 60,
    "r8_" + "i" * 37,
    "gsk_" + "j" * 50,
    "pypi-" + "k" * 60,
    "npm_" + "l" * 36,
    "sk_live_" + "m" * 24,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTYifQ." + "n" * 40,
    "WANDB_API_KEY=" + "0123456789abcdef" * 2 + "01234567",
    "https://me:hunter22@proxy.example.org/x",
    "-----BEGIN OPENSSH PRIVATE KEY-----",
]


@pytest.mark.parametrize("token", TOKENS, ids=lambda token: token[:12])
@pytest.mark.parametrize("name", ["README.md", "tokenizer.json", "vocab.json", "code.py"])
def test_tokens_of_any_maker_are_found(tmp_path, name, token):
    (tmp_path / name).write_text(json.dumps({"text": f"use '{token}' here"}))
    with pytest.raises(LeakError, match=f"{name} would hold what looks like an access token") as raised:
        check_published(tmp_path / name)
    assert token not in str(raised.value)


@pytest.mark.parametrize("path", ["/nfs/team/scans", "C:\\Users\\me", "\\\\server\\share", "~/scans", "file:///x/y"])
def test_paths_are_found_in_values_and_names(tmp_path, path):
    for content in ({"a": [{"b": path}]}, {path: 1}):
        (tmp_path / "config.json").write_text(json.dumps(content))
        with pytest.raises(LeakError, match="would hold the path"):
            check_published(tmp_path / "config.json")


def test_words_of_a_vocabulary_are_no_paths(tmp_path):
    words = {"/usr/bin": 0, "C:\\Windows": 1}
    for name, content in (("vocab.json", words), ("tokenizer.json", {"model": {"vocab": words}, "normalizer": None})):
        (tmp_path / name).write_text(json.dumps(content))
        check_published(tmp_path / name)
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {}, "name": "/nfs/me/tokenizer"}))
    with pytest.raises(LeakError, match="tokenizer.json would hold the path"):
        check_published(tmp_path / "tokenizer.json")


@pytest.mark.parametrize(
    ("metadata", "what"), [({"base": "/nfs/me/base"}, "the path"), ({TOKENS[0]: "1"}, "access token")]
)
def test_the_metadata_of_weights_is_looked_at(tmp_path, metadata, what):
    file = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(2)}, file, {"format": "pt"})
    check_published(file)
    save_file({"weight": torch.zeros(2)}, file, {"format": "pt", **metadata})
    with pytest.raises(LeakError, match=f"the metadata of model.safetensors would hold .*{what}"):
        check_published(file)


def test_what_this_package_publishes_passes():
    for file in [*PACKAGE.glob("*.py"), *(PACKAGE / "trainers" / "tiny_base").iterdir()]:
        check_published(file)
