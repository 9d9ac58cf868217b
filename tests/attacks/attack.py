"""An attack: a file of this folder's folders, and how it is put together with a student's work.

Its docstring's first line says what it tries. Comments below it say the rest, `# put: before`:

    put      before or after the module with the honest mistake; or folder: its `hand_in(folder, module)` writes
             what is handed in
    mistake  the exercise that is wrong: attend (if nothing is said), softmax, prefix_mean or fit
    stops    the words of grader.sandbox.Tier that must hold for the attack to be stopped; where they do not
             it is still run and must gain no points, if harmless says so
    harmless no: where a tier does not claim to stop it, it is not even run
    naive    what it reaches with a naive grader (naive.py says in which words)
    grader   that grader: pytest (if nothing is said), wire or pickle
    compare  how it compares
    python   new: it starts a new Python, not a fork of one that has imported torch

An attack that reaches something else than points prints SUCCEEDED.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.attacks.toy_course import with_mistake

HERE = Path(__file__).resolve().parent
SUCCEEDED = "SUCCEEDED"
DEFAULTS = {"put": "after", "mistake": "attend", "stops": "", "harmless": "yes"}
DEFAULTS |= {"naive": "passed", "grader": "pytest", "compare": "allclose", "python": ""}


@dataclass(frozen=True)
class Attack:
    kind: str
    name: str
    tries: str
    text: str
    put: str
    mistake: str
    stops: frozenset[str]
    harmless: bool
    naive: str
    grader: str
    compare: str
    new_python: bool

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    def module(self, places: dict[str, str]) -> str:
        """The module to be handed in. places: what stands for names such as COURSE_FOLDER in it."""
        honest = with_mistake(self.mistake)
        text = filled(self.text, places)
        return {"before": f"{text}\n\n{honest}", "after": f"{honest}\n\n{text}", "folder": honest}[self.put]

    def hand_in(self, folder: Path, places: dict[str, str]) -> None:
        """Write what is handed in."""
        folder.mkdir(parents=True)
        if self.put != "folder":
            (folder / "attention.py").write_text(self.module(places), encoding="utf-8")
            return
        own: dict = {}
        exec(compile(filled(self.text, places), self.name, "exec"), own)
        own["hand_in"](folder, self.module(places))


def filled(text: str, places: dict[str, str]) -> str:
    for name, value in places.items():
        text = text.replace(name, value)
    return text


def read_attack(file: Path) -> Attack:
    text = file.read_text(encoding="utf-8")
    tries = text.split('"""')[1].split("\n")[0]
    told = dict(re.findall(r"(?m)^# (\w+): (.+)$", text))
    assert told.keys() <= DEFAULTS.keys(), f"{file}: {told.keys() - DEFAULTS.keys()}"
    said = DEFAULTS | told
    return Attack(
        file.parent.name,
        file.stem,
        tries,
        text,
        said["put"],
        said["mistake"],
        frozenset(said["stops"].split()),
        said["harmless"] == "yes",
        said["naive"],
        said["grader"],
        said["compare"],
        said["python"] == "new",
    )


def all_attacks() -> list[Attack]:
    return [read_attack(file) for file in sorted(HERE.glob("*/*.py"))]
