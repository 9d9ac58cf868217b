"""nbgrader's steps with the judge in the place of a kernel; a course's nbgrader_config.py calls `configure`.

No student's code runs in nbgrader's process. What was handed in is read as data (`ReadAsData`), brought back
into the form of what was released (`MendCells`), and judged as `grader grade` does (`AskJudge`). What the
judge says goes into the cells that carry points, and nbgrader's own steps save it.

It fails closed: first the gradebook forgets the submission's points, and each such cell gets an error, which
counts 0; only a verdict puts something else there. Without one, nbgrader lists the student among those that
failed, and its next run tries them again.
"""

import datetime
import json
import re
from pathlib import Path

from nbconvert.exporters import NotebookExporter
from nbformat import NotebookNode, from_dict
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde, GenerateAssignment
from nbgrader.plugins import LateSubmissionPlugin
from nbgrader.preprocessors import ClearSolutions, Execute, NbGraderPreprocessor
from traitlets import Bool, Unicode

from grader.course_file import NAME, load_course
from grader.errors import GraderError
from grader.notebook_cells import code_cells
from grader.notebooks import KERNEL, exercise_of
from grader.places import NOTEBOOK, Refused
from grader.release import make_stub

# whose a file is to zip_collect: jane/ch3.ipynb, or jane_ch3.ipynb
WHOSE = r".*[/\\](?P<student_id>[^/\\]+)[/\\_](?P<file_id>[^/\\_]+)[.]ipynb"
IMAGES = ("image/png", "image/jpeg", "image/gif")
TAG = re.compile(r"<(?!/?(?:b|i|em|strong|code|sub|sup|br|p|details|summary)>)(?=[a-z/!?])", re.I)
ENTITY = re.compile(r"&(?=[#\w])")
SCHEME = re.compile(r"(javascript|vbscript|data)(\s*):", re.I)


def configure(config, course: str) -> None:
    """All that a course needs in its nbgrader_config.py. course: the folder with course.toml."""
    for step in (AskJudge, LateDays):
        config[step.__name__].course = course
    config.GenerateAssignment.preprocessors = [
        WriteStubs if step is ClearSolutions else step for step in GenerateAssignment().preprocessors
    ]
    config.Autograde.exporter_class = ReadAsData
    config.Autograde.sanitize_preprocessors = [MendCells, *Autograde().sanitize_preprocessors]
    config.Autograde.autograde_preprocessors = [
        AskJudge if step is Execute else step for step in Autograde().autograde_preprocessors
    ]
    config.AssignLatePenalties.plugin_class = LateDays
    config.FileNameCollectorPlugin.named_regexp = WHOSE


class WriteStubs(NbGraderPreprocessor):
    """In the place of ClearSolutions: the stubs that `grader release` writes, so that both are the same."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        for cell in nb.cells:
            mark = cell.metadata.get("nbgrader") or {}
            if cell.cell_type != "code":
                continue
            stub = make_stub(cell.source, mark.get("grade_id") or "a cell")
            if stub != cell.source and not mark.get("solution"):
                raise GraderError("a cell holds a solution and is not marked as one for nbgrader")
            cell.source = stub
        return nb, resources


# ---- what was handed in ----


class ReadAsData(NotebookExporter):
    """Of a notebook's file only the texts of its cells and nbgrader's ids, whatever else is in it."""

    def from_filename(self, filename: str, resources: dict | None = None, **more):
        return self.from_notebook_node(cells_of(Path(filename)), resources, **more)


def cells_of(path: Path) -> NotebookNode:
    """A notebook of the cells of a file; of one that cannot be read, with the reason as its only cell."""
    try:
        if path.is_symlink() or not path.is_file():
            raise Refused("is no file")
        if path.stat().st_size > NOTEBOOK:
            raise Refused("is too large")
        data = path.read_bytes()
        code_cells(data)
        cells = [_cell(cell) for cell in json.loads(data.decode("utf-8-sig"))["cells"]]
    except Refused as refused:
        cells = [new_markdown_cell(f"**{path.name} {harmless(str(refused))}**")]
    for number, cell in enumerate(cells, 1):
        cell.id = f"cell-{number}"
    language = {"name": "python", "file_extension": ".py"}
    return new_notebook(cells=cells, metadata={"kernelspec": KERNEL, "language_info": language})


def _cell(cell: dict) -> NotebookNode:
    source = cell.get("source")
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    metadata = cell.get("metadata")
    mark = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    kept = {"nbgrader": mark} if isinstance(mark, dict) else {}
    source = (
        source.encode(errors="replace").decode() if isinstance(source, str) else ""
    )  # halves of characters
    if cell.get("cell_type") == "code":
        return new_code_cell(source, metadata=kept)
    attachments = _images(cell.get("attachments"))
    return new_markdown_cell(source, metadata=kept, **({"attachments": attachments} if attachments else {}))


def _images(attachments: object) -> dict:
    """Pictures in an answer."""
    found = {}
    for name, kinds in attachments.items() if isinstance(attachments, dict) else ():
        data = {kind: kinds[kind] for kind in IMAGES if isinstance(kinds, dict) and kind in kinds}
        data = {k: v for k, v in data.items() if isinstance(v, str) and re.fullmatch(r"[\w+/=\s]*", v)}
        if data:
            found[name.encode(errors="replace").decode()] = data
    return found


def harmless(markdown: str) -> str:
    """Markdown without HTML but for the plainest tags: formgrader shows it where the instructor is logged in.

    >>> harmless('a < b, <b>so</b> <script>x</script> [y](javascript:z) &#106;')
    'a < b, <b>so</b> &lt;script>x&lt;/script> [y](javascript :z) &amp;#106;'
    """
    return SCHEME.sub(r"\1 :", TAG.sub("&lt;", ENTITY.sub("&amp;", markdown)))


class MendCells(NbGraderPreprocessor):
    """Brings nbgrader's marks back to what was released: no others, each once, and none missing."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        about = resources["nbgrader"]
        with Gradebook(about["db_url"]) as gradebook:
            released = _released(gradebook, about)
        kept = {}
        for cell in nb.cells:
            name = cell.metadata.pop("nbgrader", {}).get("grade_id")
            if cell.cell_type == "markdown":
                cell.source = harmless(cell.source)
            if not isinstance(name, str) or name not in released:
                continue
            touched = name in kept and kept[name].source != released[name].source
            if not touched or cell.source != released[name].source:
                kept[name] = cell  # of several the last that was written in, as nbgrader has it
        for name, cell in kept.items():
            cell.metadata["nbgrader"] = released[name].metadata["nbgrader"]
        missing = [cell for name, cell in released.items() if name not in kept]
        if missing:
            note = "*What follows was missing from what was handed in.*"
            nb.cells += [new_markdown_cell(note), *missing]
        for number, cell in enumerate(nb.cells, 1):
            cell.id = f"cell-{number}"
        return nb, resources


def _released(gradebook: Gradebook, about: dict) -> dict[str, NotebookNode]:
    """The cells with marks as they were released, by id."""
    notebook = gradebook.find_notebook(about["notebook"], about["assignment"])
    solutions = {cell.name for cell in notebook.solution_cells}
    tasks = {cell.name: cell.max_score for cell in notebook.task_cells}
    points = {cell.name: cell.max_score for cell in notebook.grade_cells}
    cells = {}
    for one in notebook.source_cells:
        mark = {
            "schema_version": 3,
            "grade_id": one.name,
            "grade": one.name in points,
            "solution": one.name in solutions,
            "locked": one.locked,
            "task": one.name in tasks,
            "cell_type": one.cell_type,
            "checksum": one.checksum,
        }
        if one.name in points | tasks:
            mark["points"] = (points | tasks)[one.name]
        new = new_code_cell if one.cell_type == "code" else new_markdown_cell
        cells[one.name] = new(one.source, metadata={"nbgrader": from_dict(mark)})
    return cells


# ---- the judge ----


class AskJudge(NbGraderPreprocessor):
    """In the place of Execute: the judge grades the file that was handed in."""

    course = Unicode(help="The folder with course.toml.").tag(config=True)
    results = Unicode("judged", help="Where the judge's full reports go.").tag(config=True)
    require_sandbox = Bool(False, help="Refuse to grade without a sandbox.").tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        from grader.nbgrader_judge import judged, output_of

        about = resources["nbgrader"]
        cells = {}
        for cell in nb.cells:
            mark = cell.metadata.get("nbgrader") or {}
            if cell.cell_type == "code" and mark.get("grade") and not mark.get("solution"):
                cell.outputs = [_no_verdict()]
                cells[exercise_of(cell) or mark["grade_id"]] = cell
        _forget_points(about)
        submitted = self._submitted(about)
        report, course = judged(
            Path(self.course), submitted, Path(self.results), about["notebook"], self.require_sandbox
        )
        if report["faults"]:
            raise GraderError(f"the judge has no verdict on all of it: {report['faults'][0]}")
        outputs = {row["name"]: output_of(row, report, course) for row in report["exercises"]}
        for name, cell in cells.items():
            if name not in outputs:
                raise GraderError(f"the judge has no verdict on the cell {name!r}: course.toml lacks it")
            cell.outputs = [outputs[name]]
        return nb, resources

    def _submitted(self, about: dict) -> Path:
        """The student's own folder, which nbgrader has copied nothing from yet but the notebook."""
        found = self
        while found is not None and not hasattr(found, "coursedir"):
            found = found.parent
        if found is None:
            raise GraderError("this step works in nbgrader's autograde only")
        coursedir = found.coursedir
        return Path(
            coursedir.format_path(coursedir.submitted_directory, about["student"], about["assignment"])
        )


def _no_verdict() -> NotebookNode:
    return new_output(
        "error", ename="NoVerdict", evalue="the judge has not spoken", traceback=["There is no verdict."]
    )


def _forget_points(about: dict) -> None:
    """Points of an earlier run do not outlive the verdict that they came from; manual ones stay."""
    with Gradebook(about["db_url"]) as gradebook:
        notebook = gradebook.find_submission_notebook(
            about["notebook"], about["assignment"], about["student"]
        )
        for grade in notebook.grades:
            grade.auto_score = None
            grade.needs_manual_grade = True
        gradebook.db.commit()


# ---- late days ----


class LateDays(LateSubmissionPlugin):
    """The penalty that [late] in course.toml says, counted from the deadline in the gradebook."""

    course = Unicode(help="The folder with course.toml.").tag(config=True)

    def late_submission_penalty(
        self, student_id: str, score: float, total_seconds_late: float
    ) -> float | None:
        late = load_course(Path(self.course) / NAME).late
        deadline = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
        factor = late.factor(deadline, deadline + datetime.timedelta(seconds=total_seconds_late))
        return score * (1 - factor) if factor < 1 else None
