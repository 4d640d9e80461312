"""The card of the Space: the one in the repository, and those that publishing renders."""

import re

import pytest
import yaml
from huggingface_hub import RepoCard

from igep.trainers.publish import SPACE, space_card


def test_the_space_of_this_repository_has_the_rendered_card():
    assert (SPACE / "README.md").read_text(encoding="utf-8") == space_card(None, None)


@pytest.mark.parametrize("name", ["null", "123", "1.0", "true"])
def test_a_name_that_yaml_reads_otherwise_stays_a_name(name):
    assert yaml.safe_load(space_card(f"user/{name}-space", f"user/{name}").split("---")[1])["title"] == name


def test_front_matter_of_a_space(tmp_path):
    (tmp_path / "README.md").write_text(space_card("user/rooms-space", "user/rooms"))
    data = yaml.safe_load((tmp_path / "README.md").read_text().split("---")[1])
    assert data["sdk"] == "gradio"
    assert data["app_file"] == "app.py"
    assert data["models"] == ["user/rooms"]
    assert data["thumbnail"] == "https://huggingface.co/spaces/user/rooms-space/resolve/main/preview.png"
    assert (SPACE / "preview.png").is_file()
    assert len(data["short_description"]) <= 60
    assert "[igep]" in RepoCard.load(tmp_path / "README.md").text


def test_geometry_is_claimed_only_where_it_supervised():
    claim = "3D geometry supervised its training only"
    assert claim in space_card("user/rooms-space", "user/rooms", supervised=True)
    assert claim not in space_card("user/rooms-space", "user/rooms", supervised=False)
    assert claim not in space_card(None, None)


def test_its_pictures_are_there():
    for name in re.findall(r"\]\((\w+\.png)\)", space_card(None, None)):
        assert (SPACE / name).stat().st_size < 400_000
