"""A chapter as notebooks, from its page of the book and its solution.

The page has text, experiments, and directives where exercises and written questions belong. A notebook has in
their place:

    an exercise    its points and hints, the answer cell, and a cell that runs its public checks
    a question     its text, and a cell for the answer

What the module has beside its exercises (imports, constants) stands in a cell near the top. There are two
kinds. The plain notebook is for those who work alone and holds the stubs. nbgrader's source holds the
solution between its markers; the cells with checks carry the exercises' points, and answers to questions are
graded by hand. The hidden checks are in neither: the judge has them.
"""

import ast
import copy
import re
import symtable
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from grader.course_folder import ChapterFolders, CourseFolder
from grader.errors import GraderError
from grader.notebook_cells import GIVEN, given_mark
from grader.places import EXERCISES
from grader.release import make_stub
from grader.whole_file import write_whole

BOOK = "course/book"
PIECES = "from course.book_pieces import pieces\n"  # in a page; a notebook has its own
BEGIN = 'from course.notebook import begin\n\npieces, check = begin("{}")'
CHECK = "check-"  # how the ids of cells begin that carry an exercise's points
ANSWER = "*Your answer: put it here, in place of this line.*"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}

DIRECTIVE = re.compile(r"^```\{(exercise|question)\} ([\w-]+)\n((?::\w+:[^\n]*\n)*)(.*?)^```$", re.M | re.S)
POINTS = re.compile(r"^:points: (\d+)$", re.M)
MARKUP = re.compile(r"[\\*_<\[$]")  # what Markdown would read as more than text
LINK = re.compile(r"\[([^\]]*)\]\((ch\d+)\.md(#[^)]*)?\)")
OTHER_LINK = re.compile(r"\[([^\]]*)\]\((?!ch\d)\w+\.md\)")  # to a page that has no notebook


@dataclass(frozen=True)
class Parts:
    """A module in pieces. start: all before the first exercise; exercises: each with what is before it."""

    start: str
    exercises: dict[str, str]


def write_notebooks(folder: CourseFolder, chapters: Iterable[str], to: Path) -> list[Path]:
    """Write both notebooks of some chapters, of those that have a page if none is named."""
    chapters = chapters_with_pages(folder, chapters)
    written = write_sources(folder, chapters, to / "source")
    for name in chapters:
        written.append(_write(plain_notebook(folder.chapter(name)), to / "study" / f"{name}.ipynb"))
    return written


def write_sources(folder: CourseFolder, chapters: Iterable[str], to: Path) -> list[Path]:
    """nbgrader's sources, laid out as nbgrader has them."""
    return [_write(source_notebook(folder.chapter(name)), to / name / f"{name}.ipynb") for name in chapters]


def chapters_with_pages(folder: CourseFolder, wanted: Iterable[str]) -> list[str]:
    return list(wanted) or [name for name in folder.course.chapters if page_file(folder, name).is_file()]


def _write(notebook: NotebookNode, path: Path) -> Path:
    write_whole(path, nbformat.writes(notebook).encode() + b"\n")
    return path


def page_file(folder: CourseFolder, chapter: str) -> Path:
    return folder.root / BOOK / f"{chapter}.md"


def source_notebook(chapter: ChapterFolders) -> NotebookNode:
    """With the solution, as nbgrader's generate_assignment takes it."""
    return _notebook(chapter, list(_cells(chapter, LINK.sub(r"\1", _page(chapter)))))


def plain_notebook(chapter: ChapterFolders) -> NotebookNode:
    """With the stubs, and nothing of nbgrader's."""
    cells = list(_cells(chapter, LINK.sub(r"[\1](\2.ipynb\3)", _page(chapter))))
    for cell in cells:
        mark = cell.metadata.pop("nbgrader", {})
        if cell.cell_type == "code" and mark.get("solution"):
            cell.source = make_stub(cell.source, mark["grade_id"])
    return _notebook(chapter, cells)


def exercise_of(cell: NotebookNode) -> str | None:
    """The exercise whose points a cell carries, by its nbgrader id."""
    mark = cell.metadata.get("nbgrader") or {}
    grade_id = mark.get("grade_id") or ""
    return grade_id.removeprefix(CHECK) if mark.get("grade") and grade_id.startswith(CHECK) else None


def _notebook(chapter: ChapterFolders, cells: list[NotebookNode]) -> NotebookNode:
    for number, cell in enumerate(cells, 1):
        cell.id = f"{chapter.name}-{number}"
    language = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"}
    return new_notebook(cells=cells, metadata={"kernelspec": KERNEL, "language_info": language})


def _page(chapter: ChapterFolders) -> str:
    path = page_file(chapter.folder, chapter.name)
    if not path.is_file():
        raise GraderError(f"{chapter.name} has no page in the book: there is no {chapter.relative(path)}")
    return OTHER_LINK.sub(r"\1", path.read_text(encoding="utf-8"))


# ---- cells ----


def _cells(chapter: ChapterFolders, page: str) -> Iterator[NotebookNode]:
    parts = module_parts(chapter)
    left = dict(parts.exercises)
    begun = False
    for cell in jupytext.reads(page, fmt="md:myst").cells:
        if cell.cell_type == "code":
            yield from _experiment(chapter, parts, cell)
            continue
        position = 0
        for match in DIRECTIVE.finditer(cell.source):
            yield from _text(cell.source[position : match.start()])
            position = match.end()
            if match[1] == "question":
                yield from _question(match)
            elif match[2] not in left:
                raise GraderError(
                    f"{BOOK}/{chapter.name}.md: {{exercise}} {match[2]} is no exercise, or stands there twice"
                )
            else:
                yield from _exercise(chapter, match[2], left.pop(match[2]))
        yield from _text(cell.source[position:])
        if not begun:
            begun = True
            yield from _beginning(chapter, parts)
    if left:
        raise GraderError(f"{BOOK}/{chapter.name}.md has no {{exercise}} {next(iter(left))}")


def _beginning(chapter: ChapterFolders, parts: Parts) -> Iterator[NotebookNode]:
    """Earlier chapters and the checks, then what the module begins with."""
    yield _given(_marked(new_code_cell(BEGIN.format(chapter.name)), "begin", locked=True))
    yield _marked(new_code_cell(parts.start), "module", locked=True)


def _text(text: str) -> Iterator[NotebookNode]:
    if text.strip():
        yield new_markdown_cell(text.strip())


def _experiment(chapter: ChapterFolders, parts: Parts, cell: NotebookNode) -> Iterator[NotebookNode]:
    source = cell.source.replace(PIECES, "")
    taken = _names_in_common(source, chapter.source)
    if taken:
        raise GraderError(
            f"{BOOK}/{chapter.name}.md: a cell defines {', '.join(sorted(taken))}, as"
            f" {chapter.module_file.name} does; in a notebook the one would take the other's place"
        )
    hidden = "hide-input" in cell.metadata.get("tags", ())
    metadata = {"jupyter": {"source_hidden": True}} if hidden else {}
    yield _given(new_code_cell(re.sub(r"\n{3,}", "\n\n\n", source).strip("\n"), metadata=metadata))
    alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt")
    if alt:
        yield new_markdown_cell(f"<details><summary>The figure in words</summary>\n\n{alt}\n\n</details>")


def _exercise(chapter: ChapterFolders, name: str, source: str) -> Iterator[NotebookNode]:
    points = chapter.points.get(name)
    worth = "no points this time" if points is None else f"{points} points"
    lines = [
        f"### Exercise: `{name}`, {worth}",
        "Write it in the next cell, and run that. The cell after it runs the public checks.",
    ]
    hints = _hints(chapter, name)
    for number, hint in enumerate(hints, 1):
        summary = f"<summary>Hint {number} of {len(hints)}</summary>"
        lines.append(f"<details>{summary}\n\n{_as_markdown(hint.strip())}\n\n</details>")
    yield new_markdown_cell("\n\n".join(lines))
    yield _marked(new_code_cell(source), name, solution=True)
    check = _given(new_code_cell(f'check("{name}")'))
    yield _marked(check, f"{CHECK}{name}", locked=True, points=points)


def _question(match: re.Match) -> Iterator[NotebookNode]:
    points = POINTS.search(match[3])
    if not points:
        raise GraderError(f"the question {match[2]} says no :points:")
    text = f"**Question, {points[1]} points.** {match[4].strip()}"
    yield _marked(new_markdown_cell(text), f"question-{match[2]}", locked=True)
    answer = new_markdown_cell(ANSWER)
    yield _marked(answer, f"answer-{match[2]}", solution=True, points=int(points[1]))


def _given(cell: NotebookNode) -> NotebookNode:
    """A cell that grading knows as the course's own."""
    cell.metadata[GIVEN] = given_mark(cell.source)
    return cell


def _marked(
    cell: NotebookNode, name: str, *, solution: bool = False, locked: bool = False, points: int | None = None
) -> NotebookNode:
    """A cell with nbgrader's marks."""
    cell.metadata["nbgrader"] = {
        "schema_version": 3,
        "grade_id": name,
        "grade": points is not None,
        "solution": solution,
        "locked": locked,
        "task": False,
    } | ({} if points is None else {"points": points})
    return cell


def _hints(chapter: ChapterFolders, exercise: str) -> list[str]:
    if not chapter.hints_file.is_file():
        return []
    entries = tomllib.loads(chapter.hints_file.read_text(encoding="utf-8")).get("hint", [])
    return next((entry["levels"] for entry in entries if entry["exercise"] == exercise), [])


def _as_markdown(hint: str) -> str:
    """A hint as it was meant: a name like __init__ is not bold. Code in backticks and numbered items stay."""
    parts = hint.split("`")
    parts[::2] = [MARKUP.sub(r"\\\g<0>", part) for part in parts[::2]]
    return "`".join(parts)


# ---- the module ----


def module_parts(chapter: ChapterFolders) -> Parts:
    """The reference's module for a notebook: imports of earlier chapters name their package."""
    source = _absolute(chapter.source)
    lines = source.split("\n")
    body = ast.parse(source).body
    wanted = set(chapter.exercises)
    first = next(at for at, node in enumerate(body) if getattr(node, "name", None) in wanted)
    position = body[first - 1].end_lineno if first else 0
    start = "\n".join(lines[:position])
    exercises: dict[str, str] = {}
    for node in body[first:]:
        if getattr(node, "name", None) in wanted:
            end = node.end_lineno
            while end < len(lines) and lines[end].startswith(" "):  # the marker behind the last statement
                end += 1
            exercises[node.name] = "\n".join(lines[position:end]).strip("\n")
            position = end
    if rest := "\n".join(lines[position:]).strip("\n"):
        exercises[next(reversed(exercises))] += f"\n\n\n{rest}"
    return Parts(start.strip("\n"), exercises)


def _absolute(source: str) -> str:
    """`from ..ch3.attention import` as a notebook has it, which is in no package."""
    lines = source.split("\n")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level == 2:
            line = lines[node.lineno - 1]
            start = line.index("from ..", node.col_offset)
            lines[node.lineno - 1] = f"{line[:start]}from {EXERCISES}.{line[start + len('from ..') :]}"
    return "\n".join(lines)


def _names_in_common(cell: str, module: str) -> set[str]:
    """Names that a cell and the module both give to different things."""
    own, others = _bindings(cell), _bindings(module)
    return {
        name
        for name in own.keys() & others.keys()
        if own[name] != "itself" and (own[name] != others[name] or not own[name])
    }


def _bindings(source: str) -> dict[str, str]:
    """What a source's top level gives to names: an import's text, "itself" for x = module.x, else ""."""
    table = symtable.symtable(source, "<cell>", "exec")
    bound = {s.get_name(): "" for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                one = copy.copy(node)
                one.names = [alias]
                bound[alias.asname or alias.name.partition(".")[0]] = ast.unparse(one)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute):
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id == node.value.attr:
                    bound[target.id] = "itself"
    return bound
