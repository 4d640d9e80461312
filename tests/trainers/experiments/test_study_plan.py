"""Studies are checked before anything runs: what is unknown, doubled or contradictory is named."""

import pytest

from igep.trainers.experiments.study_plan import read_plan
from igep.trainers.package_files import STUDIES


PLAN = """
title: A study
recipe: quickstart.yaml
options: {max_steps: 4}
seeds: [0, 1]
figures:
  - rooms: exact match, mean
  - depth_probe: delta_1
tune: {option: learning_rate, values: [1.0e-3, 2.0e-3], figure: {rooms: "exact match, mean"}}
arms:
  - name: cross-entropy
    options: {geometry_weight: 0, cross_view_weight: 0, global_weight: 0}
  - name: all three
    options: {max_steps: 5}
"""


def write(folder, text):
    path = folder / "study.yaml"
    path.write_text(text)
    return path


def test_arms_are_a_recipe_and_what_they_change(tmp_path):
    plan = read_plan(write(tmp_path, PLAN), {"num_rooms": 8})
    assert [arm.name for arm in plan.arms] == ["cross-entropy", "all three"]
    assert plan.arms[0].options == {
        "max_steps": 4,
        "num_rooms": 8,
        "geometry_weight": 0,
        "cross_view_weight": 0,
        "global_weight": 0,
    }
    assert plan.arms[1].options == {"max_steps": 5, "num_rooms": 8}
    assert plan.arms[1].folder == "all_three"
    recipe = plan.arms[0].run_recipe(seed=1)
    assert (recipe["seed"], recipe["geometry_weight"], recipe["teacher"]) == (1, 0, "geometry_oracle")
    assert (plan.arms[0].pretrain, plan.room_split, plan.base) == (None, "held_out", None)
    assert plan.figures == [("rooms", "exact match, mean"), ("depth_probe", "delta_1")]
    assert (plan.tune.values, plan.tune.arms, plan.tune.seed) == ([1e-3, 2e-3], ["cross-entropy"], 1000)


@pytest.mark.parametrize("study", sorted(STUDIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_study_of_the_package_is_sound(study):
    plan = read_plan(study.name)
    assert len(plan.seeds) >= (3 if plan.room_split == "held_out" else 1)
    assert len(plan.arms) >= 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("max_steps: 5", "max_stepz: 5", "arm 'all three': sft.py has no option 'max_stepz'"),
        (
            "options: {max_steps: 5}",
            "option: {max_steps: 5}",
            "arm 'all three': unknown key 'option': known are name, ",
        ),
        ("options: {max_steps: 5}", "pretrain: {frieze: [vision]}", "arm 'all three': sft.py has no option 'frieze'"),
        ("options: {max_steps: 5}", "pretrain: {}", "arm 'all three': pretrain is empty"),
        ("options: {max_steps: 5}", "pretrain: {seed: 1}", "arm 'all three': seed is set by the study itself"),
        (
            "options: {max_steps: 5}",
            "options: {heads_from_folder: x}\n    pretrain: {max_steps: 5}",
            "heads_from_folder is set by the study itself",
        ),
        ("title: A study", "room_split: test", "room_split='test': use one of held_out, validation"),
        ("title: A study", "base: tiny", "base='tiny': use one of tiny_vlm3"),
        ("name: all three", "name: cross-entropy", "arms 'cross-entropy' and 'cross-entropy' would share a folder"),
        ("name: all three", "name: Cross entropy", "arms 'cross-entropy' and 'Cross entropy' would share a folder"),
        ("name: all three", 'name: "?"', "an arm is called '?'"),
        ("title: A study", "titel: A study", "unknown key 'titel'"),
        ("seeds: [0, 1]", "seeds: [0, 0]", r"seeds=\[0, 0\]: give different whole numbers"),
        ("seeds: [0, 1]", "seeds: []", r"seeds=\[\]: give a list with at least one entry"),
        ("seeds: [0, 1]", "seeds: [0, 1]\nseeds: [2]", "line 2: seeds stands twice"),
        ("seeds: [0, 1]\n", "", "seeds is missing"),
        ("options: {max_steps: 4}", "options: {seed: 4}", "arm 'cross-entropy': seed is set by the study itself"),
        ("rooms: exact match, mean\n", "room: exact match, mean\n", "figures: {'room': 'exact match, mean'}: write"),
        ("recipe: quickstart.yaml", "recipe: quick.yaml", "there is no recipe quick.yaml"),
        (
            "recipe: quickstart.yaml",
            "recipe: [quickstart.yaml]",
            r"arm 'cross-entropy': recipe=\['quickstart.yaml'\]: give",
        ),
        (
            "- rooms: exact match, mean",
            "- rooms: exact match",
            "rooms has no figure 'exact match': it has exact match, dist",
        ),
        (
            "- depth_probe: delta_1",
            "- depth_probe: [delta_1]",
            "depth_probe has no figure .*: it has R2 of log depth; d",
        ),
        ("option: learning_rate", "option: rate", "sft.py has no option 'rate'"),
        ("option: learning_rate", "option: seed", "tune: option: seed is set by the study itself"),
        (
            "options: {max_steps: 5}",
            "options: {learning_rate: 1.0e-3}",
            "learning_rate is chosen, and arm 'all three' has a",
        ),
        (
            "options: {max_steps: 4}",
            "options: {learning_rate: 1.0e-3}",
            "learning_rate is chosen, and arm 'cross-entropy'",
        ),
        ("tune: {", "tune: {seed: x, ", "tune: seed='x': give a whole number"),
        ("tune: {", "tune: {arms: 3, ", "tune: arms=3: give a list of names"),
        ("tune: {", "tune: {seed: 1, ", "seed=1 is one of the comparison's"),
        ("tune: {", "tune: {arms: [none], ", "there is no arm 'none'"),
        ("tune: {", "tune: {arms: [all three], ", "arms must hold the first one, 'cross-entropy'"),
        ("title: A study", "held_out_rooms: 0", "held_out_rooms=0: give a whole number"),
        ("title: A study", "benchmarks: [latency]", r"benchmarks=\['latency'\]: choose among rooms, depth_probe"),
        ("title: A study", "benchmarks: 5", "benchmarks=5: choose among rooms, depth_probe"),
        ("title: A study", "benchmarks: [[rooms]]", r"benchmarks=\[\['rooms'\]\]: choose among"),
        ("options: {max_steps: 4}", "options: [max_steps]", r"options=\['max_steps'\]: give options of sft.py"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, old, new, message):
    assert old in PLAN
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_plan(write(tmp_path, PLAN.replace(old, new, 1)))


def test_a_study_that_is_not_there_names_those_that_are():
    with pytest.raises(FileNotFoundError, match=r"there is no study nothing.yaml: .*losses.yaml"):
        read_plan("nothing.yaml")


def test_a_flag_changes_all_arms_or_none(tmp_path):
    study = write(tmp_path, PLAN)
    with pytest.raises(ValueError, match="arm 'all three': sets max_steps itself, .* leave --max_steps out"):
        read_plan(study, {"max_steps": 6})
    with pytest.raises(
        ValueError, match="tune: learning_rate is chosen, and arm 'cross-entropy' has a value of it already"
    ):
        read_plan(study, {"learning_rate": 1e-3})


def test_an_arm_may_start_from_the_options_of_another(tmp_path):
    text = PLAN.replace("options: {geometry_weight", "options: &plain {geometry_weight")
    plan = read_plan(write(tmp_path, text.replace("{max_steps: 5}", "{<<: *plain, geometry_weight: 0.3}")))
    weights = {"geometry_weight": 0.3, "cross_view_weight": 0, "global_weight": 0}
    assert plan.arms[1].options == {"max_steps": 4, **weights}
