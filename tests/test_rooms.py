"""The house: no circle, and what only one room may know is known in no other, also not in one that is to come."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parent.parent
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
ONLY = {contract["name"]: contract for contract in CONTRACTS if contract["type"] == "only"}


def circle(graph: grimp.ImportGraph) -> list[str]:
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_module_imports_itself_by_way_of_others_not_even_for_types() -> None:
    assert circle(grimp.build_graph("totango_sdk", cache_dir=None)) == []


def test_a_circle_would_be_found() -> None:
    graph = grimp.build_graph("totango_sdk", cache_dir=None)
    graph.add_import(importer="totango_sdk.errors", imported="totango_sdk.client")
    assert "totango_sdk.client" in circle(graph)


def test_only_the_wire_spells_the_names_of_the_wire() -> None:
    package = ROOT / "totango_sdk"
    wire = (package / "wire.py", package / "wire")
    spelling = [path for path in package.rglob("*.py") if "sdr_" in path.read_text()]
    assert spelling
    assert [path for path in spelling if path not in wire and wire[1] not in path.parents] == []


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package and of what is said of it, with a new module in each of two places."""
    copy = tmp_path_factory.mktemp("house")
    for name in ("totango_sdk", "scripts"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    forbidden = [name for contract in ONLY.values() for name in contract["know"]]
    runs = "".join(f"import {name}\n" for name in forbidden[::2])
    types = "".join(f"    import {name}\n" for name in forbidden[1::2])
    text = f"from typing import TYPE_CHECKING\n{runs}if TYPE_CHECKING:\n{types}"
    (copy / "totango_sdk" / "newcomer.py").write_text(text)
    (copy / "totango_sdk" / "delivery" / "newcomer.py").write_text(text)
    return copy


@pytest.mark.parametrize("name", ONLY)
def test_what_only_one_room_may_know_is_refused_in_a_new_module(name: str, house: Path) -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-logo", "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(house)}
    ended = subprocess.run(command, cwd=house, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended.stderr
    assert f"{name} BROKEN" in ended.stdout
    for known in ONLY[name]["know"]:
        for place in ("totango_sdk", "totango_sdk.delivery"):
            assert f"{place}.newcomer imports {known}" in ended.stdout


def test_a_room_that_may_know_something_is_a_room_or_one_to_come() -> None:
    for contract in ONLY.values():
        assert all(room.startswith("totango_sdk.") for room in contract["rooms"])
