"""What a check's code tells: which lines to show, and what of the student's a value comes from."""

import ast
import importlib
import textwrap
from pathlib import Path

import pytest

from grader.check_code import CheckCode, Origin
from grader.checks import checks_of

HEAD = "import torch\nfrom grader.checks import check\n\n\n"
ROOT = Path(__file__).parents[2]


def code(toy, body: str) -> CheckCode:
    """The code of a check; its statements are lines, or parted by "; "."""
    body = textwrap.indent(body.replace("; ", "\n"), "    ")
    [check] = toy.checks(f'{HEAD}@check("Attention")\ndef f(attention, draw):\n    """X."""\n{body}\n')
    return CheckCode(check)


@pytest.mark.parametrize(
    ("body", "path", "origins"),
    [
        ("return attention.count_up(3)", (), "returned count_up"),
        ("return attention.Attention(1, 2)(draw.normal(1))", (), "returned Attention.forward"),
        (
            "a = draw.fill(attention.A(1)).eval(); _, w = a(draw.normal(1)); return w[0]",
            (),
            "returned A.forward",
        ),
        ("cab = attention.Cab('x'); return [cab.decode(i) for i in [1]]", (0,), "returned Cab.decode"),
        ("cab = attention.Cab.from_text('x'); return cab.size", (), "attribute Cab.size"),
        ("return dict(attention.A(1, 2).named_parameters())", (), "inside A"),
        ("a = attention.A(1, 2); return dict(a.state_dict()).get('x')", (), "inside A"),
        ("cab = attention.Cab(); return error_of(cab.decode, 3)", (), "attribute Cab.decode"),
        ("return error_of(attention.count_up, 3)", (), "returned count_up"),
        ("return error_of(attention.Cab, 3)[0]", (), "inside Cab"),
        ("data = attention.Data(); return data[0]", (), "attribute Data.__getitem__"),
        ("data = attention.Data(); return len(data)", (), "attribute Data.__len__"),
        ("a = attention.Cab(); return {'x': a.b, 'y': a.c(1)} | {'z': a.d}", ("y", 0), "returned Cab.c"),
        ("a = attention.Cab(); return {'x': a.b, 'y': a.c(1)} | {'z': a.d}", ("z",), "attribute Cab.d"),
        ("a, b = attention.f(1), attention.g(2); return [a, b]", (1,), "returned g"),
        ("a, b = attention.f(1), attention.g(2); return [a, b]", (), "returned f, returned g"),
        ("x = attention.f(1); x = attention.g(x); return x.mean()", (), "returned g"),
        ("x = draw.normal(3); attention.change(x); return x", (), ""),
        ("groups = attention.f(); return [g['a'] for g in groups]", (0,), "returned f"),
        ("x = [x for x in attention.f()]; return x", (), "returned f"),
        ("with attention.f() as x:\n    return x", (), "returned f"),
        ("for x in attention.f():\n    pass\nreturn x", (), "returned f"),
    ],
)
def test_what_a_result_comes_from(toy, body, path, origins):
    found = code(toy, body).origins_at(path)
    assert ", ".join(f"{one.kind} {one.name}" for one in found) == origins


def test_a_part_of_a_line(toy):
    checked = code(toy, "x = attention.f(1)\nfor a, b in zip(x, x):\n    pass\nreturn float(x)")
    assert checked.origins_in("return float(x)", "float(x)") == [Origin("returned", "f")]
    assert checked.origins_in("for a, b in zip(x, x):", "x") == [Origin("returned", "f")]
    assert checked.origins_in("return float(x)", "y") == [] == checked.origins_in("nothing", "x")


def test_short_checks_are_shown_whole_without_comments(toy):
    body = "# why\nx = attention.f(1)\n\nif x:\n    y = 1\nelse:\n    y = 2\nreturn y"
    shown = textwrap.indent("x = attention.f(1)\nif x:\n    y = 1\nelse:\n    y = 2\nreturn y", "    ")
    assert code(toy, body).shown(80) == shown
    assert code(toy, body).shown(80, marked="if x:") == shown.replace("    if x:", "  > if x:")


def test_long_checks_show_whole_statements(toy):
    noise = "; ".join(f"noise_{i} = {i}" for i in range(9))
    long = f"x = attention.f({', '.join(f'number_{i}={i}' for i in range(40))})"
    ending = "y = draw.normal(3)\ntry:\n    z = x + y\nexcept OSError:\n    z = 0\nreturn z"
    checked = code(toy, f"{noise}; {long}; {ending}")
    shown = checked.shown(80)
    assert "noise" not in shown and "draw" not in shown
    for part in ("    ...\n    x = attention.f(number_0=0,", "number_39=39)\n", "        z = x + y\n"):
        assert part in shown, shown
    assert shown.endswith("\n    return z") and all(len(line) <= 80 for line in shown.splitlines())
    assert "  > noise_8 = 8\n" in checked.shown(80, marked="noise_8 = 8")


@pytest.mark.parametrize("file", sorted(ROOT.glob("solutions/ch*/test_*.py")), ids=lambda file: file.stem)
def test_every_public_check_is_shown_in_whole_statements(file):
    for check in checks_of(importlib.import_module(f"solutions.{file.parent.name}.{file.stem}")):
        lines = CheckCode(check).shown(80).splitlines()
        assert all(len(line) <= 80 for line in lines) and len(lines) <= 20
        ast.parse("def f():\n" + CheckCode(check).shown(1000))
