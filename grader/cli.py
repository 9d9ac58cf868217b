"""The `grader` command: what an instructor types."""

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
    system: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="SYSTEM",
            help="If it cannot be told by looking: folder, canvas, moodle, gradescope, classroom, nbgrader.",
        ),
    ] = None,
    roster: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Who is who: see grader/roster.py for its columns.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Judges at a time; one a core if not given.")
    ] = None,
    require_sandbox: Annotated[bool, typer.Option(help="Refuse to grade without a sandbox.")] = False,
    seed: Annotated[str | None, typer.Option(help="The round's secret, to repeat a round.")] = None,
    force: Annotated[bool, typer.Option(help="Grade again what has not changed, too.")] = False,
    pseudonyms: Annotated[bool, typer.Option(help="No names in class.html and log.jsonl.")] = False,
) -> None:
    """Grade a folder of submissions."""
    from grader.grading import Settings, grade

    chapters = tuple(chapter or ())
    settings = Settings(
        submissions, to, chapters, workers, require_sandbox, seed, force, pseudonyms, system, roster
    )
    raise typer.Exit(grade(settings))


@app.command()
def export(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="The folder that `grader grade` wrote.")],
    to: Annotated[Path, typer.Option(help="The new file, or folder with --gradescope.")],
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
        results, to, canvas, moodle, gradescope, junit, csv, tuple(chapter or ()), column, overwrite
    )
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
def forget(
    student: Annotated[str, typer.Argument(help="As named in grades.csv.")],
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="The folder that `grader grade` wrote.")],
) -> None:
    """Delete all of a student from RESULTS; say what that cannot reach."""
    from grader.course_folder import CourseFolder
    from grader.forget import forget
    from grader.grading import only_one
    from grader.results import Results

    course = CourseFolder.around(Path.cwd()).course
    if not results.is_dir():
        raise GraderError(f"there is no {results}: name the folder that grader grade wrote")
    with only_one(results):
        forget(student, Results(results), course)


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
