"""Paths of a machine are found in texts whatever their root, and nothing else is taken for one."""

import pytest

from igep.trainers.cards.local_paths import find_local_path, is_local_path, last_name
from igep.trainers.cards.shared_recipe import shared_recipe
from igep.trainers.package_files import PACKAGE


@pytest.mark.parametrize(
    "path",
    [
        "/home/me/data",
        "/nfs/team/scans",
        "/data/x",
        "/lustre/a.b/c-d/e",
        "/Volumes/My Disk/scans",
        "C:\\Users\\me\\scans",
        "D:/scans/a",
        "\\\\server\\share\\scans",
        "~/scans",
        "~me/scans",
        "file:///nfs/scans",
    ],
)
@pytest.mark.parametrize("around", ["{}", "see {}", "(read from '{}')", "path: {}\n", "`{}`", "scans:{}"])
def test_a_path_of_any_root_is_found(path, around):
    found = find_local_path(around.format(path))
    assert found is not None
    assert path.startswith(found.split("'")[0].split("`")[0].split(")")[0].split("\n")[0].rstrip())
    assert is_local_path(path)
    assert last_name(path) == path.replace("\\", "/").split("/")[-1]


@pytest.mark.parametrize(
    "text",
    [
        "and/or, user/name, outputs/x/y, 3.5 km/h/s, R@1/R@5/R@10",
        "https://huggingface.co/user/name s3://bucket/key http://localhost:8000/v1/models",
        "</think> </tool/x> <br/> /think /no_think",
        r".*\.(q_proj|v_proj|qkv) \d+\w+ [\s\S] \\n\\t",
        "5:/x 10 ~ 20 a:b {%- if x -%}{{ y }}/{{ z }}/w",
    ],
)
def test_nothing_else_is_a_path(text):
    assert find_local_path(text) is None


def test_what_ships_with_a_model_holds_none():
    for file in [*PACKAGE.glob("*.py"), *(PACKAGE / "trainers" / "tiny_base").glob("*.j*")]:
        if file.name != "tokenizer.json":
            assert find_local_path(file.read_text(encoding="utf-8")) is None, file.name


def test_recipes_are_shared_without_them():
    recipe = {
        "note": "C:\\Users\\me\\scans",
        "dataset_path": "\\\\server\\share\\flats",
        "other": "file:///nfs/x/rooms",
    }
    assert shared_recipe(recipe) == {"note": "scans", "dataset_path": "flats", "other": "rooms"}
