"""Ways to write the same thing: what makes the made-up students of similarity.py differ, and hides copies.

Each rule is applied or not at each place by chance; how likely it is, is a student's habit. What comes out
would do much the same, and is not run.
"""

import ast
import builtins
import random

NAMES = ("x", "y", "val", "tmp", "out", "res", "buf", "acc", "item", "data", "mat", "vec")
WORDS = [before + name for before in ("", "my_", "new_", "cur_", "the_") for name in NAMES]
RULES = (
    *("operator", "flip", "invert", "name it", "at once", "in place", "call", "size"),
    *("softmax", "keyword", "power", "print", "text", "transpose", "negate", "float"),
)
METHODS = ("softmax", "sigmoid", "relu", "tanh", "exp")  # functions that tensors have, too


def habits(chance: random.Random) -> dict[str, float]:
    """How likely a student is to apply each rule at a place."""
    return {rule: chance.uniform(0.05, 0.95) for rule in RULES}


class Rewritten(ast.NodeTransformer):
    """Applies the rules by chance."""

    def __init__(self, chance: random.Random, habits: dict[str, float]):
        self.chance = chance
        self.habits = habits
        self.fresh = 0

    def does(self, rule: str) -> bool:
        return self.chance.random() < self.habits[rule]

    # ---- expressions ----

    def visit_BinOp(self, node):
        self.generic_visit(node)
        match node.op:
            case ast.MatMult() if self.does("operator"):
                name = self.chance.choice(["torch.matmul", "torch.bmm"])
                return call(name, node.left, node.right)
            case ast.Pow() if _is(node.right, 0.5) and self.does("power"):
                return call("math.sqrt", node.left)
            case ast.Mult() | ast.Add() if self.does("flip") and not _is_text(node):
                return ast.BinOp(node.right, node.op, node.left)
            case ast.Div() if self.does("power"):
                return ast.BinOp(node.left, ast.Mult(), ast.BinOp(ast.Constant(1), ast.Div(), node.right))
        return node

    def visit_Compare(self, node):
        self.generic_visit(node)
        swapped = {ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.GtE, ast.GtE: ast.LtE, ast.Eq: ast.Eq}
        if len(node.ops) == 1 and type(node.ops[0]) in swapped and self.does("flip"):
            return ast.Compare(node.comparators[0], [swapped[type(node.ops[0])]()], [node.left])
        opposite = {ast.Lt: ast.GtE, ast.NotEq: ast.Eq, ast.IsNot: ast.Is, ast.NotIn: ast.In}
        if len(node.ops) == 1 and type(node.ops[0]) in opposite and self.does("negate"):
            return ast.UnaryOp(
                ast.Not(), ast.Compare(node.left, [opposite[type(node.ops[0])]()], node.comparators)
            )
        return node

    def visit_Subscript(self, node):
        self.generic_visit(node)
        match node:
            case ast.Subscript(ast.Attribute(value, "shape"), ast.Constant() as index, ast.Load()):
                if self.does("size"):
                    return ast.Call(ast.Attribute(value, "size", ast.Load()), [index], [])
        return node

    def visit_Call(self, node):
        self.generic_visit(node)
        match node.func:
            case ast.Attribute(
                ast.Name("torch" | "F"), "softmax" | "sigmoid" | "relu" | "tanh" | "exp" as name
            ):
                if node.args and self.does("softmax"):
                    first, *rest = node.args
                    return ast.Call(ast.Attribute(first, name, ast.Load()), rest, node.keywords)
            case ast.Attribute(value, "transpose") if len(node.args) == 2 and self.does("transpose"):
                other = self.chance.choice(["swapaxes", "mT"])
                if other == "mT":
                    return ast.Attribute(value, "mT", ast.Load())
                return ast.Call(ast.Attribute(value, other, ast.Load()), node.args, node.keywords)
        if self.does("keyword"):
            dims = [one for one in node.keywords if one.arg == "dim"]
            if dims and len(node.keywords) == 1:
                return ast.Call(node.func, [*node.args, dims[0].value], [])
        return node

    def visit_JoinedStr(self, node):
        return node

    def visit_Constant(self, node):
        if (
            type(node.value) is int
            and node.value in (0, 1)
            and self.does("float")
            and self.chance.random() < 0.1
        ):
            return ast.Constant(float(node.value))
        return node

    # ---- statements ----

    def visit_FunctionDef(self, node):
        docstring = node.body[:1] if ast.get_docstring(node) is not None else []
        node.body = node.body[len(docstring) :]
        self.generic_visit(node)
        body = self.body(node.body)
        if body and self.does("print"):
            what = self.chance.choice(["assert_", "print_", "todo"])
            first = next((a.arg for a in node.args.args if a.arg != "self"), None)
            if first and what == "assert_":
                test = ast.Compare(ast.Name(first, ast.Load()), [ast.IsNot()], [ast.Constant(None)])
                body.insert(0, ast.Assert(test, None))
            elif first and what == "print_":
                body.insert(
                    self.chance.randrange(len(body)), ast.Expr(call("print", ast.Name(first, ast.Load())))
                )
        node.body = docstring + (body or [ast.Pass()])
        return node

    def body(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        made = []
        for one in statements:
            for field in ("body", "orelse"):
                inner = getattr(one, field, None)
                if isinstance(inner, list) and not isinstance(one, ast.FunctionDef | ast.ClassDef):
                    setattr(one, field, self.body(inner))
            made += self.statement(one)
        return self.assigned_at_once(made)

    def statement(self, one: ast.stmt) -> list[ast.stmt]:
        match one:
            case ast.Return(value) if value is not None and not isinstance(value, ast.Name | ast.Tuple):
                if self.does("name it"):
                    name = self.name()
                    return [_assign(name, value), ast.Return(ast.Name(name, ast.Load()))]
            case ast.AugAssign(ast.Name(name), op, value) if self.does("in place"):
                return [_assign(name, ast.BinOp(ast.Name(name, ast.Load()), op, value))]
            case ast.Assign([ast.Tuple(targets)], ast.Tuple(values)) if self.does("at once"):
                if all(isinstance(target, ast.Name) for target in targets) and len(targets) == len(values):
                    pairs = zip(targets, values, strict=True)
                    return [ast.Assign([target], value) for target, value in pairs]
            case ast.Assign([target], ast.Call(func, [first, *rest], keywords)) if self.does("call"):
                if isinstance(first, ast.BinOp | ast.Call | ast.Attribute):
                    name = self.name()
                    inner = ast.Call(func, [ast.Name(name, ast.Load()), *rest], keywords)
                    return [_assign(name, first), ast.Assign([target], inner)]
            case ast.Assign([target], ast.BinOp(left, op, right)) if self.does("name it"):
                if isinstance(left, ast.BinOp | ast.Call):
                    name = self.name()
                    return [
                        _assign(name, left),
                        ast.Assign([target], ast.BinOp(ast.Name(name, ast.Load()), op, right)),
                    ]
            case ast.If(test, body, [_, *_] as orelse) if self.does("invert"):
                return [ast.If(ast.UnaryOp(ast.Not(), test), orelse, body)]
            case ast.Raise(ast.Call(func, [ast.JoinedStr()], []), cause) if self.does("text"):
                return [ast.Raise(ast.Call(func, [ast.Constant("wrong argument")], []), cause)]
        return [one]

    def assigned_at_once(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """Two assignments in a row, neither of which uses the other, in one or in the other order."""
        made: list[ast.stmt] = []
        for one in statements:
            before = made[-1] if made else None
            if _plain(before) and _plain(one) and not _uses(one, before) and not _uses(before, one):
                if self.does("at once") and self.chance.random() < 0.5:
                    pair = [before, one]
                    made[-1] = ast.Assign(
                        [ast.Tuple([p.targets[0] for p in pair], ast.Store())],
                        ast.Tuple([p.value for p in pair], ast.Load()),
                    )
                    continue
                if self.does("flip"):
                    made[-1:] = [one, before]
                    continue
            made.append(one)
        return made

    def name(self) -> str:
        self.fresh += 1
        return f"{self.chance.choice(WORDS)}{self.fresh}"


class Renamed(ast.NodeTransformer):
    """Local names, private attributes and the writer's own functions under new names; no annotations."""

    def __init__(self, chance: random.Random, kept: set[str]):
        self.chance = chance
        self.kept = kept | set(dir(builtins))
        self.new: dict[str, str] = {}

    def renamed(self, name: str) -> str:
        if name in self.kept or name.startswith("__"):
            return name
        if name not in self.new:
            self.new[name] = f"{self.chance.choice(WORDS)}_{len(self.new)}"
        return self.new[name]

    def visit_Name(self, node):
        return ast.Name(self.renamed(node.id), node.ctx)

    def visit_arg(self, node):
        return ast.arg(self.renamed(node.arg), None)

    def visit_keyword(self, node):
        self.generic_visit(node)
        return node

    def visit_Attribute(self, node):
        self.generic_visit(node)
        if node.attr.startswith("_") and not node.attr.startswith("__"):
            node.attr = f"_{self.renamed(node.attr)}"
        return node

    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        node.returns = None
        node.name = self.renamed(node.name)
        return node

    def visit_AnnAssign(self, node):
        self.generic_visit(node)
        if node.value is None:
            return node
        return ast.Assign([node.target], node.value)


def call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.parse(name, mode="eval").body, list(arguments), [])


def _assign(name: str, value: ast.expr) -> ast.Assign:
    return ast.Assign([ast.Name(name, ast.Store())], value)


def _is(node: ast.expr, value: float) -> bool:
    return isinstance(node, ast.Constant) and node.value == value


def _is_text(node: ast.AST) -> bool:
    return any(
        isinstance(part, ast.JoinedStr | ast.List | ast.Tuple)
        or (isinstance(part, ast.Constant) and isinstance(part.value, str | bytes))
        for part in ast.walk(node)
    )


def _plain(one: ast.stmt | None) -> bool:
    return (
        isinstance(one, ast.Assign)
        and len(one.targets) == 1
        and isinstance(one.targets[0], ast.Name | ast.Attribute)
    )


def _uses(one: ast.Assign, other: ast.Assign) -> bool:
    """Whether one assignment has anything to do with what another sets."""
    return ast.unparse(other.targets[0]) in f"{ast.unparse(one.targets[0])} = {ast.unparse(one.value)}"
