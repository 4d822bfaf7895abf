"""Systematic small changes of a function's source: what a slip of the pen makes of a right answer."""

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
    """What may stand in the place of one node."""
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


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def mutants(source: str) -> list[str]:
    """Every mutant of this source, each with one change, none twice."""
    original = ast.unparse(ast.parse(source))
    found: dict[str, None] = {}
    count = len(list(ast.walk(ast.parse(source))))
    for number in range(count):
        node = list(ast.walk(ast.parse(source)))[number]
        for index in range(len(list(instead_of(node)))):
            tree = ast.parse(source)
            place = list(ast.walk(tree))[number]
            _put(tree, place, list(instead_of(place))[index])
            found[ast.unparse(ast.fix_missing_locations(tree))] = None
        for body in ("body", "orelse"):
            for line in range(len(getattr(node, body, []) if isinstance(getattr(node, body, None), list) else [])):
                tree = ast.parse(source)
                lines = getattr(list(ast.walk(tree))[number], body)
                is_words = isinstance(lines[line], ast.Expr) and isinstance(lines[line].value, ast.Constant)
                if is_words or isinstance(lines[line], ast.FunctionDef):
                    continue
                lines[line] = ast.Pass()
                found[ast.unparse(ast.fix_missing_locations(tree))] = None
    found.pop(original, None)
    return list(found)


def _put(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, name, new)
            elif isinstance(value, list):
                for i, one in enumerate(value):
                    if one is old:
                        value[i] = new


def changed_line(source: str, mutant: str) -> str:
    """The first line of a mutant that the source does not have there."""
    lines = ast.unparse(ast.parse(source)).splitlines()
    others = mutant.splitlines()
    return next((b.strip() for a, b in zip(lines, others, strict=False) if a != b), "a line less")
