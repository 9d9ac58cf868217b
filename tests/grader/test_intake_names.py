"""Names that are safe to print, and to name folders with; and the text of modules in all encodings."""

import doctest
import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader import archives, safe_names
from grader import source_text as source_text_module
from grader.intake import safe_name
from grader.places import Refused
from grader.safe_names import printable, same_name
from grader.source_text import source_text
from tests.grader.handed_in import CODE, one, write

names = st.text(st.characters(), max_size=60) | st.text(
    "aAé\u0301 .-_/\\con1ſﬁ\n\x1b\u202e\udcff", max_size=12
)


@pytest.mark.parametrize(
    "name",
    ["alice", "Ada Lovelace", "Zoë Müller", "王小明", "Smith_Jane-2", "o'neil@uni.edu", "x.y.z", "Ñ", "محمد"],
)
def test_ordinary_names_stay(name):
    assert safe_name(name) == printable(name) == name


@pytest.mark.parametrize(
    ("name", "start"),
    [
        *(("a/b", "a_b"), ("..", "_"), ("", "_"), ("a\x00b", "a_b"), ("-rf", "rf"), (".hidden", "hidden")),
        *(("con", "con"), ("NUL.txt", "NUL.txt"), ("Com1", "Com1"), ("dots...", "dots"), ("space ", "space")),
        *(("grades.csv", "grades.csv"), ("class.HTML", "class.HTML"), ("x-0123456789ab", "x-0123456789ab")),
        *(("a:b*c?", "a_b_c_"), ("x" * 200, "x" * 87), ("é" * 100, "é" * 43), ("\udcff", "_")),
    ],
)
def test_other_names_get_a_hash(name, start):
    assert re.fullmatch(re.escape(start) + "-[0-9a-f]{12}", safe_name(name))


@settings(max_examples=500, deadline=None)
@given(names)
def test_every_name_becomes_a_folder_everywhere(name):
    safe = safe_name(name)
    assert safe and safe.isprintable() and len(safe.encode()) <= 100
    assert not set(safe) & set('/\\:*?"<>|\0') and safe[0] not in ".- " and safe[-1] not in ". "
    assert not re.fullmatch(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", safe, re.I)
    assert unicodedata.is_normalized("NFC", safe)


@settings(max_examples=500, deadline=None)
@given(names, names)
def test_two_students_never_share_a_folder(one, other):
    if same_name(one) != same_name(other):
        assert same_name(safe_name(one)) != same_name(safe_name(other))


@settings(max_examples=500, deadline=None)
@given(names)
def test_what_is_printed_is_one_harmless_line(name):
    shown = printable(name)
    assert shown.isprintable() and len(printable(name, 40)) <= 40
    assert not any(
        unicodedata.bidirectional(c) in ("RLE", "RLO", "LRE", "LRO", "PDF", "RLI", "LRI") for c in shown
    )
    shown.encode()


# ---- the text of modules ----

UMLAUT = 'NAME = "größer"\n'


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (UMLAUT.encode(), UMLAUT),
        (b"\xef\xbb\xbf" + UMLAUT.encode(), UMLAUT),
        (UMLAUT.replace("\n", "\r\n").encode(), UMLAUT),
        (UMLAUT.replace("\n", "\r").encode(), UMLAUT),
        (b"# -*- coding: latin-1 -*-\n" + UMLAUT.encode("latin-1"), "# -*- coding: utf-8 -*-\n" + UMLAUT),
        (b"#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\n" + UMLAUT.encode("cp1252"), None),
        (b"\n# coding: utf-8-unix\n" + UMLAUT.encode(), "\n# coding: utf-8\n" + UMLAUT),
        (b"# coding=shift_jis\nX = '" + "日本".encode("shift_jis") + b"'\n", "# coding=utf-8\nX = '日本'\n"),
        (
            b"x = 1\n# coding: rot13\ny = 2\n# coding: none\n",
            "x = 1\n# coding: rot13\ny = 2\n# coding: none\n",
        ),
    ],
)
def test_encodings_are_read_as_python_reads_them(data, text):
    found = source_text(data)
    assert text is None or found == text
    names, expected = {}, {}
    exec(compile(found, "module", "exec"), names)
    exec(compile(data, "module", "exec"), expected)
    assert {k: v for k, v in names.items() if k != "__builtins__"} == {
        k: v for k, v in expected.items() if k != "__builtins__"
    }


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (UMLAUT.encode("utf-16"), "is UTF-16: save it as UTF-8"),
        (UMLAUT.encode("utf-16-le"), "holds NUL bytes"),
        (CODE.encode("utf-32"), "is UTF-16"),
        (b"x = 1\0\n", "holds NUL bytes"),
        (b"x = 1\n" + UMLAUT.encode("latin-1"), "is not UTF-8 (line 2, byte 0xf6): save it as UTF-8"),
        (b"# coding: ascii\n" + UMLAUT.encode(), "is not ascii (line 2, byte 0xc3)"),
        (b"# coding: rot13\nk = 1\n", "names the encoding rot13, which is not read"),
        (b"# coding: unicode_escape\nx\n", "names the encoding unicode_escape"),
        (b"# coding: utf-7\nx\n", "names the encoding utf-7"),
        (b"# coding: utf-16\nx\n", "names the encoding utf-16"),
        (b"# coding: no-such\nx\n", "names the encoding no-such"),
        (b"# coding: ..evil\nx\n", "names the encoding ..evil"),
        (b"", "is empty"),
        (b"\xef\xbb\xbf \n\t\n", "is empty"),
    ],
)
def test_other_encodings_are_refused_by_name(tmp_path, data, problem):
    write(tmp_path / "alice", {"attention.py": data})
    module = one(tmp_path).modules["ch3"]
    assert module.source == "" and module.problem.startswith(f"attention.py {problem}")


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=300) | st.binary(max_size=60).map(lambda data: b"# coding: " + data))
def test_any_bytes_are_text_or_refused(data):
    try:
        text = source_text(data)
    except Refused as refused:
        assert str(refused).isprintable()
    else:
        assert "\r" not in text and "\0" not in text


@pytest.mark.parametrize("module", [safe_names, source_text_module, archives])
def test_the_examples_in_docstrings_hold(module):
    result = doctest.testmod(module)
    assert result.attempted and not result.failed
