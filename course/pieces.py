"""The chapters' modules of one package, a student's or the reference's: what the commands run."""

import ast
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

from .errors import CourseError

MODULES = {
    "ch1": "tokenizer",
    "ch2": "inputs",
    "ch3": "attention",
    "ch4": "block",
    "ch5": "model",
    "ch6": "training",
    "ch7": "sampling",
    "ch8": "gpt2",
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
        except SyntaxError as error:
            raise CourseError(f"{error.filename}, line {error.lineno}: {error.msg}") from None
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
            unwritten = unwritten_names(Path(getattr(self, chapter).__file__))
            missing += [(name, chapter) for name in unwritten if name in wanted[chapter]]
        if missing:
            named = ", ".join(f"{name} ({chapter})" for name, chapter in missing[:NAMED])
            more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
            first, chapter = missing[0]
            raise CourseError(
                f"these exercises come first: {named}{more}."
                f" Start with: pytest {self.package}/{chapter} -k {first}"
            )


def unwritten_names(file: Path) -> list[str]:
    """The functions and classes of a module's file that still raise NotImplementedError, in its order."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
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

    Packages in the current folder come before installed ones: a student works there.
    """
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    if package is None:
        package = "solutions" if importlib.util.find_spec("solutions") else "exercises"
    if importlib.util.find_spec(package) is None:
        raise CourseError(f"there is no package {package} here: run the command in the course's folder")
    return Pieces(package)
