"""What is said to a client that is not ours: the same, without a word of Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..errors import InvalidID
from ..identity import rules, salesforce_id
from ..show import shown
from ..wire.read import parameter_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..errors import Problem


def for_others(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return problems as they are told to whoever writes requests, and not calls of this SDK."""
    return tuple(_reworded(problem) for problem in problems)


def _reworded(problem: Problem) -> Problem:
    reword = _WORDINGS.get(problem.rule)
    message = None if reword is None else reword(problem)
    return problem if message is None else attrs.evolve(problem, message=message)


def _missing_id(problem: Problem) -> str:
    name = parameter_name(problem.field)
    return f"the {problem.field}'s ID is missing: send it as the parameter {name}"


def _missing_text(problem: Problem) -> str:
    name = parameter_name(problem.field)
    example = {"activity": "Login", "module": "Billing"}.get(problem.field, "App")
    return (
        f"the {problem.field} is missing: send it as the parameter {name}, as in {name}={example}"
    )


def _salesforce(problem: Problem) -> str | None:
    try:
        whole = salesforce_id(problem.value)
    except InvalidID:
        return None
    return (
        f"{shown(problem.value)} looks like a Salesforce ID of 15 characters; Totango stores "
        "foreign keys in lower case, so it can be mistaken for another account's. Send all 18: "
        f"{shown(whole)}"
    )


def _reserved(problem: Problem) -> str:
    name = problem.field.partition(".")[2]
    return f"the name {shown(name)} is Totango's own, so no attribute may have it. Use another"


_WORDINGS: dict[str, Callable[[Problem], str | None]] = {
    rules.ID_MISSING.name: _missing_id,
    rules.TEXT_MISSING.name: _missing_text,
    rules.SALESFORCE_FORM.name: _salesforce,
    rules.NAME_RESERVED.name: _reserved,
}
