"""Where the files of this package lie, in a checkout and an installed package alike; and how they are found by name.

A recipe, a launch plan, a study or the tiny base is named from any folder: `quickstart.yaml` or
`trainers/recipes/quickstart.yaml`, `fsdp2.yaml` or `trainers/launch/fsdp2.yaml`, `tiny_base` or `trainers/tiny_base`.
What lies there in the working directory comes first.
"""

import re
from pathlib import Path


PACKAGE = Path(__file__).resolve().parent.parent
CARD_TEMPLATES = PACKAGE / "hub_cards"
SPACE = PACKAGE / "spaces" / "scene_qa"
RECIPES = PACKAGE / "trainers" / "recipes"
LAUNCH_PLANS = PACKAGE / "trainers" / "launch"
STUDIES = PACKAGE / "trainers" / "experiments" / "studies"
TINY_BASE = PACKAGE / "trainers" / "tiny_base"
HUB_ID = re.compile(r"\w[\w.-]*(/[\w.-]+)?")


def find_recipe(name: str | Path) -> Path:
    """Finds a recipe.

    Args:
        name (`str` or `Path`): A file, or the name of a recipe of this package; a file of the name wins.

    Returns:
        `Path`

    Raises:
        FileNotFoundError: There is neither; the message lists the recipes of this package.
    """
    return _find(name, RECIPES, "recipe")


def find_launch_plan(name: str | Path) -> Path:
    """Finds a launch plan, a configuration of `accelerate launch`.

    Args:
        name (`str` or `Path`): A file, or the name of a plan of this package; a file of the name wins.

    Returns:
        `Path`

    Raises:
        FileNotFoundError: There is neither; the message lists the plans of this package.
    """
    return _find(name, LAUNCH_PLANS, "launch plan")


def find_study(name: str | Path) -> Path:
    """Finds a study, what an ablation compares.

    Args:
        name (`str` or `Path`): A file, or the name of a study of this package; a file of the name wins.

    Returns:
        `Path`

    Raises:
        FileNotFoundError: There is neither; the message lists the studies of this package.
    """
    return _find(name, STUDIES, "study")


def find_model(name: str | Path) -> str:
    """Finds a model: a folder, the tiny base of this package, or what may be an id on the Hub, in this order.

    Args:
        name (`str` or `Path`): A folder, `tiny_base` or an id on the Hub.

    Returns:
        `str`: Path of the tiny base, or the name as it is.

    Raises:
        FileNotFoundError: There is no such folder, and no id on the Hub is written like this.
    """
    if Path(name).exists():
        return str(name)
    if str(name) in _names(TINY_BASE):
        return str(TINY_BASE)
    if HUB_ID.fullmatch(str(name)) is None:
        raise FileNotFoundError(
            f"{name}: there is no such folder, and no id on the Hub is written like this. Give a folder, an id such "
            f"as Qwen/Qwen3-VL-4B-Instruct, or {TINY_BASE.name}, which comes with igep."
        )
    return str(name)


def _find(name: str | Path, folder: Path, kind: str) -> Path:
    """A file that is there, or one of a folder of this package."""
    if Path(name).is_file():
        return Path(name)
    files = sorted(folder.glob("*.yaml"))
    for file in files:
        if str(name) in _names(file):
            return file
    known = ", ".join(file.name for file in files)
    raise FileNotFoundError(
        f"there is no {kind} {name}: give the path of a file, or one that comes with igep ({known})."
    )


def _names(path: Path) -> tuple[str, str]:
    """What a file of this package is called: by its own name, or as in a checkout."""
    return path.name, path.relative_to(PACKAGE).as_posix()
