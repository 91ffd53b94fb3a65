"""Blind mutations: small changes of a syntax tree, each of which ought to be noticed."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}


@dataclass(frozen=True)
class Site:
    """One mutation of one place.

    Attributes:
        function: qualified name of the function it lies in.
        change: what is changed into what.
        occurrence: which of equal changes within the function, from 0.
        index: number of the node in a walk over the tree.
        kind: the operator.
    """

    function: str
    change: str
    occurrence: int
    index: int
    kind: str

    def __str__(self) -> str:
        number = f" #{self.occurrence}" if self.occurrence else ""
        return f"{self.function}: {self.change}{number}"

    def apply(self, source: str) -> ast.Module:
        """Return the syntax tree of the source with this mutation."""
        tree = ast.parse(source)
        node = list(ast.walk(tree))[self.index]
        _mutate(tree, node, self.kind)
        return ast.fix_missing_locations(tree)


def sites(source: str) -> list[Site]:
    """Return every mutation of a module's functions; signatures, docstrings and raised errors are left alone."""
    tree = ast.parse(source)
    numbers = {id(node): number for number, node in enumerate(ast.walk(tree))}
    found: list[Site] = []
    seen: dict[tuple[str, str], int] = {}
    for function, node in _nodes(tree, ""):
        for kind, changed in _kinds(node):
            change = f"{kind} | {_short(node)} -> {changed}"
            occurrence = seen.get((function, change), 0)
            seen[function, change] = occurrence + 1
            found.append(Site(function, change, occurrence, numbers[id(node)], kind))
    return found


def _short(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 90 else f"{text[:87]}..."


def _nodes(tree: ast.AST, name: str, inside: bool = False) -> Iterator[tuple[str, ast.AST]]:
    for child in ast.iter_child_nodes(tree):
        if isinstance(tree, ast.AnnAssign) and child is tree.annotation:
            continue
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            qualified = f"{name}.{child.name}" if name else child.name
            if isinstance(child, ast.ClassDef):
                yield from _nodes(child, qualified)
                continue
            for statement in child.body:
                if not _is_docstring(statement):
                    yield qualified, statement
                    yield from _nodes(statement, qualified, inside=True)
        elif isinstance(child, ast.Raise):
            yield name, child
        elif inside and isinstance(child, ast.expr | ast.stmt | ast.comprehension | ast.ExceptHandler | ast.keyword):
            yield name, child
            yield from _nodes(child, name, inside=True)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _kinds(node: ast.AST) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARISONS:
        yield "comparison", _COMPARISONS[type(node.ops[0])].__name__
    if isinstance(node, ast.Compare) and len(node.ops) > 1:
        yield "first comparison", _COMPARISONS[type(node.ops[0])].__name__
    if isinstance(node, ast.BoolOp):
        yield "and/or", "or" if isinstance(node.op, ast.And) else "and"
        for number in range(len(node.values)):
            yield f"operand {number} dropped", f"without {_short(node.values[number])}"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield "unary dropped", _short(node.operand)
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        yield "arithmetic", _ARITHMETIC[type(node.op)].__name__
    if isinstance(node, ast.If | ast.IfExp):
        yield "always", "True"
        yield "never", "False"
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield "boolean", str(not node.value)
        elif isinstance(node.value, int):
            yield "number", str(node.value + 1)
    if isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield "returns None", "None"
    if isinstance(node, ast.comprehension) and node.ifs:
        yield "filter dropped", "no filter"
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await):
        yield "statement dropped", "pass"
    if isinstance(node, ast.Delete | ast.AugAssign | ast.Raise | ast.Break | ast.Continue):
        yield "statement dropped", "pass"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("min", "max"):
        yield "min/max", "max" if node.func.id == "min" else "min"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "sorted":
        yield "unsorted", "list"


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _mutate(tree: ast.Module, node: ast.AST, kind: str) -> None:
    if kind in ("comparison", "first comparison"):
        assert isinstance(node, ast.Compare)
        node.ops[0] = _COMPARISONS[type(node.ops[0])]()
    elif kind == "and/or":
        assert isinstance(node, ast.BoolOp)
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    elif kind.startswith("operand"):
        assert isinstance(node, ast.BoolOp)
        del node.values[int(kind.split()[1])]
        if len(node.values) == 1:
            _replace(tree, node, node.values[0])
    elif kind == "unary dropped":
        assert isinstance(node, ast.UnaryOp)
        _replace(tree, node, node.operand)
    elif kind == "arithmetic":
        assert isinstance(node, ast.BinOp)
        node.op = _ARITHMETIC[type(node.op)]()
    elif kind in ("always", "never"):
        assert isinstance(node, ast.If | ast.IfExp)
        node.test = ast.Constant(kind == "always")
    elif kind == "boolean":
        assert isinstance(node, ast.Constant)
        node.value = not node.value
    elif kind == "number":
        assert isinstance(node, ast.Constant)
        assert isinstance(node.value, int)
        node.value += 1
    elif kind == "returns None":
        assert isinstance(node, ast.Return)
        node.value = ast.Constant(None)
    elif kind == "filter dropped":
        assert isinstance(node, ast.comprehension)
        node.ifs = []
    elif kind == "statement dropped":
        _replace(tree, node, ast.Pass())
    elif kind in ("min/max", "unsorted"):
        assert isinstance(node, ast.Call)
        assert isinstance(node.func, ast.Name)
        node.func.id = {"min": "max", "max": "min", "sorted": "list"}[node.func.id]
        node.keywords = [] if kind == "unsorted" else node.keywords


def _replace(tree: ast.Module, old: ast.AST, new: ast.AST) -> None:
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, name, copy.copy(new))
                return
            if isinstance(value, list) and any(item is old for item in value):
                value[[item is old for item in value].index(True)] = copy.copy(new)
                return
