"""Files of the package are found by name from any folder; what lies in the working directory comes first."""

from pathlib import Path

import pytest

from igep.trainers import package_files, sft
from igep.trainers.commands import launch
from igep.trainers.package_files import (
    LAUNCH_PLANS,
    PACKAGE,
    RECIPES,
    TINY_BASE,
    find_launch_plan,
    find_model,
    find_recipe,
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_place_is_there():
    places = [place for place in vars(package_files).values() if isinstance(place, Path)]
    assert len(places) == 7
    assert all(place.is_dir() and place.is_relative_to(PACKAGE) for place in places)


@pytest.mark.parametrize(
    ("find", "folder", "written"),
    [(find_recipe, RECIPES, "trainers/recipes"), (find_launch_plan, LAUNCH_PLANS, "trainers/launch")],
)
def test_a_file_of_the_package_is_found_by_both_of_its_names(find, folder, written):
    files = sorted(folder.glob("*.yaml"))
    assert files
    for file in files:
        assert find(file.name) == find(f"{written}/{file.name}") == find(file) == file


def test_a_file_that_is_there_wins(elsewhere):
    for name in ("quickstart.yaml", "trainers/recipes/quickstart.yaml", "mine.yaml"):
        file = elsewhere / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        assert find_recipe(name).resolve() == file


@pytest.mark.parametrize("name", ["nowhere.yaml", "recipes/quickstart.yaml", "trainers/launch/quickstart.yaml", ""])
def test_a_recipe_that_is_nowhere_is_told_in_one_line(name):
    with pytest.raises(FileNotFoundError, match=r"no recipe .*give the path of a file.*quickstart\.yaml") as caught:
        find_recipe(name)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_recipe(elsewhere):
    (elsewhere / "quickstart.yaml").mkdir()
    assert find_recipe("quickstart.yaml") == RECIPES / "quickstart.yaml"


def test_the_tiny_base_is_found_and_a_folder_of_its_name_wins(elsewhere):
    assert find_model("tiny_base") == find_model("trainers/tiny_base") == str(TINY_BASE)
    (elsewhere / "tiny_base").mkdir()
    assert find_model("tiny_base") == "tiny_base"


@pytest.mark.parametrize("name", ["Qwen/Qwen3-VL-4B-Instruct", "gpt2", "user/name.with-all_3"])
def test_what_may_be_on_the_hub_stays(name):
    assert find_model(name) == name


@pytest.mark.parametrize("name", ["/no/such/folder", "./tiny_base", "a/b/c", "~/model"])
def test_a_model_that_cannot_be_is_told_with_the_remedy(name):
    with pytest.raises(FileNotFoundError, match=r"no such folder, and no id on the Hub.*or tiny_base"):
        find_model(name)


def test_launch_hands_plan_flags_and_script_to_accelerate(monkeypatch):
    from accelerate.commands import launch as accelerate_launch

    given = []
    monkeypatch.setattr(accelerate_launch, "launch_command", given.append)
    words = ["ddp.yaml", "--num_processes", "2", "sft", "--config", "quickstart.yaml", "--max_steps", "3"]
    assert launch.main(words) == 0
    (options,) = given
    assert options.config_file == str(LAUNCH_PLANS / "ddp.yaml")
    assert options.num_processes == 2
    assert options.module
    assert options.training_script == "igep.trainers.sft"
    assert options.training_script_args == words[4:]


def test_launch_says_what_is_missing():
    with pytest.raises(FileNotFoundError, match=r"no launch plan nowhere.yaml.*fsdp2.yaml"):
        launch.main(["nowhere.yaml", "sft"])
    with pytest.raises(ValueError, match="nothing to launch: after the plan and its flags name one of sft"):
        launch.main(["cpu.yaml", "trainers/sft.py"])


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--config", "nowhere.yaml"], "there is no recipe nowhere.yaml"),
        (["--config", "quickstart.yaml", "--model_name_or_path", "./none"], "model_name_or_path=./none: "),
        (["--config", "quickstart.yaml", "--model_name_or_path", "no/such"], "model_name_or_path=no/such: "),
        (["--output_dir", "out"], "model_name_or_path is not set"),
        (["--config", "igep_own_scenes.yaml", "--dataset_path", "no/scenes", "--output_dir", "out"], "no/scenes"),
        (["--config", "quickstart.yaml", "--eval_strategy", "steps", "--eval_rooms", "0"], "needs held-out scenes"),
        (
            ["--config", "quickstart.yaml", "--eval_strategy", "no", "--eval_on_start", "true"],
            "eval_on_start to false",
        ),
    ],
)
def test_training_says_in_one_line_what_is_nowhere(flags, words):
    with pytest.raises(SystemExit) as caught:
        sft.main([*flags, "--num_rooms", "4", "--use_cpu", "true"])
    message = str(caught.value)
    assert message.startswith("igep sft: error: ")
    assert words in message
    assert "\n" not in message
