"""The files at the root ship inside every saved model: what they import must be there on the machine that loads it."""

import ast
import re
import sys
from pathlib import Path

import pytest
from transformers.dynamic_module_utils import get_relative_import_files

from igep.trainers.package_files import PACKAGE


SHIPPED = sorted(path.stem for path in PACKAGE.glob("*.py"))
ALLOWED_THIRD_PARTY = {"huggingface_hub", "numpy", "PIL", "torch", "transformers"}
RELATIVE_IMPORT = re.compile(r"^\s*from\s+\.(\S+)\s+import|^\s*import\s+\.(\S+)", flags=re.MULTILINE)
every_file = pytest.mark.parametrize("name", SHIPPED)


def source_of(name):
    return (PACKAGE / f"{name}.py").read_text(encoding="utf-8")


def imports_of(name):
    return [node for node in ast.walk(ast.parse(source_of(name))) if isinstance(node, ast.Import | ast.ImportFrom)]


def test_the_model_ships():
    assert {"configuration_igep", "modeling_igep", "processing_igep", "dense_prediction", "camera_geometry"} <= set(
        SHIPPED
    )


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
