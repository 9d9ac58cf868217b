"""The `course` command: what a student types."""

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from .data_command import data_app
from .errors import CourseError
from .screen import complain

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Build a GPT, train it, talk to it.",
)
app.add_typer(data_app, name="data")

Pieces = Annotated[
    str | None,
    typer.Option(
        "--pieces",
        help="Package of the pieces; exercises is yours [the course's own where it has them, else yours].",
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto, cuda, mps or cpu.")]
Threads = Annotated[int | None, typer.Option("--threads", help="CPU threads; measured when not given.")]


@app.callback(invoke_without_command=True)
def overview(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        from . import map as course_map

        course_map.show()


@app.command()
def start(folder: Annotated[Path, typer.Argument(help="The folder to make.")]) -> None:
    """Make a folder of your own with the exercises."""
    from . import start as starting

    starting.start(folder)


@app.command()
def watch(
    chapter: Annotated[
        str | None, typer.Argument(help="One to stay with, ch3 [whichever is not finished, in order].")
    ] = None,
) -> None:
    """Check the exercise in hand at each save."""
    from . import watch as watching
    from .workplace import workplace

    watching.watch(workplace(), chapter)


@app.command()
def hint(
    exercise: Annotated[
        str | None, typer.Argument(help="MultiHeadAttention, or just multi [the next].")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All hints at once.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Those that you have seen.")] = False,
) -> None:
    """Show the next hint for an exercise."""
    from . import hints
    from .workplace import workplace

    hints.hint(workplace(), exercise, everything, again)


@app.command()
def reset(
    name: Annotated[
        str, typer.Argument(help="An exercise, MultiHeadAttention or just multi, or a chapter, ch3.")
    ],
) -> None:
    """Put a stub back; a copy of what was there is kept."""
    from . import reset as resetting
    from .workplace import workplace

    resetting.reset(workplace(), name)


@app.command()
def update() -> None:
    """Bring in a newer course's checks; your code stays."""
    from . import update as updating
    from .workplace import workplace

    updating.update(workplace())


@app.command()
def tokenize(
    corpus: Annotated[str, typer.Argument(help="shakespeare, verdict, or a text file of any size.")],
    to: Annotated[Path, typer.Option(help="The file of token ids, for chapter 9's TokenFile.")],
    vocab: Annotated[
        str, typer.Option(help="gpt2, or a folder with a tokenizer, such as course train-tokenizer makes.")
    ] = "gpt2",
    processes: Annotated[int, typer.Option(help="How many share the work.")] = 1,
    package: Pieces = None,
) -> None:
    """Turn a text into a file of token ids."""
    from . import tokenize_text

    tokenize_text.tokenize(corpus, to, vocab, processes, package)


@app.command()
def train_tokenizer(
    corpus: Annotated[str, typer.Argument(help="shakespeare, verdict, or a text file.")],
    vocab_size: Annotated[int, typer.Option(help="How many tokens: 256 bytes, merges, special tokens.")],
    to: Annotated[Path, typer.Option(help="The folder for tokenizer.json.")],
    special_token: Annotated[
        list[str] | None, typer.Option(help="A string with an id of its own; may be given again.")
    ] = None,
    package: Pieces = None,
) -> None:
    """Learn a vocabulary from a text."""
    from . import train_tokenizer as training

    training.train_tokenizer(corpus, vocab_size, to, special_token or (), package)


@app.command()
def train(
    corpus: Annotated[str, typer.Argument(help="shakespeare, verdict, or a text file.")] = "shakespeare",
    size: Annotated[
        str, typer.Option(help="char-small, char, gpt2-small, gpt2-medium, gpt2-large, gpt2-xl.")
    ] = "char-small",
    steps: Annotated[
        int | None, typer.Option(help="Optimizer steps; the size's own number when not given.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Windows a batch.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The greatest of the schedule.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, batches and dropout [123].")] = None,
    eval_every: Annotated[int | None, typer.Option(help="Steps between two looks at the losses.")] = None,
    to: Annotated[Path | None, typer.Option(help="Run folder [runs/CORPUS-SIZE].")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run folder stopped.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run that the folder holds.")
    ] = False,
    fast: Annotated[bool, typer.Option("--fast", help="With chapter 9's pieces, where they pay.")] = False,
    package: Pieces = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Train a GPT made of the course's pieces on a text.

    Several processes share the work: torchrun --standalone --nproc-per-node 2 -m course.train ...
    """
    from . import train as training  # late: it imports torch
    from .parallel import joined_processes
    from .run_folder import RunFolder

    asked = {
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
        "eval_every": eval_every,
        "fast": fast,
    }
    with joined_processes() as processes:
        if resume and overwrite:
            raise CourseError("--resume and --overwrite exclude each other: give one of them")
        settings = training.settings_for(corpus, size, package, asked)
        folder = RunFolder(to or training.default_folder(corpus, size))
        code = training.train(settings, folder, resume, overwrite, device, threads, processes)
    raise typer.Exit(code)


@app.command()
def generate(
    prompts: Annotated[list[str], typer.Argument(metavar="PROMPT...", help="The text to continue.")],
    max_tokens: Annotated[int, typer.Option(help="How many tokens to write at most.")] = 300,
    temperature: Annotated[float, typer.Option(help="0 is greedy, 1 as trained, more is wilder.")] = 0.8,
    top_k: Annotated[int | None, typer.Option(help="Draw from the k most likely tokens only.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Draw from the likely tokens that make up this share.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed writes the same text.")] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="GPT-2: gpt2, gpt2-medium, gpt2-large, gpt2-xl, or a folder with its files."),
    ] = None,
    run: Annotated[Path | None, typer.Option(help="A folder that course train wrote.")] = None,
    samples: Annotated[int, typer.Option(help="How many texts of each prompt.")] = 1,
    fast: Annotated[
        bool, typer.Option("--fast", help="With chapter 9's pieces, several texts at once.")
    ] = False,
    package: Pieces = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Continue a prompt, or several.

    It takes the small model that comes with the course, unless --run or --weights names another.
    """
    from . import generate as generating  # late: it imports torch

    sampling = generating.Sampling(max_tokens, temperature, top_k, top_p)
    generating.generate(prompts, samples, sampling, seed, weights, run, package, device, threads, fast)


def main() -> None:
    # Waiting threads that spin make training several times slower where cores are shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        app()
    except CourseError as error:
        complain(f"course: {error}")
        sys.exit(2)
    except NotImplementedError as error:
        frame, _ = list(traceback.walk_tb(error.__traceback__))[-1]
        where = f"{frame.f_globals.get('__name__')}: {frame.f_code.co_qualname}"
        complain(f"course: {where} is not written yet: do it first")
        sys.exit(2)


if __name__ == "__main__":
    main()
