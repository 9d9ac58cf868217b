"""What grading keeps of a notebook, where its lines come from, and notebooks made to break the reader."""

import ast
import json
import sys
import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.intake import HandedIn
from grader.notebook_source import notebook_module
from grader.places import Refused
from tests.grader.handed_in import CODE, notebook, one, write

F = "def f(): pass\n"


def kept(*cells: str) -> HandedIn:
    module = notebook_module(notebook(*cells), "ch3.ipynb")
    ast.parse(module.source)
    return HandedIn("ch3", "ch3.ipynb", module.source, module.notes, cells=module.lines)


def run(*cells: str) -> dict:
    """The names that the module defines."""
    names = {}
    exec(compile(kept(*cells).source, "ch3.ipynb", "exec"), names)
    return names


# ---- what is kept ----


def test_functions_and_classes_with_what_they_use():
    names = run(
        "import math\nimport json as unused\nPLACES = int('2')\nTWICE = PLACES * len('ab')",
        "def area(r, places=PLACES):\n    return round(math.pi * r ** 2, places) * TWICE\n",
        "print(area(2.0))\nother = area(3.0)",
    )
    assert names["area"](1.0) == 3.14 * 4
    assert "unused" not in names and "other" not in names


@pytest.mark.parametrize(
    "text",
    [
        "@dataclass\nclass P:\n    x: int = DEFAULT",  # decorators, bodies and defaults use names
        "class P(Base): pass",
        "def f(x=DEFAULT): pass",
        "def f():\n    def g():\n        return DEFAULT\n    return g",
        "f = lambda: DEFAULT",
        "class P:\n    @staticmethod\n    def f(): return [DEFAULT for _ in range(3)]",
        "async def f(): return DEFAULT",
        "def f():\n    global DEFAULT\n    DEFAULT += 1",
    ],
)
def test_uses_are_found_wherever_they_stand(text):
    names = run("from dataclasses import dataclass\nDEFAULT = len('abc')\nBase = type('Base', (), {})", text)
    assert ("DEFAULT" in names) == ("DEFAULT" in text) and ("Base" in names) == ("Base" in text)


def test_a_local_name_is_no_use():
    names = run(
        "model = open('/nowhere')\nx = len('a')",
        "def f(model, ids=[1]):\n    x = 2\n    return [y for y in ids] + [model, x]\ny = len('b')",
    )
    assert set(names) >= {"f"} and not {"model", "x", "y"} & set(names)


def test_plain_values_lambdas_and_second_names_are_kept():
    names = run(
        "import torch.nn as nn\nWIDTH = 4 * 32\nNAMES = ['a', ('b', -1)]\nB, T = 2, 3\nn: int = 5",
        "square = lambda x: x * x\nGELU = nn.GELU\nagain = square\nlogits = nn.Linear(2, 2)",
        F,
    )
    assert names["WIDTH"] == 128 and names["square"](3) == 9 and names["B"] == 2 and names["n"] == 5
    assert names["GELU"].__name__ == "GELU" and "logits" not in names
    assert "again" not in names  # a variable's second name is nothing that stands for itself


def test_what_only_runs_is_left_out_and_named():
    module = kept(
        F + "for i in range(10**9):\n    pass\nwhile True: pass\nwith open('x') as g: pass",
        "print('x'); f(); f().x = 3; losses = f()\nsettings['a'] = 1\nassert 0\ndel f\n'text'\nn: int\npass",
        "if __name__ == '__main__':\n    f()",
    )
    assert module.source == F
    assert module.notes == (
        "cell 1, left out: `for i in range(10**9):` (line 2), `while True: pass` (line 4), "
        "`with open('x') as g: pass` (line 5)",
        "cell 2, left out: `print('x')` (line 1), `f()` (line 1), `f().x = 3` (line 1), "
        "`losses = f()` (line 1), `settings['a'] = 1` (line 2), and 2 more",
        "cell 3, left out: `if __name__ == '__main__':` (line 1)",
    )


def test_blocks_of_definitions_are_kept():
    names = run(
        "try:\n    import no_such_module as re\nexcept ImportError:\n    import re\n",
        "if True:\n    flag = 1\nelse:\n    flag = 2\n",
        "def f(): return re, flag",
        "if False:\n    def g(): return 1\nelif True:\n    def g(): return 2\n",
        "try:\n    print(1)\nexcept ValueError:\n    import os",
    )
    assert names["f"]()[1] == 1 and names["g"]() == 2 and "os" not in names


def test_later_definitions_win():
    names = run("def f(): return 1", "N = len('a')", "def f(): return N", "N = len('ab')")
    assert names["f"]() == 2


def test_a_variable_takes_no_functions_place_but_another_function_does():
    names = run(
        "def rate(x): return x\ndef old(x): return 1",
        "def total(x): return rate(x) + old(x)\ndef new(x): return 10",
        "rate = rate(3)\nrate = 3e-4\nold = new",
    )
    assert names["total"](2) == 12


def test_what_fails_is_missing_only_where_it_is_used(capsys):
    names = run(
        "import no_such_module\nfrom math import no_such_name",
        "text = open('/no/such/file').read()\na, b = 1",
        "def f(): return 1\ndef g(): return no_such_module, text, no_such_name, a",
    )
    assert names["f"]() == 1
    with pytest.raises(NameError):
        names["g"]()
    printed = capsys.readouterr().out
    assert "ch3.ipynb, cell 1, line 1: ModuleNotFoundError" in printed
    assert "ch3.ipynb, cell 2, line 1: FileNotFoundError" in printed


def test_future_imports_come_first():
    module = kept("def g(): pass", "from __future__ import annotations\ndef f(x: NoSuchName): pass")
    assert module.source.startswith("from __future__ import annotations\n") and module.notes == ()
    assert module.where(1) == "ch3.ipynb, cell 2, line 1"


def test_what_only_a_kernel_can_await_is_left_out():
    module = kept("x = await g()\nawait x", "def f(): return x")
    compile(module.source, "module", "exec")
    assert module.notes == ("cell 1, left out: `x = await g()` (line 1), `await x` (line 2)",)


# ---- lines ----


def test_every_line_knows_its_cell():
    module = kept(
        "import math\n\n# a comment\nX = 1; Y = math.floor(\n  2.5)",
        "# no code",
        "@property\ndef f():\n    # inside\n    return math.e, '''a\nb''', Y\n",
    )
    lines = module.source.splitlines()
    assert [module.where(n) for n, line in enumerate(lines, 1) if "inside" in line] == [
        "ch3.ipynb, cell 3, line 3"
    ]
    assert [module.where(n) for n, line in enumerate(lines, 1) if line == "  2.5)"] == [
        "ch3.ipynb, cell 1, line 5"
    ]
    assert len(module.cells) == len(lines)


def test_markdown_cells_count_and_a_module_has_its_own_lines():
    data = json.loads(notebook(F))
    data["cells"].insert(0, {"cell_type": "markdown", "source": "# Title"})
    module = notebook_module(json.dumps(data).encode(), "n")
    assert module.lines == ((2, 1),)
    assert HandedIn("ch3", "ch3/attention.py", CODE).where(2) == "ch3/attention.py:2"
    assert kept(F).where(99) == kept(F).where(0) == "ch3.ipynb, cell 1, line 1"


def test_a_fault_is_found_at_its_line():
    module = kept("'''doc'''\nimport math", "# c\n\ndef f(x):\n    y = 1\n    return math.no_such(x)")
    names = {}
    exec(compile(module.source, "student", "exec"), names)
    with pytest.raises(AttributeError) as caught:
        names["f"](1)
    line = caught.traceback[-1].lineno + 1
    assert module.where(line) == "ch3.ipynb, cell 2, line 5"


# ---- magics and cells that are no Python ----


@pytest.mark.parametrize(
    "magic",
    [
        "%matplotlib inline",
        "!pip install 'x",
        "%time f(",
        "f?",
        "?f",
        "f.x??",
        "x = !ls '",
        "y = %pwd",
        "!a \\\n  'b",
    ],
)
def test_magics_are_taken_out(magic):
    module = kept(f"import math\n{magic}\ndef f():\n    return math")
    assert "def f():\n    return math\n" in module.source
    assert module.notes == (
        f"cell 1, left out: `{magic.splitlines()[0].replace(chr(92), chr(92) * 2)}` (line 2)",
    )
    assert module.where(len(module.cells)) == f"ch3.ipynb, cell 1, line {4 + magic.count(chr(10))}"


def test_what_only_looks_like_a_magic_stays():
    cell = 'def f(a):\n    """%time\n!ls\nIs it?\n"""\n    return (a\n        % 3)\n'
    assert kept(cell).source == cell and kept(cell).notes == ()


def test_magics_inside_blocks():
    assert run("def f():\n    %time g()\n    return 1\nif f():\n    !ls\n")["f"]() == 1


@pytest.mark.parametrize("magic", ["%%time", "%%capture out", "%%prun -s time"])
def test_a_cell_under_a_timing_magic_is_kept(magic):
    module = kept(f"{magic}\ndef f():\n    return 1")
    assert module.where(1) == "ch3.ipynb, cell 1, line 2" and module.notes == (
        f"cell 1, left out: `{magic}` (line 1)",
    )


@pytest.mark.parametrize("magic", ["%%bash", "%%writefile attention.py", "%%timeit", "%%html", "%%"])
def test_a_cell_under_another_magic_is_left_out(magic):
    module = kept(f"{magic}\ndef g():\n    return 1", F)
    assert module.source == F and module.notes == (f"cell 1, left out: `{magic}` (line 1)",)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("def g():\n    return 1\ndef h(:", "cell 1, line 3: invalid syntax"),
        ("def g(): pass\nreturn 1", "cell 1, line 2: return outside a function"),
        ("def g(): pass\nbreak", "cell 1, line 2: break outside a loop"),
        ("def g():\n    await h()", "cell 1, line 2: await in a function that is not async"),
        ("for i in a:\n    def g(): continue", "cell 1, line 2: continue outside a loop"),
        ("def g(a, a): pass", "cell 1, line 1: duplicate argument 'a' in function definition"),
        ("nonlocal x\ndef g(): pass", "cell 1, line 1: nonlocal declaration not allowed at module level"),
        (
            "def g():\n\tif 1:\n        pass",
            "cell 1, line 3: inconsistent use of tabs and spaces in indentation",
        ),
        ("x = “a”", "cell 1, line 1: invalid character '“' (U+201C)"),
        ("x = '\ud800'", "cell 1: it cannot be parsed"),
        ("x = 1\0", None),
        ("(" * 500, "cell 1, line 1: too many nested parentheses"),
        ("x = " + "-" * 50_000 + "1", "cell 1: it cannot be parsed"),
        ("x = 1" + "+1" * 50_000, "cell 1: it cannot be parsed"),
        ("x = " + "9" * 5000, None),
    ],
)
def test_a_cell_that_is_no_python_loses_only_itself(cell, said):
    module = kept(cell, F)
    assert module.source == F and len(module.notes) == 1
    assert said is None or module.notes == (f"{said}; the cell is left out",)
    assert module.notes[0].isprintable()


def test_a_loop_may_break_and_an_async_function_await():
    cell = (
        "def f():\n    for i in a:\n        break\n    else:\n        return\nasync def g():\n    await f()\n"
    )
    assert kept(cell).notes == ()


def test_a_cell_that_is_indented_as_a_whole():
    assert run("    def f():\n        return 1\n    x = 2")["f"]() == 1


def test_many_magics_do_not_take_for_ever():
    module = kept("!x\n" * 80_000, F)
    assert module.source == F and module.notes[0].endswith("invalid syntax; the cell is left out")


def test_notes_are_few_and_harmless():
    module = kept(F, *["print('\x1b[31m\u202e" + "x" * 500 + "')"] * 80)
    assert len(module.notes) == 51 and module.notes[-1] == "and 30 more notes"
    assert all(note.isprintable() and len(note) < 150 for note in module.notes)


# ---- imports of earlier chapters ----


@pytest.mark.parametrize(
    ("absolute", "relative"),
    [
        ("from exercises.ch2.inputs import embed", "from ..ch2.inputs import embed"),
        (
            "from  exercises.ch2.inputs  import (embed,\n  other as o)",
            "from ..ch2.inputs import (embed,\n  other as o)",
        ),
        ("from exercises.ch2 import inputs", "from ..ch2 import inputs"),
        ("from exercises import ch2", "from .. import ch2"),
        ("import exercises.ch2.inputs as inputs", "from ..ch2 import inputs as inputs"),
        ("import exercises.ch2 as ch2", "from .. import ch2 as ch2"),
        ("from ..ch2.inputs import embed", "from ..ch2.inputs import embed"),
        ("from exercises_of_mine import embed", "from exercises_of_mine import embed"),
    ],
)
def test_absolute_imports_become_relative(absolute, relative):
    names = [alias.asname or alias.name for alias in ast.parse(relative).body[0].names]
    uses = f"def f(): return {', '.join(names)}"
    assert f"try: {relative}\n" in kept(f"{absolute}\n{uses}").source
    inside = f"def f():\n    g = 'ß'; {absolute}; h = 1\n"
    assert f"    g = 'ß'; {relative}; h = 1\n" in kept(inside).source


def test_a_relative_import_works_where_the_module_is_put(monkeypatch):
    for name in ("pieces", "pieces.ch2", "pieces.ch3"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        sys.modules[name].__path__ = []
    inputs = types.ModuleType("pieces.ch2.inputs")
    inputs.embed = lambda: "embedded"
    monkeypatch.setitem(sys.modules, "pieces.ch2.inputs", inputs)
    names = {"__name__": "pieces.ch3.attention", "__package__": "pieces.ch3"}
    exec(kept("from exercises.ch2.inputs import embed\ndef f(): return embed()").source, names)
    assert names["f"]() == "embedded"


# ---- files that are no notebooks ----


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is no notebook (line 1: Expecting value)"),
        (b"{", "is no notebook (line 1:"),
        (b"[]", "is no notebook (it has no list of cells)"),
        (b"null", "is no notebook (it has no list of cells)"),
        (b'{"cells": {}}', "is no notebook (it has no list of cells)"),
        (b'{"cells": [3]}', "is no notebook (cell 1 is no table)"),
        (b'{"cells": [{"cell_type": "code"}]}', "is no notebook (cell 1 has no source)"),
        (b'{"cells": [{"cell_type": "code", "source": [1]}]}', "is no notebook (cell 1 has no source)"),
        (b'{"worksheets": []}', "is in a notebook format of before 2015"),
        (b"[" * 100_000, "is no notebook (its JSON is too deep or too large)"),
        (b"[" * 1_000_001, "holds more than 1,000,000 lists and tables"),
        (b'{"cells": [' + b"3," * 10_000 + b"3]}", "has more than 10,000 cells"),
        (b'{"cells": ' + b"9" * 10_000 + b"}", "is no notebook"),
        (notebook(F).decode().encode("utf-16"), "is UTF-16"),
        (notebook("# ä").replace(b"\\u00e4", b"\xe4"), "is not UTF-8, as notebooks are"),
        (notebook(F, kernelspec={"language": "R"}), "is a notebook in R, not in Python"),
        (notebook(F, language_info={"name": "julia\x1b"}), "is a notebook in julia\\x1b, not in Python"),
        (notebook("x\n" * 150_000), "holds more than 256 KiB of code"),
        (notebook("print(1)", "import os"), "has no code cell that defines anything"),
        (notebook("def f(:"), "has no code cell that defines anything (cell 1, line 1: invalid syntax)"),
        (b" " * (20 * 2**20 + 1), "is larger than 20 MiB"),
    ],
)
def test_what_is_no_notebook_is_refused_by_name(tmp_path, data, problem):
    write(tmp_path / "alice", {"ch3.ipynb": data})
    module = one(tmp_path).modules["ch3"]
    assert module.source == "" and module.problem.startswith(f"ch3.ipynb {problem}")
    assert module.problem.isprintable()


def test_a_byte_order_mark_and_windows_lines_do_no_harm():
    data = b"\xef\xbb\xbf" + notebook("def f():\r\n    return 1\r\n", kernelspec={"language": "Python"})
    assert notebook_module(data, "n").source == "def f():\n    return 1\n"


def test_no_warning_of_a_students_code_reaches_the_instructor(recwarn):
    notebook_module(notebook("def f(x):\n    assert (x, 'always true')\n    return '\\d', x is 3"), "n")
    assert not recwarn.list


fragments = st.sampled_from(
    [
        *(
            "def f(a, b=x): return y\n",
            "class A(B):\n  c = d\n",
            "x = 1; y = f(\n2)\n",
            "%m a\n",
            "!b 'c\n",
            "z?\n",
        ),
        *(
            "@d\ndef g():\n  '''\n%n\n'''\n",
            "if x:\n  import e\n",
            "try:\n  h = 1\nexcept E: pass\n",
            "return\n",
        ),
        *(
            "from exercises.ch1.t import *\n",
            "from __future__ import annotations\n",
            "\\\n",
            "(",
            "'''",
            ")",
            "\t",
            "é",
        ),
        *(
            "x += 1\n",
            "*a, b = c\n",
            "a.b = 1\n",
            "lambda: (yield)\n",
            "i = j = k\n",
            "%%time\n",
            "async def q(): pass\n",
        ),
        *(
            "import exercises.ch1.t as u\n",
            "    v = 1\n",
            "\f",
            "\x0c\n",
            "w = '''\n'''; o = 1\n",
            "#",
            "\\",
            "\r",
            ";",
        ),
    ]
)


@settings(max_examples=600, deadline=None)
@given(st.lists(st.lists(fragments, max_size=6).map("".join) | st.text(max_size=20), max_size=4))
def test_any_cells_give_python_or_are_refused(cells):
    try:
        module = notebook_module(notebook(*cells), "n")
    except Refused as refused:
        assert str(refused).isprintable()
        return
    ast.parse(module.source)
    assert len(module.lines) == len(module.source.split("\n")) - 1
    assert all(1 <= cell <= len(cells) and line >= 1 for cell, line in module.lines)
    assert all(note.isprintable() for note in module.notes)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["code", F]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["cells", "cell_type", "source", "metadata", "kernelspec", "language"]), inner
        )
    ),
    max_leaves=20,
)


@settings(max_examples=400, deadline=None)
@given(values.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200))
def test_any_file_is_a_notebook_or_refused(data):
    try:
        ast.parse(notebook_module(data, "n").source)
    except Refused as refused:
        assert str(refused).isprintable()
