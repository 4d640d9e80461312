"""Imports point one way: every import statement of the source is read, those inside functions included."""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import PurePosixPath
from typing import NamedTuple

import pytest

from igep.trainers import cli
from igep.trainers.package_files import PACKAGE


# Each room imports from itself and from the rooms above its line. A root file ships inside models, where there are no
# rooms.
ORDER = (
    ("root",),
    ("geometry",),
    ("data/scenes",),
    ("data/rooms", "data/vlm3"),
    ("data",),
    ("metrics", "supervision"),
    ("cards",),
    ("loop",),
    ("evaluation",),
    ("evaluation/benchmarks",),
    ("scoring",),
    ("publishing",),
    ("scene_check",),
    ("trainers", "commands"),
    ("launchers",),
    ("experiments",),
)
ROOMS = [room for line in ORDER for room in line]
MAY_IMPORT = {
    room: {room, "package_files"}.union(*ORDER[:number]) - {"launchers"}
    for number, line in enumerate(ORDER)
    for room in line
} | {
    "root": {"root"},
    "package_files": set(),
    # Pure functions of tensors and text: what a row is, they do not know.
    "metrics": {"metrics", "root", "geometry", "package_files"},
    "supervision": {"supervision", "root", "geometry", "package_files"},
    # A launcher imports no launcher, and none is imported but by an experiment.
    "launchers": set(ROOMS) - {"launchers", "experiments"} | {"package_files"},
    "experiments": {*ROOMS, "package_files"},
    # Scripts of the repository, which are not installed.
    "benchmarks": set(ROOMS) - {"launchers", "experiments"} | {"package_files", "benchmarks/models"},
    "benchmarks/models": {"root"},
    "spaces": set(ROOMS) - {"launchers", "experiments"} | {"package_files"},
    # It is uploaded alone.
    "spaces/scene_qa": set(),
}
# Rooms whose rule is narrower than their place in the order: files of which no name is imported.
METHOD_FILES = ("modeling_", "configuration_", "processing_")
NO_FILE = {
    **dict.fromkeys(("data", "data/scenes", "data/rooms", "data/vlm3", "metrics"), ("modeling_",)),
    "loop": METHOD_FILES,
}
NO_ROOM = {"loop": {"supervision", "metrics"}}

SOURCES = {
    path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8")
    for folder, pattern in ((".", "*.py"), ("trainers", "**/*.py"), ("benchmarks", "**/*.py"), ("spaces", "**/*.py"))
    for path in sorted((PACKAGE / folder).glob(pattern))
}


class Import(NamedTuple):
    """One name that a file imports from a file of ours."""

    line: int
    target: str
    name: str


@cache
def nodes(text: str, *kinds: type[ast.AST]) -> list[ast.AST]:
    """All parts of a file that are of some kinds."""
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]


@cache
def is_launched(text: str) -> bool:
    return any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in ast.parse(text).body)


def room_of(file: str, sources: dict[str, str]) -> str:
    """The room of a source file, by its folder; of the files in `trainers/` itself, by whether one launches them."""
    if file == "trainers/package_files.py":
        return "package_files"
    folder = PurePosixPath(file).parent.as_posix()
    if folder == "trainers":
        return "launchers" if is_launched(sources[file]) else "trainers"
    return "root" if folder == "." else folder.removeprefix("trainers/")


def imports(file: str, sources: dict[str, str]) -> list[Import]:
    """What a file imports from files of ours; the name is empty where a whole file is imported."""
    found = []
    for node in nodes(sources[file], ast.Import, ast.ImportFrom):
        if isinstance(node, ast.Import):
            found += [Import(node.lineno, _file(alias.name, sources), "") for alias in node.names if _ours(alias.name)]
        else:
            above = [] if node.level == 0 else ["igep", *PurePosixPath(file).parts[:-1]][: -(node.level - 1) or None]
            module = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names if _ours(module) else []:
                whole = _file(f"{module}.{alias.name}", sources)
                found.append(
                    Import(node.lineno, whole, "")
                    if whole
                    else Import(node.lineno, _file(module, sources), alias.name)
                )
    return found


def _ours(module: str) -> bool:
    return module.split(".")[0] == "igep"


def _file(module: str, sources: dict[str, str]) -> str:
    """The file of a module; empty if there is none."""
    parts = module.split(".")[1:]
    file = "/".join(parts) + ".py" if parts else "__init__.py"
    return file if file in sources else ""


def dataset_classes(sources: dict[str, str]) -> set[tuple[str, str]]:
    """Every class of rows by its file: those on torch's `Dataset`, and those on one of ours."""
    classes = [(file, node) for file, text in sources.items() for node in nodes(text, ast.ClassDef)]
    found: set[tuple[str, str]] = set()
    while True:
        names = {name for _, name in found} | {"torch.utils.data.Dataset"}
        more = {(file, node.name) for file, node in classes if names & {ast.unparse(base) for base in node.bases}}
        if more == found:
            return found
        found = more


def violations(sources: dict[str, str]) -> list[str]:
    """What breaks the rules, a line each."""
    datasets = dataset_classes(sources)
    found = []
    for file in sources:
        room = room_of(file, sources)
        if room not in MAY_IMPORT:
            found.append(f"{file}: {room} is no room: give it a place in ORDER")
            continue
        for line, target, name in imports(file, sources):
            where = f"{file}:{line} imports {f'{name} of ' if name else ''}{target or 'what is no file'}"
            stem = PurePosixPath(target).name
            if not target:
                found.append(where)
                continue
            other = room_of(target, sources)
            if other not in MAY_IMPORT[room] or other in NO_ROOM.get(room, ()):
                found.append(f"{where}: {room} does not import {other}")
            elif stem.startswith(NO_FILE.get(room, ("-",))):
                found.append(f"{where}: {room} knows no {stem.split('_')[0]} file")
            elif room == "cards" and (target, name) in datasets:
                found.append(f"{where}: cards know no dataset class, they ask rows for what they are")
    return found


def hidden_imports(sources: dict[str, str]) -> list[str]:
    """Calls that import what no statement names."""
    return [
        f"{file}:{node.lineno} calls {ast.unparse(node.func)}"
        for file, text in sources.items()
        for node in nodes(text, ast.Call)
        if ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__")
    ]


def relative_imports(sources: dict[str, str]) -> list[str]:
    """Relative imports outside the root: only files that ship together name each other so."""
    return [
        f"{file}:{node.lineno}"
        for file, text in sources.items()
        if "/" in file
        for node in nodes(text, ast.ImportFrom)
        if node.level
    ]


def cycle(sources: dict[str, str]) -> list[str]:
    """Files that import each other in a circle; empty if there are none."""
    graph = {file: {one.target for one in imports(file, sources) if one.target} for file in sources}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_every_source_file_is_read():
    assert {"modeling_igep.py", "trainers/sft.py", "trainers/data/scenes/spatial_example.py"} <= SOURCES.keys()
    assert sum(len(imports(file, SOURCES)) for file in SOURCES) > 300


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_only_what_stands_before_it(room):
    found = [line for line in violations(SOURCES) if room_of(line.split(":")[0], SOURCES) == room]
    assert not found, "\n" + "\n".join(found)


def test_every_folder_is_a_room():
    folders = {room_of(file, SOURCES) for file in SOURCES}
    assert folders <= MAY_IMPORT.keys()


def test_no_files_import_each_other():
    assert cycle(SOURCES) == []


def test_imports_of_ours_are_absolute_but_in_files_that_ship():
    assert relative_imports(SOURCES) == []


def test_only_the_igep_command_imports_by_name():
    """It is a launcher that names launchers and experiments: those alone, and commands."""
    assert [line.split(":")[0] for line in hidden_imports(SOURCES)] == ["trainers/cli.py"]
    named = {f"trainers/{module.replace('.', '/')}.py" for module, _ in cli.ALL.values()}
    assert {room_of(file, SOURCES) for file in named} == {"launchers", "commands", "experiments"}


def test_tests_lie_in_the_folders_of_their_sources():
    tests = PACKAGE / "tests"
    lost = [
        path.relative_to(PACKAGE).as_posix()
        for path in tests.rglob("test_*.py")
        if not list((PACKAGE / path.parent.relative_to(tests)).glob("*.py"))
    ]
    assert lost == []


# ---- These rules can fail


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("new.py", "from .trainers.sft_config import IGEPSFTConfig", "root does not import trainers"),
        ("trainers/package_files.py", "import igep.modeling_igep", "package_files does not import root"),
        ("trainers/geometry/new.py", "from igep.trainers.data import collator", "geometry does not import data"),
        ("trainers/data/scenes/new.py", "import igep.trainers.data.collator", "data/scenes does not import data"),
        (
            "trainers/data/rooms/new.py",
            "from igep.trainers.data.vlm3.vlm3_options import X",
            "data/rooms does not import data/vlm3",
        ),
        ("trainers/data/new.py", "from igep.modeling_igep import X", "data knows no modeling file"),
        ("trainers/data/new.py", "from igep.trainers.cards.usage import X", "data does not import cards"),
        (
            "trainers/metrics/new.py",
            "def f():\n    from igep.trainers.data.collator import X",
            ":2 imports X of trainers/data/collator.py: metrics does not import data",
        ),
        (
            "trainers/supervision/new.py",
            "from igep.trainers.data.scenes.spatial_example import X",
            "supervision does not import data/scenes",
        ),
        ("trainers/cards/new.py", "from igep.trainers.sft_config import X", "cards does not import trainers"),
        (
            "trainers/cards/new.py",
            "from igep.trainers.data.vlm3.vlm3_dataset import VLM3Dataset",
            "cards know no dataset class",
        ),
        ("trainers/loop/new.py", "from igep.trainers.supervision.geometry_losses import X", "loop does not import"),
        ("trainers/loop/new.py", "from igep.modeling_igep import X", "loop knows no modeling file"),
        ("trainers/evaluation/new.py", "from igep.trainers.commands.ask import ask", "evaluation does not import"),
        (
            "trainers/publishing/new.py",
            "from igep.trainers.scene_check.check_scenes import X",
            "does not import scene",
        ),
        ("trainers/commands/new.py", "from igep.trainers import sft", "commands does not import launchers"),
        ("trainers/sft_trainer.py", "from igep.trainers.commands.ask import ask", "trainers does not import commands"),
        ("trainers/new.py", "from igep.trainers import sft\ndef main(): ...", "launchers does not import launchers"),
        ("trainers/sft.py", "from igep.trainers.experiments import quickstart\ndef main(): ...", "experiments"),
        ("trainers/attic/new.py", "", "attic is no room"),
        ("trainers/data/new.py", "from igep.trainers.geometry_losses import X", "what is no file"),
        ("benchmarks/new.py", "from igep.trainers.experiments import quickstart", "benchmarks does not import"),
        ("spaces/scene_qa/new.py", "from igep.text_pixels import X", "spaces/scene_qa does not import root"),
    ],
)
def test_an_import_against_the_rules_is_found(file, text, message):
    found = [line for line in violations(SOURCES | {file: text}) if line.startswith(f"{file}:")]
    assert len(found) == 1
    assert message in found[0]


def test_a_circle_a_relative_and_a_hidden_import_are_found():
    first, second = "trainers/data/first.py", "trainers/data/second.py"
    planted = {
        first: "def f():\n    import importlib\n    return importlib.import_module('igep.trainers.data.second')",
        second: "from .first import f",
    }
    assert relative_imports(SOURCES | planted) == [f"{second}:1"]
    assert f"{first}:3 calls importlib.import_module" in hidden_imports(SOURCES | planted)
    assert not {first, second} & set(cycle(SOURCES | planted))
    planted[first] = "from igep.trainers.data.second import f"
    assert {first, second} <= set(cycle(planted))
