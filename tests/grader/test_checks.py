"""Declaring checks, and how their functions travel."""

import importlib.util
import sys

import pytest
import torch

from grader.checks import checks_of
from grader.draw import Draw
from grader.errors import GraderError
from grader.travel import check_source, fingerprint, unresolved_names

HEAD = "import math\nimport torch\nfrom torch import nn\nfrom grader.checks import check\n\n"


def load(tmp_path, body: str, name: str = "checkfile"):
    """A check file's checks, from its source."""
    path = tmp_path / f"{name}.py"
    path.write_text(HEAD + body)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return checks_of(module)


def test_a_check_knows_itself(tmp_path):
    [one, two] = load(
        tmp_path,
        '''
@check("Attention", seconds=2)
def construct(attention, draw, model, operators):
    """It is made
    in one go.

    More."""


@check("Attention", needs="construct", forbidden=("nn.A", "nn.B"), assembled=True)
def works(attention):
    """It works."""
''',
    )
    assert (one.name, one.exercise, one.says, one.seconds) == (
        "construct",
        "Attention",
        "It is made in one go.",
        2,
    )
    assert one.other_modules == ("model",)
    assert (two.needs, two.forbidden, one.needs) == (("construct",), ("nn.A", "nn.B"), ())
    assert (one.assembled, two.assembled) == (False, True)
    assert str(two.path).endswith("checkfile.py") and two.line == 15


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('@check("A")\ndef f(m):\n    pass\n', "f has no docstring"),
        ('@check("A")\ndef f():\n    "x"\n', "first parameter of f"),
        ('@check("A")\ndef f(draw, m):\n    "x"\n', "first parameter of f"),
        ("@check\ndef f(m):\n    'x'\n", "needs the exercise's name"),
        ('@check("A", needs="g")\ndef f(m):\n    "x"\n', "needs 'g', which is no check"),
        ('@check("A", needs="f")\ndef f(m):\n    "x"\n', "circle: f -> f"),
        (
            '@check("A", needs="g")\ndef f(m):\n    "x"\n@check("A", needs="f")\ndef g(m):\n    "x"\n',
            "circle: f -> g -> f",
        ),
        ('@check("A")\ndef f(m):\n    "x"\n@f.accept\ndef _(seen, answer):\n    pass\n', "asks for 'answer'"),
        (
            '@check("A")\ndef f(m):\n    "x"\n' + 2 * "@f.accept\ndef _(seen):\n    pass\n",
            "two accept",
        ),
    ],
)
def test_mistakes_in_check_files_are_named(tmp_path, body, message):
    with pytest.raises(GraderError, match=message):
        load(tmp_path, body)


TRAVELLER = '''
SHARED = ("SIZES", "small", "scale")
SIZES = (2, 3)
UNSHARED = 1


def scale(x):
    return x * math.sqrt(SIZES[0])


def small(attention):
    """A small one."""
    return attention.Layer(*SIZES)


@check("Layer", needs=())
def travels(attention, draw):
    """Words for the student."""
    # a comment
    rows = [scale(row) for row in small(attention)(draw.normal(4, 2))]
    return torch.stack(rows), {k: (lambda y: y + k)(1) for k in range(2)}


@travels.accept
def _(seen):
    return UNSHARED
'''


def test_a_check_travels_with_what_it_shares(tmp_path):
    [check] = load(tmp_path, TRAVELLER)
    source = check_source(check)
    for absent in ("@", "Words", "comment", "UNSHARED", "accept", "nn"):
        assert absent not in source
    arrived = {}
    exec(source, arrived)

    class Module:
        Layer = torch.nn.Linear

    torch.manual_seed(0)
    here, numbers = check.function(Module, Draw(1))
    torch.manual_seed(0)
    there, same_numbers = arrived["travels"](Module, Draw(1))
    assert torch.equal(here, there) and numbers == same_numbers == {0: 1, 1: 2}


@pytest.mark.parametrize(
    ("use", "missing"),
    [
        ("UNSHARED", ["UNSHARED"]),
        ("[x for x in y]", ["y"]),
        ("(lambda z: z + w)(1)", ["w"]),
        ("check", ["check"]),
        ("local_import", ["local_import"]),
        ("helper()", ["hidden"]),
        ("math.pi, nn, len, print, __name__ if False else 0", ["__name__"]),
        ("[a for a in range(3)], {b: 1 for b in 'x'}, (lambda c: c)(1)", []),
    ],
)
def test_names_that_would_not_travel(tmp_path, use, missing):
    body = f'''
try:
    import local_import
except ImportError:
    pass
SHARED = ("helper",)
UNSHARED = hidden = 1


def helper():
    return hidden


@check("A")
def f(m):
    """x"""
    return {use}
'''
    [check] = load(tmp_path, body)
    assert unresolved_names(check) == missing
    if missing:
        with pytest.raises(GraderError, match=missing[0]):
            check_source(check)


def test_shared_must_be_plain_and_defined(tmp_path):
    for body, message in (("SHARED = tuple(x)\n", "plain tuple"), ('SHARED = ("nowhere",)\n', "nowhere")):
        source = body.replace("tuple(x)", "('a' + 'b',)[:]") + '@check("A")\ndef f(m):\n    "x"\n'
        [check] = load(tmp_path, source)
        with pytest.raises(GraderError, match=message):
            unresolved_names(check)


def test_the_fingerprint_follows_the_function_and_what_it_shares(tmp_path):
    def of(source, name):
        return fingerprint(load(tmp_path, source, name)[0])

    first = of(TRAVELLER, "a")
    assert of("\n\n" + TRAVELLER.replace("UNSHARED = 1", "UNSHARED = 2"), "b") == first
    assert of(TRAVELLER.replace("(2, 3)", "(2, 4)"), "c") != first
    assert of(TRAVELLER.replace("normal(4, 2)", "normal(5, 2)"), "d") != first
    assert of(TRAVELLER.replace("math.sqrt", "math.exp"), "e") != first


def test_importing_checks_brings_no_torch():
    import subprocess

    code = "import sys, grader.pytest_plugin; print('torch' in sys.modules or 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
