"""The files at the root ship inside every saved model: what they import must be there on the machine that loads it."""

import ast
import re
import sys
from pathlib import Path

import pytest
from transformers.dynamic_module_utils import get_relative_import_files

from igep.processing_igep import CODE as PROCESSOR_CODE
from igep.trainers.package_files import PACKAGE
from igep.trainers.publishing.shipped_code import AUTO_MAPS, code_of, shipped_code


AT_THE_ROOT = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
SHIPPED = sorted(name.removesuffix(".py") for name in AT_THE_ROOT)
ALLOWED_THIRD_PARTY = {"huggingface_hub", "numpy", "PIL", "torch", "transformers"}
DOCUMENTED = {  # what transformers documents as its interface; everything else of it may move
    "transformers.configuration_utils": {"SubConfigSpec"},
    "transformers.utils": {"ModelOutput", "logging"},
}
RELATIVE_IMPORT = re.compile(r"^\s*from\s+\.(\S+)\s+import|^\s*import\s+\.(\S+)", flags=re.MULTILINE)
every_file = pytest.mark.parametrize("name", SHIPPED)


def source_of(name):
    return (PACKAGE / f"{name}.py").read_text(encoding="utf-8")


def imports_of(name):
    return [node for node in ast.walk(ast.parse(source_of(name))) if isinstance(node, ast.Import | ast.ImportFrom)]


def test_the_root_is_what_ships():
    """Run with `-s` it prints which file ships with which model."""
    ships = shipped_code()
    for name in sorted(AT_THE_ROOT):
        models = [model for model, files in ships.items() if name in files]
        print(f"{name:26} {', '.join(models)}")  # noqa: T201
    assert {name for files in ships.values() for name in files} == AT_THE_ROOT


@pytest.mark.parametrize("auto_map", AUTO_MAPS.values(), ids=AUTO_MAPS)
def test_the_classes_of_an_auto_map_exist(auto_map):
    assert set(auto_map) == {"AutoConfig", "AutoModel", "AutoModelForImageTextToText", "AutoProcessor"}
    for reference in auto_map.values():
        file, class_name = reference.split(".")
        assert f"class {class_name}(" in source_of(file)


def test_a_processor_saved_alone_brings_all_of_its_code():
    assert set(PROCESSOR_CODE) == set(code_of({"AutoProcessor": "processing_igep.IGEPProcessor"}))


def test_the_code_of_an_auto_map_is_followed_through_imports(monkeypatch, tmp_path):
    monkeypatch.setattr("igep.trainers.publishing.shipped_code.PACKAGE", tmp_path)
    for name, imported in {"a": "b", "b": "c", "c": "", "d": "", "alone": ""}.items():
        (tmp_path / f"{name}.py").write_text(f"from .{imported} import x\n" if imported else "x = 1\n")
    assert code_of({"AutoConfig": "a.A", "AutoModel": "d.D"}) == ("a.py", "b.py", "c.py", "d.py")


@every_file
def test_what_transformers_reads_as_a_relative_import_is_a_sibling(name):
    """transformers searches the text, docstrings included, and copies exactly what it finds."""
    found = {first or second for first, second in RELATIVE_IMPORT.findall(source_of(name))}
    assert found <= set(SHIPPED)
    assert all(Path(file).parent == PACKAGE for file in get_relative_import_files(PACKAGE / f"{name}.py"))


@every_file
def test_relative_imports_name_a_sibling(name):
    """`from . import x` and `from ..x import y` load here but are never copied."""
    relative = [node for node in imports_of(name) if isinstance(node, ast.ImportFrom) and node.level]
    assert all(node.level == 1 and node.module in SHIPPED for node in relative)


@every_file
def test_only_allowed_third_party_imports(name):
    absolute = {
        alias.name.split(".")[0] for node in imports_of(name) if isinstance(node, ast.Import) for alias in node.names
    }
    absolute |= {
        node.module.split(".")[0] for node in imports_of(name) if isinstance(node, ast.ImportFrom) and node.level == 0
    }
    assert absolute - set(sys.stdlib_module_names) <= ALLOWED_THIRD_PARTY
    assert (
        "__future__" not in absolute
    )  # it turns `config: IGEPConfig` into a string, which transformers takes as a class


@every_file
def test_of_transformers_only_what_it_documents(name):
    """A published model must still load when transformers moves its helpers."""
    for node in imports_of(name):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module]
        for module in modules:
            if module.split(".")[0] == "transformers" and module != "transformers":
                assert {alias.name for alias in node.names} <= DOCUMENTED.get(module, set()), ast.unparse(node)


@every_file
def test_nobody_elses_private_names(name):
    """Names with an underscore are read of `self` and `cls` alone, and imported from nowhere."""
    tree = ast.parse(source_of(name))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.endswith("__"):
            assert isinstance(node.value, ast.Name), ast.unparse(node)
            assert node.value.id in ("self", "cls"), ast.unparse(node)
    assert not [alias.name for node in imports_of(name) for alias in node.names if alias.name.startswith("_")]


@every_file
def test_imports_are_at_the_top(name):
    """Third-party imports inside functions are checked, and required, when the file is loaded as remote code."""
    body = ast.parse(source_of(name)).body
    assert len(imports_of(name)) == sum(isinstance(node, ast.Import | ast.ImportFrom) for node in body)


@every_file
def test_no_class_of_ours_is_compared_by_identity(name):
    """Loaded from a folder, the configuration and the model come from two copies of the same file."""
    for node in ast.walk(ast.parse(source_of(name))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("isinstance", "issubclass")
        ):
            assert not re.search(r"\b(IGEP|VidLLM)", ast.unparse(node.args[1])), ast.unparse(node)


@every_file
def test_no_import_has_side_effects(name):
    """Only definitions, constants and the registration of the Auto class at module level."""
    allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    for node in ast.parse(source_of(name)).body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_registration = isinstance(node, ast.Expr) and ".register_for_auto_class(" in ast.unparse(node)
        assert isinstance(node, allowed) or is_docstring or is_registration, ast.unparse(node)


@every_file
def test_size(name):
    limit = 800 if name.startswith("modeling_") else 500
    assert len(source_of(name).splitlines()) <= limit
