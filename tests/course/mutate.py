"""Mutants of a function: systematic small changes of its source, such as ``-`` for ``+``."""

import ast
import copy
from collections.abc import Iterator

OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


def instead_of(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that may replace a node."""
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in OPERATORS:
        yield _with(node, op=OPERATORS[type(node.op)]())
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub | ast.Div | ast.MatMult):
        yield _with(node, left=node.right, right=node.left)
    if isinstance(node, ast.Compare) and type(node.ops[0]) in OPERATORS:
        yield _with(node, ops=[OPERATORS[type(node.ops[0])]()])
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield ast.Constant(not node.value)
        elif isinstance(node.value, int | float):  # an axis is such a number, too
            yield ast.Constant(node.value + 1)
            yield ast.Constant(node.value - 1)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield node.operand
    if isinstance(node, ast.Call):
        if len(node.args) > 1:
            first, second, *rest = node.args
            yield _with(node, args=[second, first, *rest])
        for i in range(len(node.keywords)):
            yield _with(node, keywords=node.keywords[:i] + node.keywords[i + 1 :])
        if isinstance(node.func, ast.Attribute):
            yield node.func.value  # x.softmax(-1) -> x
    if isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load) and len(node.elts) > 1:
        first, second, *rest = node.elts
        yield _with(node, elts=[second, first, *rest])
    is_words = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    if isinstance(node, ast.stmt) and not is_words and not isinstance(node, ast.FunctionDef):
        yield ast.Pass()


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def mutants(source: str) -> list[str]:
    """Every mutant of this source, each with one change, none twice."""
    tree = ast.parse(source)
    found: dict[str, None] = {}
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            nodes = value if isinstance(value, list) else [value]
            for place, node in enumerate(nodes):
                for other in instead_of(node):
                    changed = [*nodes[:place], other, *nodes[place + 1 :]]
                    setattr(parent, name, changed if isinstance(value, list) else other)
                    found[ast.unparse(ast.fix_missing_locations(tree))] = None
            setattr(parent, name, value)
    found.pop(ast.unparse(tree), None)
    return list(found)


def changed_line(source: str, mutant: str) -> str:
    """The first line of a mutant that the source does not have there."""
    lines = ast.unparse(ast.parse(source)).splitlines()
    others = mutant.splitlines()
    return next((b.strip() for a, b in zip(lines, others, strict=False) if a != b), "a line less")
