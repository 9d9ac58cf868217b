"""Stubs, and markers that are not in order."""

import ast

import pytest

from grader.errors import GraderError
from grader.release import make_stub
from tests.grader.toy import SOLUTION


def test_a_stub_keeps_all_but_the_marked_parts():
    stub = make_stub(SOLUTION, "attention.py")
    assert "SOLUTION" not in stub and "torch.full" not in stub and "W_query" not in stub
    assert '    raise NotImplementedError("causal_mask: not written yet")\n' in stub
    assert '        raise NotImplementedError("Attention.__init__: not written yet")\n' in stub
    assert '        raise NotImplementedError("Attention.forward: not written yet")\n' in stub
    for kept in ("import torch\n", "super().__init__()", "-inf where it may not."):
        assert kept in stub
    module = {}
    exec(stub, module)
    with pytest.raises(NotImplementedError, match="count_up: not written yet"):
        module["count_up"](3)


SOURCE = '''\
"""A module with ### BEGIN SOLUTION in its docstring."""

### BEGIN SOLUTION
SECRET = 1


def inner_help(x):
    return x
### END SOLUTION


def outer(x):
    text = "### BEGIN SOLUTION"
    if x:
        ### BEGIN SOLUTION
        # a comment of the solution
        x = inner_help(x)

        text += """
        and more"""
        ### END SOLUTION
    def nested():
        ### BEGIN SOLUTION
        return 1
        ### END SOLUTION
    return x, text, nested


class Thing:
    size = 3

    ### BEGIN SOLUTION
    def private(self):
        return 1

    ### END SOLUTION
    async def act(self):
        ### BEGIN SOLUTION
        return 2
        ### END SOLUTION

    class Inner:
        def deep(self):
            ### BEGIN SOLUTION
            return 3
            ### END SOLUTION
'''


def test_parts_in_all_places():
    stub = make_stub(SOURCE, "x.py")
    names = [
        node.args[0].value.split(":")[0]
        for node in ast.walk(ast.parse(stub))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "NotImplementedError"
    ]
    assert sorted(names) == ["Thing.Inner.deep", "Thing.act", "outer", "outer.nested"]
    for gone in ("SECRET", "inner_help(x)", "private", "a comment of the solution"):
        assert gone not in stub
    assert 'text = "### BEGIN SOLUTION"' in stub


def test_a_source_without_markers_is_its_own_stub():
    assert make_stub("x = 1  # the end of it\n", "x.py") == "x = 1  # the end of it\n"


def function(body: str) -> str:
    return "def f(x):\n" + "".join(f"    {line}\n" for line in body.split("\n"))


BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (function(f"{BEGIN}\nreturn x"), "x.py:2: .* without an '### END"),
        (function(f"return x\n{END}"), "x.py:3: .* without a '### BEGIN"),
        (
            function(f"{BEGIN}\n{BEGIN}\nreturn x\n{END}\n{END}"),
            "x.py:3: .*inside of the part that began on line 2",
        ),
        (function(f"{BEGIN}\nreturn x\n    {END}"), "x.py:4: .*not indented as its .* on line 2"),
        (function(f"x = 1  {BEGIN}\nreturn x\n{END}"), "x.py:2: .*alone on its line"),
        (function(f"## BEGIN SOLUTION\nreturn x\n{END}"), "x.py:2: '## BEGIN SOLUTION' is no marker"),
        (function(f"### BEGIN SOLUTON\nreturn x\n{END}"), "x.py:2: '### BEGIN SOLUTON' is no marker"),
        (function(f"### begin solution\nreturn x\n{END}"), "x.py:2: .* is no marker"),
        (function(f"#BEGIN SOLUTION\nreturn x\n{END}"), "x.py:2: .* is no marker"),
        (function(f"{BEGIN}:\nreturn x\n{END}"), "x.py:2: .* is no marker"),
        (function(f"{BEGIN}\nreturn x\n### END SOLUTIONS"), "x.py:4: .* is no marker"),
        (function(f"{BEGIN}\nreturn x\n# end of solution"), "x.py:4: .* is no marker"),
        (function(f"{BEGIN}\nreturn x\n### END"), "x.py:4: '### END' is no marker"),
        (function(f"{BEGIN}\n{END}\nreturn x"), "x.py:2: nothing stands between"),
        (function(f"{BEGIN}\n# only a comment\n{END}\nreturn x"), "x.py:2: nothing stands between"),
        (function(f"if x:\n    {BEGIN}\n    x = 2\nreturn x\n    {END}"), "x.py:3: .* indented less"),
        (function(f"{BEGIN}\nx = [\n    1,\n{END}\n]"), "x.py:2: .*middle of a statement"),
        ("def f(:\n", "x.py:1: "),
        (f"class A:\n    {BEGIN}\n    x = 1\n    {END}\n", "the stub of x.py"),
    ],
)
def test_refused_with_file_and_line(source, message):
    with pytest.raises(GraderError, match=message):
        make_stub(source, "x.py")
