"""The licence of a model on its card, inherited or set."""

import pytest
from card_runs import a_run
from huggingface_hub import ModelCard

from igep.trainers.cards.licences import licence_of
from igep.trainers.cards.model_card import model_card


NC = {"name": "CC-BY-NC-4.0"}


@pytest.mark.parametrize(
    ("base_licence", "teacher_licence", "metadata", "words"),
    [
        ({"name": "apache-2.0"}, "none", {"license": "apache-2.0"}, "base model org/base is under `apache-2.0`"),
        (None, "none", {}, "org/base states no licence that could be read"),
        (
            {"name": "mit"},
            NC,
            {"license": "cc-by-nc-4.0"},
            "**Non-commercial:** the teacher org/t is under `CC-BY-NC-4.0`",
        ),
        ({"name": "mit"}, {"name": "apache-2.0"}, {"license": "mit"}, "The teacher org/t is under `apache-2.0`"),
        ({"name": "mit"}, None, {}, "The teacher org/t states no licence"),
        (None, NC, {"license": "cc-by-nc-4.0"}, "**Non-commercial:**"),
        (
            {"name": "cc-by-nc-sa-4.0"},
            NC,
            {"license": "other", "license_name": "several-see-card"},
            "**Non-commercial:** the base model",
        ),
        (
            {"name": "qwen-research", "link": "https://x.org/l"},
            "none",
            {"license": "other", "license_name": "qwen-research", "license_link": "https://x.org/l"},
            "**Non-commercial:** the base model org/base is under `qwen-research`",
        ),
        (
            {"name": "apache-2.0"},
            {"name": "fair-noncommercial-research-license"},
            {"license": "fair-noncommercial-research-license"},
            "**Non-commercial:**",
        ),
    ],
)
def test_licences_are_inherited(base_licence, teacher_licence, metadata, words):
    teacher = {"kind": "backbone", "name": "org/t", "licence": teacher_licence}
    run = a_run(
        base_model={"name": "org/base", "on_hub": True, "licence": base_licence},
        teacher=None if teacher_licence == "none" else teacher,
    )
    card = ModelCard(model_card(run, repo_id="user/rooms"))
    stated = card.data.to_dict()
    assert {name: stated[name] for name in stated if name.startswith("license")} == metadata
    assert words in card.text.replace("&lt;", "<")


def test_a_licence_can_be_set_where_nothing_forbids_it():
    assert ModelCard(model_card(a_run(), repo_id="user/rooms", licence="MIT")).data.license == "mit"
    run = a_run(teacher={"kind": "backbone", "name": "org/t", "licence": NC})
    with pytest.raises(
        ValueError, match="--licence mit: the teacher org/t is under CC-BY-NC-4.0, which does not allow it"
    ):
        model_card(run, repo_id="user/rooms", licence="mit")
    assert ModelCard(model_card(run, repo_id="user/x", licence="cc-by-nc-4.0")).data.license == "cc-by-nc-4.0"
    with pytest.raises(ValueError, match="is no name of a licence"):
        model_card(a_run(), repo_id="user/rooms", licence="mit\nbase_model: x")


def test_licences_are_read_from_cards(tmp_path):
    (tmp_path / "named").mkdir()
    (tmp_path / "named" / "README.md").write_text("---\nlicense: other\nlicense_name: house-licence\n---\n# Named\n")
    (tmp_path / "silent").mkdir()
    assert licence_of(str(tmp_path / "named")) == {"name": "house-licence", "link": None}
    assert licence_of(str(tmp_path / "silent")) is None
    assert licence_of("someone/nobody-knows-offline") is None
    assert licence_of("") is None
