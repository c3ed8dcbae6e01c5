"""A contract for import-linter that says "only", and means every module, also those to come."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

import grimp
from importlinter import Contract, ContractCheck, fields, output

PACKAGE = "totango_sdk"


class OnlyContract(Contract):
    """Only `rooms` import what they `know`. Imports for types count: who names a type knows it."""

    type_name: ClassVar[str] = "only"

    rooms = fields.ListField(subfield=fields.StringField())
    know = fields.ListField(subfield=fields.StringField())

    def check(self, graph: grimp.ImportGraph, verbose: bool) -> ContractCheck:
        rooms: Any = self.rooms
        known: Any = self.know
        strangers = [
            f"{importer} imports {name}"
            for name in known
            for importer in sorted(importers(name))
            if not any(is_within(importer, room) for room in rooms)
        ]
        return ContractCheck(kept=not strangers, metadata={"strangers": strangers})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for stranger in check.metadata["strangers"]:
            output.print_error(stranger)


def importers(name: str) -> set[str]:
    """Return the modules of the package that import `name`, a package that is not ours."""
    graph = whole_graph()
    if name not in graph.modules:
        return set()
    return graph.find_modules_that_directly_import(name)


def is_within(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


@cache
def whole_graph() -> grimp.ImportGraph:
    return grimp.build_graph(PACKAGE, include_external_packages=True, cache_dir=None)
