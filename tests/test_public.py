from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import grimp
import pytest

import totango_sdk

ROOT = Path(__file__).parent.parent
PACKAGE = Path(totango_sdk.__file__).parent
TYPING = Path(__file__).parent / "typing"


def test_all_is_exactly_the_public_names_in_order() -> None:
    public = {
        name
        for name, value in vars(totango_sdk).items()
        if not name.startswith("_") and not isinstance(value, ModuleType) and name not in ("TYPE_CHECKING", "late")
    }
    late = {"Answer", "AsyncTotango", "DeadLetter", "MemorySpool", "Spool", "Stats", "Transport"}
    assert set(totango_sdk.__all__) == public | late | {"__version__"}
    assert list(totango_sdk.__all__) == sorted(totango_sdk.__all__)


def test_all_public_names_are_there_also_those_that_are_loaded_with_their_first_use() -> None:
    code = (
        "from totango_sdk import *; import totango_sdk;"
        "assert all(globals()[name] is getattr(totango_sdk, name) for name in totango_sdk.__all__);"
        "assert set(totango_sdk.__all__) <= set(dir(totango_sdk))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_is_not_there_is_told_by_python_and_by_mypy() -> None:
    with pytest.raises(AttributeError, match="module 'totango_sdk' has no attribute 'Nothing'"):
        totango_sdk.Nothing  # type: ignore[attr-defined]


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()


def test_only_the_wire_spells_the_parameters() -> None:
    spelled = [path for path in PACKAGE.rglob("*.py") if re.search(r"\bsdr_", path.read_text(encoding="utf-8"))]
    assert {path.parent.name for path in spelled} == {"wire"}


def test_no_module_breaks_the_layers() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_no_import_goes_in_a_circle_not_even_one_for_types_only() -> None:
    graph = grimp.build_graph("totango_sdk", cache_dir=None)
    left = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    while done := [module for module, imported in left.items() if not imported & left.keys()]:
        for module in done:
            del left[module]
    assert left == {}, "these import each other"


def mypy(*paths: Path) -> list[str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context"]
    config = ["--config-file=", "--cache-dir", str(ROOT / ".mypy_cache" / "typing"), "--follow-imports=silent"]
    ended = subprocess.run(
        [*command, *config, *map(str, paths)], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert not ended.stderr, ended.stderr
    return [line for line in ended.stdout.splitlines() if ": note: " not in line]


def test_what_a_host_writes_type_checks() -> None:
    assert mypy(TYPING / "right.py") == []


def test_what_a_host_must_not_write_does_not_type_check() -> None:
    path = TYPING / "wrong.py"
    expected = {
        (number, found[1])
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (found := re.search(r"# \[([a-z-]+)\]$", line))
    }
    found = {
        (int(told[1]), told[2])
        for line in mypy(path)
        if (told := re.search(r"wrong\.py:(\d+): error: .*\[([a-z-]+)\]$", line))
    }
    assert found == expected
    assert "type: " + "ignore" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", totango_sdk.__all__)
def test_every_public_name_says_what_it_is(name: str) -> None:
    thing = getattr(totango_sdk, name)
    assert isinstance(thing, str) or thing.__doc__


def test_no_conditional_expression_stands_within_another() -> None:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.IfExp):
                inner = [each for child in ast.iter_child_nodes(node) for each in ast.walk(child)]
                assert not any(isinstance(each, ast.IfExp) for each in inner), f"{path}:{node.lineno}"
