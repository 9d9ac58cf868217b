"""The chapters' modules of one package, a student's or the reference's: what the commands run."""

import ast
import importlib
import importlib.util
import os
import re
import sys
from pathlib import Path
from types import ModuleType

from .errors import CourseError
from .screen import shown
from .workplace import EXERCISES, find_workplace

MODULES = {
    "ch1": "tokenizer",
    "ch2": "inputs",
    "ch3": "attention",
    "ch4": "block",
    "ch5": "model",
    "ch6": "training",
    "ch7": "sampling",
    "ch8": "gpt2",
    "ch9": "speed",
}

# What each command is made of, in the order of the chapters.
MODEL = {
    "ch2": ["embed"],
    "ch3": ["causal_mask", "MultiHeadAttention"],
    "ch4": ["LayerNorm", "GELU", "Dropout", "FeedForward", "TransformerBlock"],
    "ch5": ["GPTModel"],
}
SAMPLING = {"ch7": ["next_token", "KVCache", "attend_cached", "forward_cached"]}
FILTERS = ["apply_temperature", "top_k_filter", "top_p_filter"]
TRAINING = {
    "ch1": ["CharTokenizer"],
    "ch2": ["train_val_split", "SlidingWindowDataset", "create_dataloader", "get_batch"],
    "ch5": ["count_parameters", "init_weights", "tie_weights"],
    "ch6": [
        "calc_loss_batch",
        "calc_loss_loader",
        "estimate_loss",
        "parameter_groups",
        "learning_rate",
        "clip_gradients",
        "save_checkpoint",
        "load_checkpoint",
    ],
}
GPT2 = {"ch8": ["assign", "split_qkv", "config_from_hf", "params_from_hf", "load_weights_into_gpt"]}

REFERENCE = "solutions"
LACKING = re.compile(r"cannot import name '(\w+)'")
NAMED = 4  # missing pieces that a refusal names


class Pieces:
    """A package with the chapters ch1 … ch8; each chapter's module is imported when first asked for.

    pieces.ch3.MultiHeadAttention is exercises.ch3.attention.MultiHeadAttention when the package
    is exercises.
    """

    def __init__(self, package: str):
        self.package = package

    def __getattr__(self, chapter: str) -> ModuleType:
        if chapter not in MODULES:
            raise AttributeError(chapter)
        name = f"{self.package}.{chapter}.{MODULES[chapter]}"
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not name.startswith(error.name):
                raise
            raise CourseError(
                f"there is no module {name}: --pieces takes a package with ch1 to ch8"
            ) from None
        except ImportError as error:
            lacking = LACKING.match(str(error))
            if lacking is None or not (error.name or "").startswith(self.package):
                raise
            raise CourseError(
                f"{shown(error.path)} has no {lacking[1]}, which {chapter} needs:"
                f" course reset {lacking[1]} puts its stub there"
            ) from None
        except SyntaxError as error:
            raise CourseError(f"{shown(error.filename)}, line {error.lineno}: {error.msg}") from None
        setattr(self, chapter, module)
        return module

    def require(self, *needs: dict[str, list[str]]) -> None:
        """Refuse when one of the pieces is still the stub, naming the first ones in the order of work."""
        wanted: dict[str, list[str]] = {}
        for need in needs:
            for chapter, names in need.items():
                wanted.setdefault(chapter, []).extend(names)
        missing = []
        for chapter in sorted(wanted):
            module = getattr(self, chapter)
            unwritten = unwritten_names(Path(module.__file__))
            unwritten += [name for name in wanted[chapter] if not hasattr(module, name)]
            missing += [(name, chapter) for name in unwritten if name in wanted[chapter]]
        if missing:
            named = ", ".join(f"{name} ({chapter})" for name, chapter in missing[:NAMED])
            more = f" and {len(missing) - NAMED} more, up to {missing[-1][1]}" if len(missing) > NAMED else ""
            raise CourseError(
                f"these exercises come first: {named}{more}. Start with: {self._first_step(*missing[0])}"
            )

    def _first_step(self, exercise: str, chapter: str) -> str:
        """What to type to get on: where the package is only installed, nobody is to write into it."""
        folder = Path(getattr(self, chapter).__file__).resolve().parent
        place = find_workplace()
        if self.package == EXERCISES and (place is None or not folder.is_relative_to(place.exercises)):
            return "course start my-gpt, which makes a folder to write them in"
        return f"pytest {shown(folder)} -k {exercise}"


def unwritten_names(file: Path) -> list[str]:
    """The functions and classes of a module's file that still raise NotImplementedError, in its order."""
    tree = ast.parse(file.read_bytes())  # bytes may begin with a byte order mark
    return [
        definition.name
        for definition in tree.body
        if isinstance(definition, (ast.FunctionDef, ast.ClassDef))
        and any(
            isinstance(node, ast.Raise) and "NotImplementedError" in ast.dump(node)
            for node in ast.walk(definition)
        )
    ]


def load_pieces(package: str | None = None) -> Pieces:
    """The named package, or by default the reference where it is at hand, and else the exercises.

    Packages of the student's folder, and of the current one, come before installed ones.
    """
    place = find_workplace()
    for folder in ([str(place.folder)] if place else []) + [os.getcwd()]:
        if folder not in sys.path:
            sys.path.insert(0, folder)
    chosen = package or (REFERENCE if has_reference() else EXERCISES)
    if not _is_importable(chosen):
        if chosen == EXERCISES:
            raise CourseError("there are no exercises here: course start my-gpt makes a folder that has them")
        raise CourseError(f"there is no package {chosen} here: --pieces takes one with ch1 to ch8: exercises")
    return Pieces(chosen)


def has_reference() -> bool:
    """Whether the finished pieces are installed too, and not only a folder of that name."""
    found = importlib.util.find_spec(REFERENCE)
    return found is not None and found.origin is not None


def _is_importable(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # what it should be a part of
        return False
