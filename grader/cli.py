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
    help="Hand out a course's exercises, and prove that its checks hold.",
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


def main() -> None:
    # Waiting threads that spin make everything slower where cores are shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        app()
    except GraderError as error:
        print(f"grader: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
