"""Downloads of a class's work, made as Canvas, Moodle, Gradescope, nbgrader and git make them.

How the names are built follows those systems' own published sources: Canvas's lib/content_zipper.rb, Moodle's
mod/assign/classes/downloader.php, the exports that Gradescope's users describe, nbgrader's documentation.
"""

import csv
import io
import os
import re
import subprocess
from pathlib import Path

from tests.grader.handed_in import write


def canvas_name(sortable: str, user: int | str, file: int, called: str, late: bool = False) -> str:
    """As Canvas names a file: `Doe, Jane` becomes doejane."""
    name = re.sub(r"_(\d+)_", r"\1", sortable).lower()
    start = "_".join(filter(None, [name, "LATE" if late else "", str(user)]))
    start = re.sub(r"\W", "", start)
    return f"{start}_{file}_{called}"


def canvas_gradebook(
    students: list[tuple[str, int, str]], columns: dict[str, str], mark="", end="\n", grades=None
) -> bytes:
    """As Canvas exports a gradebook: the header, a row on posting, the points possible, the students.

    students: sortable name, id, login. columns: points possible by heading.
    """
    rows = [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *columns, "Final Score"],
        ["", "", "", "", "", *["Manual Posting" for _ in columns], ""],
        ["    Points Possible", "", "", "", "", *columns.values(), "(read only)"],
    ]
    for name, user, login in students:
        own = (grades or {}).get(user, ["" for _ in columns])
        rows.append([name, str(user), f"S{user}", login, "Section 1", *own, "93.12"])
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=end).writerows(rows)
    return (mark + out.getvalue()).encode()


def moodle_folder(name: str, identifier: int | None, kind: str = "file", ending: str = "") -> str:
    identifier = f"_{identifier}" if identifier is not None else ""
    return f"{name.replace('_', ' ')}{identifier}_assignsubmission_{kind}{ending}"


def moodle_worksheet(students: list[tuple[str, int, str]], maximum="100.00", mark="\ufeff") -> bytes:
    """As Moodle exports a grading worksheet; students: name, id in this assignment, email address."""
    lines = [
        'Identifier,"Full name","Email address",Status,Grade,"Maximum grade","Grade can be changed",'
        '"Last modified (submission)","Last modified (grade)","Feedback comments"'
    ]
    for name, identifier, email in students:
        lines.append(
            f'"Participant {identifier}","{name}",{email},"Submitted for grading - ",,{maximum},Yes,'
            '"Thursday, 1 October 2026, 9:58 PM",-,'
        )
    return (mark + "\n".join(lines) + "\n").encode()


def gradescope_export(submissions: dict[int, tuple], zipped=True, more: str = "") -> dict[str, bytes]:
    """Files of an export. submissions, by number: people as (name, sid, email), time, files."""
    top = "assignment_4711_export/"
    lines, files = ["---"], {}
    for number, (people, created, contents) in submissions.items():
        lines += [f"submission_{number}:", "  :submitters:"]
        for name, sid, email in people:
            lines += [
                f"  - :name: {name}",
                f"    :sid: '{sid}'" if sid else "    :sid: ",
                f"    :email: {email}",
            ]
        lines += [f"  :created_at: {created}", "  :score: 0.0", "  :status: unprocessed", "  :results:"]
        lines += ["    tests:", "    - name: a", "      output: 'b'", "  :history:", "  - :id: 1"]
        files |= {f"{top}submission_{number}/{name}": data for name, data in contents.items()}
    files[f"{top}submission_metadata.yml"] = ("\n".join(lines) + "\n" + more).encode()
    return files


def clone(folder: Path, files: dict[str, str], when: str) -> Path:
    """A git repository with one commit of that time, packed as a clone is."""
    write(folder, files)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_COMMITTER_DATE": when,
        "GIT_AUTHOR_DATE": "2001-01-01T00:00:00+00:00",
    }
    person = ["-c", "user.name=Jane", "-c", "user.email=jane@x"]
    for command in (
        ["init", "-q", "-b", "main"],
        ["add", "."],
        [*person, "commit", "-q", "-m", "work"],
        ["gc", "-q"],
    ):
        subprocess.run(["git", *command], cwd=folder, env=environment, check=True)
    return folder
