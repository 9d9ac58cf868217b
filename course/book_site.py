"""The book as a site: what Sphinx makes of the pages' exercises and questions.

    ```{exercise} CausalAttention      title, points, where its stub stands, what to run, and its hints
    ```{question} why-divide           its points and its text
    ```{benchmark} BPE training        that section of benchmarks/README.md: a figure stands in one place only

Each chapter's stubs are shown on a page of their own, exercises/chN/MODULE.html, as they are handed out.
"""

import ast
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.osutil import relative_uri

from course.errors import CourseError
from course.hints import HINTS, levels_of, lines_of
from course.pieces import MODULES, REFERENCE
from course.workplace import EXERCISES
from grader.course_file import Chapter, load_course

ROOT = Path(__file__).parents[1]
COURSE_FILE = ROOT / "course.toml"
BENCHMARKS = ROOT / "benchmarks" / "README.md"
LINE = "line"  # how the anchors of a stub page's lines begin


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("exercise", Exercise)
    app.add_directive("question", Question)
    app.add_directive("benchmark", Benchmark)
    app.connect("html-collect-pages", stub_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def executed_with() -> str:
    """A name for the code that the pages' cells call: other code, other outputs.

    It is the chapters, and what the pages import of the course; not what that imports in turn.
    """
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "course" / "book").glob("*.md"))
    paths = {f"course/{name}.py" for name in re.findall(r"^from course\.(\w+) import", pages, re.M)}
    paths |= {
        f"{place}/{name}/{file}.py" for place in (EXERCISES, REFERENCE) for name, file in MODULES.items()
    }
    digest = hashlib.sha256()
    for path in sorted(paths):
        if (ROOT / path).is_file():
            digest.update(path.encode() + b"\0" + (ROOT / path).read_bytes() + b"\0")
    for package in ("torch", "numpy", "matplotlib"):
        digest.update(version(package).encode())
    return digest.hexdigest()[:16]


# ---- directives ----


class Exercise(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name, chapter = self.arguments[0], self.env.docname
        known = _exercises(chapter)
        if name not in known:
            raise self.error(f"{chapter} has no exercise {name}; it has {', '.join(known)}")
        try:
            hints = levels_of(chapter, name)
        except CourseError as error:
            raise self.error(str(error)) from None
        stub = stub_file(chapter)
        for file in (COURSE_FILE, HINTS / f"{chapter}.toml", stub):
            self.env.note_dependency(file)
        shown = stub.relative_to(ROOT).as_posix()
        line = _lines_of_definitions(stub.read_text(encoding="utf-8"))[name]
        link = nodes.reference(
            "", "", nodes.literal(text=shown), refuri=f"{stub_page(chapter)}.html#{LINE}-{line}"
        )
        command = nodes.literal(text=f"pytest {EXERCISES}/{chapter} -k {name}")
        box = nodes.admonition(
            "",
            _title("Exercise: ", nodes.literal(text=name), known[name]),
            nodes.paragraph("", "", nodes.Text("Write it in "), link, nodes.Text(", then run "), command),
            classes=["exercise"],
            ids=[f"exercise-{name}"],
        )
        for number, hint in enumerate(hints, 1):
            box += _folded(f"Hint {number} of {len(hints)}", _hint(hint))
        self.set_source_info(box)
        return [box]


class Question(SphinxDirective):
    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"points": directives.positive_int}

    def run(self) -> list[nodes.Node]:
        if "points" not in self.options:
            raise self.error(f"the question {self.arguments[0]} says no :points:")
        self.assert_has_content()
        box = nodes.admonition(
            "",
            _title("Question", nodes.Text(""), self.options["points"]),
            *self.parse_content_to_nodes(),
            classes=["question"],
            ids=[f"question-{self.arguments[0]}"],
        )
        self.set_source_info(box)
        return [box]


class Benchmark(SphinxDirective):
    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        title, readme = self.arguments[0], BENCHMARKS.read_text(encoding="utf-8")
        self.env.note_dependency(BENCHMARKS)
        section = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", readme, re.M | re.S)
        if not section:
            raise self.error(f"{BENCHMARKS.relative_to(ROOT).as_posix()} has no section {title}")
        return self.parse_text_to_nodes(section[1])


def _title(kind: str, name: nodes.Node, points: int | None) -> nodes.title:
    worth = "no points this time" if points is None else f"{points} points"
    return nodes.title(
        "", "", nodes.Text(kind), name, nodes.Text(" "), nodes.inline(text=worth, classes=["points"])
    )


def _folded(summary: str, inside: list[nodes.Node]) -> list[nodes.Node]:
    start = f'<details class="hint"><summary>{escape(summary)}</summary>'
    return [nodes.raw("", start, format="html"), *inside, nodes.raw("", "</details>", format="html")]


def _hint(text: str) -> list[nodes.Node]:
    """The paragraphs of a hint, as the terminal shows it; what stands between backticks is code."""
    return [nodes.paragraph("", "", *_with_code(line)) for line in lines_of(text)]


def _with_code(line: str) -> Iterator[nodes.Node]:
    for number, part in enumerate(line.split("`")):
        if part:
            yield nodes.literal(text=part) if number % 2 else nodes.Text(part)


@cache
def _chapters() -> dict[str, Chapter]:
    return load_course(COURSE_FILE).chapters


def _exercises(chapter: str) -> dict[str, int | None]:
    """A chapter's exercises with their points; None for those that are not taught this time."""
    if chapter not in _chapters():
        return {}
    found = _chapters()[chapter]
    return found.points | dict.fromkeys(found.dropped)


# ---- stubs ----


def stub_file(chapter: str) -> Path:
    return ROOT / EXERCISES / chapter / f"{MODULES[chapter]}.py"


def stub_page(chapter: str) -> str:
    return f"{EXERCISES}/{chapter}/{MODULES[chapter]}"


def stub_pages(app: Sphinx) -> Iterator[tuple[str, dict, str]]:
    """A page for the stubs of each chapter that the book has."""
    for chapter in sorted(app.env.found_docs & MODULES.keys()):
        source = stub_file(chapter).read_text(encoding="utf-8")
        page, title = stub_page(chapter), f"{stub_page(chapter)}.py"
        back = relative_uri(app.builder.get_target_uri(page), app.builder.get_target_uri(chapter))
        code = app.builder.highlighter.highlight_block(source, "python", lineanchors=LINE)
        chapter_link = f'<a href="{back}">{escape(_chapters()[chapter].title)}</a>'
        about = f"The stubs of {chapter_link}, as <code>course start my-gpt</code> writes them."
        body = f"<h1>{escape(title).replace('/', '/<wbr>')}</h1><p>{about}</p>{code}"
        yield page, {"title": title, "body": body}, "page.html"


def _lines_of_definitions(source: str) -> dict[str, int]:
    return {
        node.name: node.lineno
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
