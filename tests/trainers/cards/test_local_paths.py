"""Paths of a machine are found in texts whatever their root, and nothing else is taken for one."""

import pytest
from growth import grows_linearly

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
        "smb://nas/share/scans",
        "sftp://nas/home/me/scans",
        "hdfs://node/me/scans",
        "\\\\wsl$\\Ubuntu\\home",
        "$HOME/scans",
        "$SCRATCH/$USER/scans",
        "${VAR}/x",
        "${data_root}/scans",
        "%USERPROFILE%\\scans",
        "$env:USERPROFILE\\scans",
        "/data",
        "/scratch",
        "/data1",
        "/home",
        "-I/nfs/a",
        "-L/opt",
        "-isystem/opt/x/include",
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
        "1/2 n/a w/o 2024/11/26 3D/2D -1/2 -and/or -x/y/z train/data ./data ../scratch data/ /vsi_bench",
        "[a](docs/vlm3.md) [b](../x/y.md) [c](/facebook/VLM3-4B) [d](#data)",
        '<a href="/facebook/x/y"> <img src="/a/b.png">',
        "// a comment; a // b; x//y/z; s//a/b; //cdn.example.org/x.js; https://a.b//home/x",
        r"$a/b$ $\frac{1}{2}$ $N/2$ $RGB/D$ $HWC/2$ $\mathbb{R}^{H/4 \times W/4}$ $5/month",
        r"f:\mathbb{R}^n \to f:\Omega\to\R",
        r"f:\Omega \to X; a \\ b \\ \hline; 100%/50% %Y-%m-%d %d%/x 5%-10% ${x} $x",
        "from igep.trainers.data import x; git@github.com:user/repo.git; text/x-python; POST /v1/chat/completions",
        "https://people.example.org/~me/paper.pdf ~5/6 of it, ~10/s; GET /gradio_api/call/answer",
        "{'$ref': '#/$defs/Box'}",
        "#!/usr/bin/env python\n#!/bin/bash\n2>/dev/null --video /path/to/your/video.mp4 /path/to/it. /your/scans",
        r"$T:\Omega\times\Omega$ \(f:\omega\) $$p:\alpha,\beta$$",
    ],
)
def test_nothing_else_is_a_path(text):
    assert find_local_path(text) is None


def test_what_ships_with_a_model_holds_none():
    for file in [*PACKAGE.glob("*.py"), *(PACKAGE / "trainers" / "tiny_base").glob("*.j*")]:
        if file.name != "tokenizer.json":
            assert find_local_path(file.read_text(encoding="utf-8")) is None, file.name


@pytest.mark.parametrize("path", ["//server/share", "//nas.local/share/scans", "//10.0.0.2/scans"])
def test_a_share_is_found_but_no_address(path):
    for around in ("{}", "see {}", "(read from '{}')", "path={}"):
        assert path in find_local_path(around.format(path))
    assert is_local_path(path)
    assert last_name(path) == path.split("/")[-1]
    assert find_local_path(f"https:{path}") is None


def test_a_link_to_a_known_root_is_one():
    assert find_local_path("[scan](/nfs/x/y.ply)") == "/nfs/x/y.ply"
    assert find_local_path("![](/home/me/a.png)") == "/home/me/a.png"


@pytest.mark.parametrize(
    "piece",
    [
        "/a",
        "/a/",
        "//a",
        "-I/a/",
        "$HOME/",
        "%aaa%",
        "\\\\a",
        "${a",
        "a:\\",
        "/home/",
        " /a b",
        "~/",
        "${a:-",
        "x:\\{",
        "${a.",
    ],
)
def test_no_text_takes_long(piece):
    assert grows_linearly(find_local_path, piece)


def test_a_path_that_only_begins_as_everybodys_is_one():
    for path in ("/path/tom/x", "/bin/bashful/x", "/dev/nullify/x", "/path/to/it /nfs/x", "#!/nfs/me/bin/python"):
        assert find_local_path(path) == path.removeprefix("/path/to/it ").removeprefix("#!")


def test_recipes_are_shared_without_them():
    recipe = {
        "note": "C:\\Users\\me\\scans",
        "dataset_path": "\\\\server\\share\\flats",
        "other": "file:///nfs/x/rooms",
        "teacher": "$HOME/models/depth",
    }
    shared = {"note": "scans", "dataset_path": "flats", "other": "rooms", "teacher": "depth"}
    assert shared_recipe(recipe) == shared
