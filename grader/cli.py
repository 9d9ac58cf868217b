"""The `grader` command: what an instructor types."""

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from grader.errors import GraderError

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Hand out a course's exercises, grade what comes back, and prove that the checks hold.",
)

Chapters = Annotated[
    list[str] | None, typer.Option("--chapter", metavar="chN", help="Only this one; can be given again.")
]

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="The scheduler's: HOST, or tls://HOST:8786.")]
TlsCa = Annotated[
    Path | None, typer.Option(metavar="PEM", help="The cluster's certificate authority: whom to trust.")
]
TlsCert = Annotated[Path | None, typer.Option(metavar="PEM", help="This machine's certificate.")]
TlsKey = Annotated[Path | None, typer.Option(metavar="PEM", help="Its key.")]
System = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="SYSTEM",
        help="If it cannot be told by looking: folder, canvas, moodle, gradescope, classroom, nbgrader.",
    ),
]
RosterFile = Annotated[
    Path | None, typer.Option(metavar="CSV", help="Who is who: see grader/roster.py for its columns.")
]


@app.callback()
def grader() -> None:
    """One command would otherwise be the whole app."""


@app.command()
def release(
    chapter: Chapters = None,
    to: Annotated[Path | None, typer.Option(help="Build the hand-out as this new folder.")] = None,
    zip: Annotated[bool, typer.Option("--zip", help="Also as FOLDER.zip, beside the folder.")] = False,
    reveal: Annotated[
        str | None,
        typer.Option(metavar="ch1..ch3", help="Chapters handed out solved: ch1..ch3, or ch2, or ch2,ch4."),
    ] = None,
) -> None:
    """Write exercises/ from the solutions; build the hand-out."""
    from grader import release_command  # late: it imports torch

    release_command.release(chapter, to, zip, reveal)


@app.command()
def selftest(
    chapter: Chapters = None,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, help="Chapters at the same time.")] = 1,
) -> None:
    """Prove that the course and its checks hold."""
    from grader import selftest as proving  # late: it imports torch

    raise typer.Exit(proving.selftest(chapter, jobs))


@app.command()
def grade(
    submissions: Annotated[
        Path,
        typer.Argument(
            help="A folder with one folder, archive or file a student, or what Canvas, Moodle, Gradescope or"
            " nbgrader has of them, as its zip or unpacked."
        ),
    ],
    to: Annotated[Path, typer.Option(metavar="RESULTS", help="Where grades, reports and feedback go.")],
    chapter: Chapters = None,
    student: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only this one, as in grades.csv; all others stay as they are. Can be given again.",
        ),
    ] = None,
    system: System = None,
    roster: RosterFile = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Judges at a time; one a core if not given.")
    ] = None,
    require_sandbox: Annotated[bool, typer.Option(help="Refuse to grade without a sandbox.")] = False,
    seed: Annotated[str | None, typer.Option(help="The round's secret, to repeat a round.")] = None,
    force: Annotated[bool, typer.Option(help="Grade again what has not changed, too.")] = False,
    pseudonyms: Annotated[bool, typer.Option(help="No names in class.html and log.jsonl.")] = False,
    dask: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="On the cluster of this scheduler, with the --tls files."),
    ] = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
) -> None:
    """Grade a folder of submissions."""
    from grader.cluster import given_tls
    from grader.grading import Settings, grade

    chapters = tuple(chapter or ())
    tls = given_tls(tls_ca, tls_cert, tls_key) if dask is not None else None
    settings = Settings(
        submissions,
        to,
        chapters,
        workers,
        require_sandbox,
        seed,
        force,
        pseudonyms,
        system,
        roster,
        dask,
        tls,
        tuple(student or ()),
    )
    raise typer.Exit(grade(settings))


@app.command()
def worker(
    address: Address,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Judges at a time; one a core if not given.")
    ] = None,
) -> None:
    """Grade what `grader grade --dask` hands out."""
    from grader import cluster_worker
    from grader.cluster import given_tls
    from grader.grading import cores

    cluster_worker.work(address, given_tls(tls_ca, tls_cert, tls_key), workers or cores())


@app.command()
def scheduler(
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    host: Annotated[str, typer.Option(help="The address to listen at; all if not given.")] = "",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8786,
) -> None:
    """Pass work from `grader grade --dask` on to the workers."""
    from grader import cluster_worker
    from grader.cluster import given_tls

    cluster_worker.schedule(host, port, given_tls(tls_ca, tls_cert, tls_key))


@app.command()
def export(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="The folder that `grader grade` wrote.")],
    to: Annotated[
        Path | None, typer.Option(help="The new file, or folder with --gradescope; not with --nbgrader.")
    ] = None,
    canvas: Annotated[
        Path | None, typer.Option(metavar="GRADEBOOK.csv", help="Into one column of Canvas's gradebook.")
    ] = None,
    moodle: Annotated[
        Path | None, typer.Option(metavar="WORKSHEET.csv", help="Into Moodle's grading worksheet.")
    ] = None,
    gradescope: Annotated[
        bool, typer.Option("--gradescope", help="A results.json for each student.")
    ] = False,
    junit: Annotated[bool, typer.Option("--junit", help="All hidden checks, for instructors.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="A line a student, a column a chapter.")] = False,
    nbgrader: Annotated[
        Path | None, typer.Option(metavar="GRADEBOOK.db", help="Into this gradebook of nbgrader's, in place.")
    ] = None,
    chapter: Chapters = None,
    column: Annotated[
        str | None, typer.Option(help='The column, "Chapter 3 (12345)", if there are several.')
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Also if the file is there already.")
    ] = False,
) -> None:
    """Write grades as other systems take them; points and rounding by [export] in course.toml."""
    from grader.course_folder import CourseFolder
    from grader.exports import Wanted, export

    wanted = Wanted(
        results, to, canvas, moodle, gradescope, junit, csv, tuple(chapter or ()), column, overwrite, nbgrader
    )
    with needs_nbgrader():
        export(wanted, CourseFolder.around(Path.cwd()).course)


@app.command()
def gradescope(
    to: Annotated[Path, typer.Option(metavar="ZIP", help="The zip to upload.")],
    chapter: Chapters = None,
    seed: Annotated[str | None, typer.Option(help="The round's secret, to repeat a round.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Also if the file is there already.")
    ] = False,
) -> None:
    """Build the autograder that Gradescope runs on each submission."""
    from grader.course_folder import CourseFolder
    from grader.gradescope_zip import build

    if not chapter:
        raise GraderError("say which chapters the assignment is about: --chapter ch3")
    build(CourseFolder.around(Path.cwd()), tuple(chapter), to, seed, overwrite)


@app.command()
def notebooks(
    to: Annotated[Path, typer.Option(metavar="FOLDER", help="Gets study/ and, for nbgrader, source/.")],
    chapter: Chapters = None,
) -> None:
    """Build each chapter's notebooks from its page of the book: with stubs, and nbgrader's source."""
    from grader.course_folder import CourseFolder

    with needs_nbgrader():
        from grader.notebooks import write_notebooks
    for path in write_notebooks(CourseFolder.around(Path.cwd()), chapter or (), to):
        print(path)


nbgrader = typer.Typer(no_args_is_help=True, help="Grade with nbgrader's own commands and this judge.")
app.add_typer(nbgrader, name="nbgrader")


@nbgrader.callback()
def nbgrader_commands() -> None:
    """One command would otherwise be the whole of it."""


@nbgrader.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder.")],
    chapter: Chapters = None,
) -> None:
    """Make an nbgrader course: its configuration, sources, and a gradebook with the deadlines."""
    from grader.course_folder import CourseFolder

    with needs_nbgrader():
        from grader.nbgrader_course import init
    init(CourseFolder.around(Path.cwd()), folder, chapter or ())


@contextlib.contextmanager
def needs_nbgrader():
    try:
        yield
    except ModuleNotFoundError as error:
        raise GraderError(
            f"there is no {error.name} here: pip install -e '.[nbgrader]' in the course's folder"
        ) from None


@app.command()
def similarity(
    submissions: Annotated[Path, typer.Argument(help="As `grader grade` takes them.")],
    to: Annotated[Path, typer.Option(metavar="PAGE.html", help="The page that is written.")],
    chapter: Chapters = None,
    known: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="Known public answers, to compare with; can be given again."),
    ] = None,
    at_least: Annotated[
        float, typer.Option(min=1, max=100, metavar="PERCENT", help="From which figure on pairs are listed.")
    ] = 50,
    system: System = None,
    roster: RosterFile = None,
) -> None:
    """List pairs of submissions worth a look, with what they share side by side."""
    try:
        from grader.similarity_command import Wanted, similarity
    except ModuleNotFoundError as error:
        raise GraderError(
            f"there is no {error.name} here: pip install -e '.[grader]' in the course's folder"
        ) from None
    wanted = Wanted(submissions, to, tuple(chapter or ()), tuple(known or ()), at_least / 100, system, roster)
    similarity(wanted)


@app.command()
def explain(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="The folder that `grader grade` wrote.")],
    student: Annotated[str, typer.Argument(help="As named in grades.csv.")],
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="CHECK|EXERCISE",
            help="The name of a check or an exercise; without it, what did not pass is listed.",
        ),
    ] = None,
    chapter: Annotated[
        str | None, typer.Option(metavar="chN", help="If several chapters have one of that name.")
    ] = None,
    rerun: Annotated[bool, typer.Option("--rerun", help="Judge it again now, and compare.")] = False,
    submissions: Annotated[
        Path | None, typer.Option(help="For --rerun: what was graded, as `grader grade` took it.")
    ] = None,
    system: System = None,
    roster: RosterFile = None,
) -> None:
    """Show the full record of a check, for a request to regrade. Exit code 1: --rerun says otherwise."""
    from grader.course_folder import CourseFolder
    from grader.explain import Wanted, explain
    from grader.grading import only_one

    wanted = Wanted(results, student, what, chapter, rerun, submissions, system, roster)
    if not results.is_dir():
        raise GraderError(f"there is no {results}: name the folder that grader grade wrote")
    with only_one(results):
        raise typer.Exit(explain(wanted, CourseFolder.around(Path.cwd())))


@app.command("class")
def class_over_weeks(
    results: Annotated[
        list[Path], typer.Argument(metavar="RESULTS...", help="Folders that `grader grade` wrote, in order.")
    ],
    to: Annotated[Path, typer.Option(metavar="PAGE.html", help="The page that is written.")],
    pseudonyms: Annotated[bool, typer.Option(help="No names on the page.")] = False,
) -> None:
    """Draw the class over several rounds: points, exercises, wrong turns, and each student's way."""
    from grader.course_folder import CourseFolder
    from grader.weeks_page import weeks

    weeks(results, to, CourseFolder.around(Path.cwd()).course, pseudonyms)


@app.command()
def forget(
    student: Annotated[
        str, typer.Argument(help="As named in grades.csv. Left out with --chapter: the whole class.")
    ],
    results: Annotated[
        Path | None, typer.Argument(metavar="RESULTS", help="The folder that `grader grade` wrote.")
    ] = None,
    chapter: Annotated[
        str | None, typer.Option(metavar="chN", help="Only this one, graded by mistake.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before a chapter is deleted.")] = False,
) -> None:
    """Delete all of a student from RESULTS, or a chapter; say what that cannot reach."""
    from grader.course_folder import CourseFolder
    from grader.forget import forget, forget_chapter
    from grader.grading import only_one
    from grader.results import Results

    course = CourseFolder.around(Path.cwd()).course
    who: str | None = student
    if results is None and chapter is not None:
        who, results = None, Path(student)
    if results is None:
        raise GraderError(
            "say whose, and then where: grader forget STUDENT RESULTS; to take back a chapter of all:"
            " grader forget RESULTS --chapter chN"
        )
    if not results.is_dir():
        turned = f"the student comes first: grader forget {results} {who}"
        known = who is not None and Path(who).is_dir()
        raise GraderError(
            f"there is no folder {results}: {turned if known else 'name the one that grader grade wrote'}"
        )
    with only_one(results):
        if chapter is None:
            forget(who, Results(results), course)
        else:
            forget_chapter(chapter, Results(results), course, who, lambda what: yes or confirmed(what))


def confirmed(what: str) -> bool:
    """Whether the user says yes; where nobody can be asked, --yes must."""
    if not sys.stdin.isatty():
        raise GraderError(f"this would {what}: add --yes")
    return typer.confirm(what[0].upper() + what[1:] + "?")


@app.command()
def doctor() -> None:
    """Say what grading has to work with here, and what to do."""
    from grader.doctor import doctor

    raise typer.Exit(doctor())


def main() -> None:
    # Waiting threads that spin make everything slower where cores are shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        app()
    except GraderError as error:
        print(f"grader: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(
            "grader: stopped; what is done is kept, and the same command goes on from there", file=sys.stderr
        )
        sys.exit(130)


if __name__ == "__main__":
    main()
