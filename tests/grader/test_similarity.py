"""`grader similarity`: planted copies among innocents, what a figure is, odd files, and the page."""

import os
import subprocess
import sys

import pytest

from grader import sandbox
from grader.code_tokens import tokens_of
from grader.similarity import Comparison, code
from grader.similarity_page import Compared, place, similarity_page
from tests.grader import toy_course
from tests.grader.handed_in import notebook, zip_bytes
from tests.grader.html_reader import read_page

STUB = '''\
"""Chapter 1. A toy."""

import torch


def standardise(x):
    """Mean 0 and spread 1."""
    raise NotImplementedError("standardise: not written yet")


def windows(text, size):
    """All windows."""
    raise NotImplementedError("windows: not written yet")
'''
ANN = """\
import torch


def standardise(x):
    # the mean first
    total = 0.0
    for value in x.flatten():
        total += value
    mean = total / x.numel()
    centred = x - mean
    squares = torch.stack([value * value for value in centred.flatten()])
    spread = squares.mean().sqrt()
    if spread == 0:
        return centred
    return centred / spread


def windows(text, size):
    found = []
    for start in range(0, len(text) - size + 1):
        piece = text[start : start + size]
        if len(piece) == size and piece not in found:
            found.append(piece)
    return tuple(sorted(found, key=lambda one: text.index(one)))
"""
# ann's, under other names, in another order, with other comments, layout, quotes and annotations
COPY = '''\
import torch as t


def windows(s: str, n: int) -> tuple[str, ...]:
    """My own docstring."""
    out: list = []
    for i in range(
        0,
        len(s) - n + 1,
    ):
        w = s[i : i + n]
        if len(w) == n and (w not in out):  # new
            out.append(w)
    return tuple(sorted(out, key=lambda w2: s.index(w2)))


def standardise(inp: t.Tensor) -> t.Tensor:
    "Another docstring."
    acc = 0.0
    for v in inp.flatten():
        acc += v
    mu = acc / inp.numel()

    c = inp - mu
    sq = t.stack([v * v for v in c.flatten()])
    s = sq.mean().sqrt()
    if (s == 0):
        return c
    return c / s
'''
BOB = """\
import torch


def standardise(x):
    return (x - x.mean()) / (x.std(unbiased=False) + 1e-9)


def windows(text, size):
    return [text[i : i + size] for i in range(len(text) - size + 1)]
"""
CEM = """\
import torch


def standardise(x):
    spread, mean = torch.std_mean(x, correction=0)
    return torch.where(spread > 0, (x - mean) / spread, torch.zeros_like(x))


def windows(text, size):
    places = torch.arange(len(text)).unfold(0, size, 1).tolist()
    return ["".join(text[place] for place in window) for window in places]
"""


def pairs(at_least=0.5, stub=STUB, known=(), **sources):
    codes = [code(name, source, file=f"{name}.py") for name, source in sources.items()]
    codes += [code(name, source, known=True) for name, source in known]
    found = Comparison(codes, [tokens_of(stub)]).pairs(at_least)
    return [(pair.left.name, pair.right.name, pair.figure) for pair in found]


# ---- tokens ----


def test_names_layout_comments_and_annotations_change_nothing():
    one, other = tokens_of(ANN), tokens_of(COPY)

    def functions(tokens):
        text = "\n".join("|" if kind is None else kind for kind in tokens.kinds)
        return sorted(text.strip("|\n").split("\n|\n"))

    assert functions(one) == functions(other) and len(functions(one)) == 2
    assert not one.broken


@pytest.mark.parametrize(
    "one, other",
    [
        ("y = a + b", "y = a - b"),
        ("y = a < b", "y = a > b"),
        ("y = x.sum()", "y = x.mean()"),
        ("y = f(x, dim=1)", "y = f(x, dim=2)"),
        ("y = f(x, dim=1)", "y = f(x, axis=1)"),
        ("y = a and b", "y = a or b"),
        ("y = len(x)", "y = sum(x)"),
    ],
)
def test_what_cannot_be_renamed_stays(one, other):
    assert tokens_of(one).kinds != tokens_of(other).kinds


def test_names_of_the_course_stay():
    given = frozenset({"causal_mask"})
    assert "causal_mask" in tokens_of("y = causal_mask(3)", given).kinds
    assert tokens_of("y = causal_mask(3)").kinds == tokens_of("y = my_mask(3)").kinds


@pytest.mark.parametrize("source", ["def f(:\n  x = (1\n", "(" * 50_000, "x = " + "-" * 50_000, "\ud800", ""])
def test_no_text_is_too_odd(source):
    tokens = tokens_of(source)
    assert len(tokens.kinds) == len(tokens.lines)


# ---- figures ----


def test_a_disguised_copy_is_found_and_innocents_are_not():
    found = pairs(ann=ANN, bob=BOB, cem=CEM, dan=COPY)
    assert [names for *names, _ in found] == [["ann", "dan"]]
    assert pairs(0.1, ann=ANN, bob=BOB, cem=CEM) == []


def test_the_stub_and_what_everyone_writes_say_nothing():
    assert pairs(0.01, ann=STUB, bob=STUB) == []
    class_of_ann = {f"s{i}": ANN for i in range(40)}
    [(*_, rare)] = pairs(ann=ANN, dan=COPY)
    assert all(figure < rare / 2 for *_, figure in pairs(0.01, **class_of_ann))


def test_part_of_a_copy_has_part_of_the_figure():
    begin = BOB.index("def windows")
    half = BOB[:begin] + COPY[COPY.index("def windows") : COPY.index("def standardise")]
    [(*_, whole)] = pairs(0.01, ann=ANN, dan=COPY)
    [(*_, part)] = pairs(0.01, ann=ANN, bob=half)
    assert 0 < part < whole < 1


def test_known_answers_are_compared_with_submissions_alone():
    found = pairs(ann=ANN, bob=BOB, known=[("public", COPY), ("mirror", COPY)])
    assert sorted(names for *names, _ in found) == [["ann", "mirror"], ["ann", "public"]]


def test_the_work_of_a_group_is_no_pair(tmp_path):
    codes = [code(name, ANN, path=tmp_path) for name in ("ann", "bob")]
    assert Comparison(codes).pairs() == []


def test_shared_regions_are_the_lines_that_are_alike():
    codes = [code("ann", ANN), code("dan", COPY), code("bob", BOB)]
    comparison = Comparison(codes, [tokens_of(STUB)])
    fragments = comparison.fragments(codes[0], codes[1])
    first = {
        (ANN.split("\n")[one.left[0] - 1].strip(), COPY.split("\n")[one.right[0] - 1].strip())
        for one in fragments
    }
    assert first == {("total = 0.0", "acc = 0.0"), ("found = []", "out: list = []")}
    assert all(one.common == 2 and one.weight > 10 for one in fragments)
    assert comparison.fragments(codes[0], codes[2]) == []


def test_code_that_repeats_itself_is_done_with():
    """Here all places of the one would have to be tried with all of the other."""
    many = "x = 1\n" * 8000
    few = ("x = 1\n" * 30 + "del x\n") * 250
    codes = [code("ann", many), code("bob", few)]
    fragments = Comparison(codes).fragments(*codes)
    assert fragments and fragments[0].left[0] == 1


# ---- the page ----


def page_of(names=("ann", "dan"), sources=(ANN, COPY), **more) -> str:
    codes = [code(name, source, file="a.py") for name, source in zip(names, sources, strict=True)]
    comparison = Comparison(codes, [tokens_of(STUB)])
    compared = Compared("ch1", "Sums", len(codes), comparison, comparison.pairs())
    return similarity_page([compared], more.get("odd", []), [], "Toy", 0.5, 0)


def test_the_page_ranks_and_shows_side_by_side():
    page = read_page(page_of())
    percent, chapter, who = page.row("80 %") if "80 %" in page.words else page.rows[-1]
    assert percent.endswith("%") and chapter == "ch1" and " ".join(who.split()) == "ann and dan"
    assert "no proof" in page.words
    assert "total = 0.0" in page.words and "acc = 0.0" in page.words
    assert "My own docstring" not in page.words
    sides = [words for words in page.of("pre") if words.strip()]
    assert len(sides) == 4


def test_no_text_becomes_markup():
    evil = "</pre><script>alert(1)</script>\u202e"
    sources = [source.replace("0.0", f'0.0 + len("{evil}")') for source in (ANN, COPY)]
    html = page_of(("ann", f"<b>{evil}"), sources, odd=[evil])
    page = read_page(html)
    assert "<script>" not in html and "alert(1)" in page.words


def test_a_place_in_a_notebook_is_told_by_its_cells():
    source = "a = 1\nb = 2\nc = 3\n"
    one = code("ann", source, file="ch1.ipynb", cells=((2, 1), (2, 2), (5, 1), (5, 2)))
    assert place(one, 1, 2) == "ch1.ipynb, cell 2, lines 1 to 2"
    assert place(one, 2, 3) == "ch1.ipynb, cell 2, line 2, to cell 5, line 1"
    assert place(code("ann", source, file="a.py"), 1, 2) == "a.py, lines 1 to 2"


# ---- the command ----


@pytest.fixture
def course(tmp_path):
    root = tmp_path / "course"
    stub = {"exercises/ch1/sums.py": STUB}
    toy_course.write_toy_course(root, toy_course.FILES | {"toy_reference/ch1/sums.py": BOB} | stub)
    folder = tmp_path / "submissions"
    for name, source in {"ann": ANN, "bob": BOB, "cem": CEM}.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "sums.py").write_text(source)
    (folder / "dan.zip").write_bytes(zip_bytes({"ch1/ch1.ipynb": notebook(*COPY.split("\n\n\n"))}))
    return root


def similarity(root, *arguments):
    command = [sys.executable, "-m", "grader.cli", "similarity", *map(str, arguments)]
    return subprocess.run(
        command,
        cwd=root,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(sandbox.HERE.parent)},
    )


def test_from_a_folder_of_submissions_to_a_page(course):
    folder = course.parent / "submissions"
    for name, data in {"odd": b"\0\1\2", "broken": b"def f(:\n", "huge": b"x = 1\n" * 60_000}.items():
        (folder / name).mkdir()
        (folder / name / "sums.py").write_bytes(data)
    known = course.parent / "known"
    known.mkdir()
    (known / "found.py").write_text(CEM)
    (known / "odd.py").write_bytes(b"\xff\0")
    done = similarity(course, folder, "--to", course.parent / "page.html", "--known", known)
    assert done.returncode == 0, done.stderr
    html = (course.parent / "page.html").read_text()
    page = read_page(html)
    listed = [" ".join(row[2].split()) for row in page.rows if len(row) == 3 and row[0].endswith("%")]
    assert sorted(listed) == [
        "ann and dan",
        "bob and the answer toy_reference/ch1/sums.py",
        "cem and the answer known/found.py",
    ]
    assert "ch1.ipynb, cell" in page.words
    for words in ("odd, ch1: ", "broken, ch1: ", "huge, ch1: ", "known/odd.py "):
        assert words in page.words and words in done.stdout


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["none", "--to", "p.html"], "none is no folder"),
        (["tests", "--to", "p.py"], "must end in .html"),
        (["tests", "--to", "p.html", "--chapter", "ch7"], "no chapter ch7"),
        (["tests", "--to", "p.html", "--known", "none"], "--known none"),
        (["empty", "--to", "p.html"], "empty is empty"),
    ],
)
def test_the_users_mistakes_are_one_line_and_exit_2(course, arguments, said):
    (course / "empty").mkdir()
    done = similarity(course, *arguments)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert not (course / "p.html").exists()
