"""Licences of what a model was made of: none of them is lost on the way to the model's own."""

import pytest

from igep.trainers.cards.licences import Licence, inherited_licence


NC = "cc-by-nc-4.0"


def a_run(base: str | None, teacher: str | None = "none", earlier: tuple[dict, ...] = ()) -> dict:
    """What the licences are read from in `training_run.json`; `None` for a licence that could not be read."""
    stated = {name: name and {"name": name, "link": None} for name in (base, teacher)}
    made_by = None if teacher == "none" else {"kind": "backbone", "name": "org/t", "licence": stated[teacher]}
    return {
        "base_model": {"name": "org/base", "on_hub": True, "licence": stated[base]},
        "teacher": made_by,
        "earlier": list(earlier),
    }


@pytest.mark.parametrize(
    "name",
    [
        *(
            "cc-by-nc-4.0",
            "CC-BY-NC-SA-4.0",
            "cc-by-nc-nd-3.0",
            "apple-amlr",
            "deepfloyd-if-license",
            "intel-research",
        ),
        *("h-research", "fair-noncommercial-research-license", "qwen-research", "several-see-card", "mrl", "exaone"),
        *("coqui-public-model-license", "house_non_commercial"),
    ],
)
def test_what_forbids_commercial_use(name):
    assert Licence(name).is_non_commercial
    _, text = inherited_licence(a_run("apache-2.0", name))
    assert "on-commercial" in text
    with pytest.raises(ValueError, match=f"--licence mit: the teacher org/t is under {name}, which does not allow it"):
        inherited_licence(a_run("apache-2.0", name), "mit")


@pytest.mark.parametrize("name", ["apache-2.0", "cc-by-nd-4.0", "gemma", "gpl-3.0", "llama3.1", "ncsa", "openrail"])
def test_what_does_not(name):
    assert not Licence(name).is_non_commercial
    assert "on-commercial" not in inherited_licence(a_run(name))[1]


@pytest.mark.parametrize("given", ["cc-by-nd-4.0", "mit", "apache-2.0", "gpl-3.0", "gemma"])
def test_a_teacher_binds_whatever_is_given(given):
    with pytest.raises(
        ValueError, match=rf"--licence {given}: the teacher .* Give {NC}, or leave --licence out\.$"
    ) as caught:
        inherited_licence(a_run("apache-2.0", NC), given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "base", ["gemma", "llama3.1", "gpl-3.0", "cc-by-sa-4.0", "cc-by-nd-4.0", "cc", "house-licence"]
)
@pytest.mark.parametrize("given", ["mit", "cc-by-4.0", NC])
def test_terms_of_a_base_are_not_replaced(base, given):
    with pytest.raises(ValueError, match=f"the base model org/base is under {base}, .* Give {base}, or leave"):
        inherited_licence(a_run(base), given)
    assert inherited_licence(a_run(base), base.upper())[0].name == base
    assert inherited_licence(a_run("mit", base), base)[0].name == base


@pytest.mark.parametrize(
    "base", ["apache-2.0", "MIT", "bsd-3-clause-clear", "cc0-1.0", "cc-by-4.0", "isc", "unlicense"]
)
@pytest.mark.parametrize("given", ["mit", "gpl-3.0", NC, "house-licence"])
def test_permissive_sources_leave_the_choice(base, given):
    assert inherited_licence(a_run(base, "apache-2.0"), given)[0].key == given


def test_one_of_several_that_bind_may_be_given():
    run = a_run("cc-by-nc-sa-4.0", NC)
    assert inherited_licence(run)[0].name == "several-see-card"
    for given in ("cc-by-nc-sa-4.0", NC, "several-see-card"):
        assert inherited_licence(run, given)[0].name == given
    with pytest.raises(ValueError, match=f"Give cc-by-nc-sa-4.0 or {NC}, or leave"):
        inherited_licence(run, "mit")
    with pytest.raises(ValueError, match=f"the teacher org/t is under {NC}"):
        inherited_licence(a_run("gemma", NC), "gemma")


@pytest.mark.parametrize("unread", [None, "unknown", "other"])
def test_where_the_base_is_not_known_the_user_says(unread):
    assert inherited_licence(a_run(unread))[0] is None
    assert inherited_licence(a_run("gemma", unread))[0] is None
    chosen, text = inherited_licence(a_run(unread), "mit")
    assert chosen.name == "mit"
    assert "org/base states no licence that could be read" in text
    assert "Whoever published this model states `mit` for it." in text
    with pytest.raises(ValueError, match="the teacher org/t is under gemma"):
        inherited_licence(a_run(unread, "gemma"), "mit")


def test_what_binds_stays_where_another_is_not_known():
    assert inherited_licence(a_run(None, NC))[0].name == NC
    before = a_run("gemma", "cc-by-nc-sa-4.0")
    assert inherited_licence(a_run(None, NC, (before,)))[0].name == "several-see-card"


def test_earlier_runs_bind():
    before = a_run("org-licence", NC)
    before["teacher"]["name"] = "org/first_teacher"
    run = a_run("apache-2.0", earlier=(before,))
    with pytest.raises(
        ValueError, match=f"the teacher org/first_teacher of an earlier run is under {NC}, which does not allow it"
    ):
        inherited_licence(run, "mit")
    found, text = inherited_licence(run)
    assert found.name == "several-see-card"
    assert "The base model org/base of an earlier run is under `org-licence`." in text
    assert f"**Non-commercial:** the teacher org/first_teacher of an earlier run is under `{NC}`" in text
    assert inherited_licence(a_run(NC, earlier=(a_run("mit", NC.upper()),)))[0].name == NC, (
        "one licence, however written"
    )


def test_a_source_is_named_once():
    before = a_run("mit", NC)
    _, text = inherited_licence(a_run("mit", NC, (before, before)))
    assert text.count("org/t ") == text.count("org/base ") == 1
    _, text = inherited_licence(a_run(None, None, (a_run("mit", None),)))
    assert text.count("Several 3D foundation models") == 1


def test_several_licences_are_not_all_non_commercial():
    _, text = inherited_licence(a_run("several-see-card"))
    assert "**Maybe non-commercial:** the base model org/base is under several licences, which its card names" in text


def test_no_derivatives_is_told():
    _, text = inherited_licence(a_run("mit", "cc-by-nd-4.0"))
    assert "org/t is under `cc-by-nd-4.0`. `cc-by-nd-4.0` does not allow to share what is made from it." in text


def test_a_chosen_licence_keeps_its_link():
    run = a_run("qwen-research")
    run["base_model"]["licence"]["link"] = "https://x.org/l"
    assert inherited_licence(run, "Qwen-Research")[0].metadata["license_link"] == "https://x.org/l"
