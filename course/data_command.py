"""`course data`: what the course can reach, what is here, and fetching the rest."""

from typing import Annotated

import typer

from . import corpora, hub
from .errors import CourseError

data_app = typer.Typer(help="List, fetch and verify texts, vocabularies and weights.")


@data_app.callback(invoke_without_command=True)
def list_when_bare(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_data()


@data_app.command("list")
def list_data() -> None:
    """Show every known file and whether it is here."""
    states = [(file, corpora.state(file)) for file in corpora.FILES.values()]
    states += [(weights, hub.weights_state(weights.name)) for weights in corpora.WEIGHTS.values()]
    _show("name", "size", "licence", "state")
    for item, state in states:
        _show(item.name, _size(item.size), item.licence, state)
    typer.echo(f"\nFolder: {corpora.data_folder()}")
    typer.echo("Fetch with: course data fetch NAME")


@data_app.command("fetch")
def fetch_data(
    names: Annotated[list[str], typer.Argument(help="Known names, or all: every text and vocabulary.")],
) -> None:
    """Fetch files that are not here yet, and damaged ones again."""
    wanted = list(dict.fromkeys(n for name in names for n in (corpora.FILES if name == "all" else [name])))
    for name in wanted:
        if name not in corpora.FILES and name not in corpora.WEIGHTS:
            known = ", ".join([*corpora.FILES, *corpora.WEIGHTS])
            raise CourseError(f"no data called {name}; known are {known}, and all")

    failures = []
    for name in wanted:
        try:
            path = hub.download_gpt2(name, verify=True) if name in corpora.WEIGHTS else corpora.fetch(name)
            typer.echo(f"{name:<14}{path}")
        except CourseError as error:  # one that cannot be had must not keep the others away
            failures.append(str(error))
    if failures:
        raise CourseError("\n".join(failures))


@data_app.command("verify")
def verify_data() -> None:
    """Compare every file that is here with its checksum."""
    states = {file.name: corpora.state(file) for file in corpora.FILES.values()}
    states |= {name: hub.weights_state(name, verify=True) for name in corpora.WEIGHTS}
    for name, state in states.items():
        if state != "not fetched":
            typer.echo(f"{name:<14}{'right' if state == 'here' else state}")
    if all(state == "not fetched" for state in states.values()):
        typer.echo("Nothing is here yet. Fetch with: course data fetch NAME")
    if damaged := [name for name, state in states.items() if state == "damaged"]:
        names = " ".join(damaged)
        raise CourseError(f"damaged in {corpora.data_folder()}: {names}; run: course data fetch {names}")


def _show(name: str, size: str, licence: str, state: str) -> None:
    typer.echo(f"{name:<14}{size:>8}  {licence:<15}{state}")


def _size(size: int) -> str:
    if size < 1e6:
        return f"{size / 1e3:.0f} kB"
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"
