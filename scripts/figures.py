"""Measure how the code reads: python scripts/figures.py [TREE...], each a checkout; else this one.

A function's length is its lines of code: without its docstring, blank lines and comments, and
without what is defined within it. A branch is an `if`, a loop, an `except`, a `case`, a
conditional expression, a filter of a comprehension, and each further operand of `and` and `or`.
"""

from __future__ import annotations

import ast
import io
import math
import statistics
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef
BRANCHES = (
    *(ast.If, ast.For, ast.AsyncFor, ast.While),
    *(ast.ExceptHandler, ast.match_case, ast.IfExp),
)
MANY_BRANCHES = 10
NO_CODE = (
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE),
    *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
)


class Module:
    """One file, and what is counted in it."""

    def __init__(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        self.lines = text.splitlines()
        self._tree = ast.parse(text)
        self._code = lines_of_code(text)
        self.functions = [each for each in ast.walk(self._tree) if isinstance(each, Function)]
        self.conditionals = [each for each in ast.walk(self._tree) if isinstance(each, ast.IfExp)]

    def length(self, function: Function) -> int:
        lines = self._code & span(function)
        if ast.get_docstring(function) is not None:
            lines -= span(function.body[0])
        for inner in within(function):
            if isinstance(inner, Function):
                lines -= span(inner)
        return len(lines)


def lines_of_code(text: str) -> set[int]:
    """Return the numbers of the lines that hold more than a comment."""
    found: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NO_CODE:
            found.update(range(token.start[0], token.end[0] + 1))
    return found


def span(node: ast.stmt) -> set[int]:
    return set(range(node.lineno, (node.end_lineno or node.lineno) + 1))


def within(function: Function) -> Iterator[ast.AST]:
    """All that stands in a function; of a function within it, only that there is one."""
    waiting: list[ast.AST] = list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, Function):
            waiting.extend(ast.iter_child_nodes(node))


def branches(function: Function) -> int:
    count = 0
    for node in within(function):
        if isinstance(node, BRANCHES):
            count += 1
        elif isinstance(node, ast.BoolOp):
            count += len(node.values) - 1
        elif isinstance(node, ast.comprehension):
            count += len(node.ifs)
    return count


def is_nested(conditional: ast.IfExp) -> bool:
    """Whether another conditional expression stands within this one."""
    return any(
        isinstance(each, ast.IfExp) for each in ast.walk(conditional) if each is not conditional
    )


def ninetieth(values: list[int]) -> int:
    return sorted(values)[math.ceil(len(values) * 0.9) - 1]


def figures(tree: Path) -> dict[str, str]:
    """Return the figures of the package in a checkout, each with its name."""
    modules = [Module(path) for path in sorted((tree / "totango_sdk").rglob("*.py"))]
    functions = [each for module in modules for each in module.functions]
    lengths = [module.length(each) for module in modules for each in module.functions]
    filled = [len(line) for module in modules for line in module.lines if line.strip()]
    conditionals = [each for module in modules for each in module.conditionals]
    return {
        "modules": f"{len(modules)}",
        "lines": f"{sum(len(module.lines) for module in modules):,}",
        "lines of the longest module": f"{max(len(module.lines) for module in modules)}",
        "functions": f"{len(functions):,}",
        "lines of a function, median": f"{statistics.median(lengths):g}",
        "lines of a function, p90": f"{ninetieth(lengths)}",
        "lines of a function, longest": f"{max(lengths)}",
        "characters a line that is not blank": f"{statistics.mean(filled):.1f}",
        "conditional expressions for 100 functions": f"{100 * len(conditionals) / len(functions):.1f}",
        "conditional expressions with another within": f"{sum(map(is_nested, conditionals))}",
        f"functions with {MANY_BRANCHES} branches or more": f"{many_branches(functions)}",
    }


def many_branches(functions: list[Function]) -> int:
    return sum(branches(each) >= MANY_BRANCHES for each in functions)


def main(arguments: list[str]) -> None:
    trees = [Path(each) for each in arguments] or [Path(__file__).parent.parent]
    columns = [figures(tree) for tree in trees]
    print(f"| | {' | '.join(tree.resolve().name for tree in trees)} |")
    print("| --- " * (len(trees) + 1) + "|")
    for name in columns[0]:
        print(f"| {name} | {' | '.join(column[name] for column in columns)} |")


if __name__ == "__main__":
    main(sys.argv[1:])
