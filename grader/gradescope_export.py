"""submission_metadata.yml of a Gradescope export: who handed in which folder, and when.

    submission_123456:
      :submitters:
      - :name: Jane Doe
        :sid: '12345'
        :email: jane@university.edu
      :created_at: 2026-10-01 21:58:23.948203000 Z

Only YAML's events are read, and nothing is made of its tags, so that Ruby's own types are no hindrance and no
danger; what an alias stands for is never copied.
"""

import datetime
import re
from dataclasses import dataclass

import yaml

from grader.errors import GraderError
from grader.places import MIB, Refused

METADATA = "submission_metadata.yml"
SIZE = 256 * MIB  # every test's output of every student stands in it, too
DEPTH = 40
ALIASES = 100_000
TIME = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.\d+)? *(Z|UTC|[+-]\d\d:?\d\d)")
SKIPPED = (":results", ":history", ":evaluations")  # large, and nothing of theirs is wanted
PERSON = {":name": "name", ":sid": "sid", ":email": "email"}
TEXT = 300  # characters of a name


@dataclass(frozen=True)
class Entry:
    """people: their name, sid and email, as far as there is one."""

    people: tuple[dict[str, str], ...]
    created: datetime.datetime | None


def read_metadata(folder) -> dict[str, Entry]:
    """What the export says of each submission, by the name of its folder."""
    where = folder.path / METADATA
    try:
        found = plain_yaml(folder.read(METADATA, SIZE))
    except (Refused, yaml.YAMLError, UnicodeError, RecursionError) as error:
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GraderError(f"{where} cannot be read ({what}): download the export again") from None
    if not isinstance(found, dict):
        raise GraderError(f"{where} holds no list of submissions: download the export again")
    return {str(key): _entry(value) for key, value in found.items() if isinstance(value, dict)}


def created_time(text: str) -> datetime.datetime | None:
    """A time as Ruby writes it.

    >>> created_time("2026-10-01 21:58:23.948203000 Z").isoformat()
    '2026-10-01T21:58:23+00:00'
    """
    match = TIME.fullmatch(text.strip())
    if not match:
        return None
    zone = "+00:00" if match[3] in ("Z", "UTC") else match[3]
    try:
        return datetime.datetime.fromisoformat(f"{match[1]}T{match[2]}{zone}")
    except ValueError:
        return None


def _entry(value: dict) -> Entry:
    submitters = value.get(":submitters")
    people = []
    for submitter in submitters if isinstance(submitters, list) else ():
        if isinstance(submitter, dict):
            texts = {name: submitter.get(key) for key, name in PERSON.items()}
            people.append({name: text[:TEXT] for name, text in texts.items() if _is_text(text)})
    created = value.get(":created_at")
    if isinstance(created, dict):  # a time of Rails with its zone
        created = created.get("utc")
    return Entry(tuple(people), created_time(created) if isinstance(created, str) else None)


def _is_text(value) -> bool:
    return isinstance(value, str) and value.strip() not in ("", "~", "null")


def plain_yaml(data: bytes):
    """YAML as dicts, lists and strings, whatever its tags.

    >>> plain_yaml(b"a: &x [1, !ruby/object:Evil {b: c}]\\nd: *x")
    {'a': ['1', {'b': 'c'}], 'd': ['1', {'b': 'c'}]}
    """
    open_ones: list = [[]]  # the containers being filled, the document itself first
    keys: list = [None]
    anchors: dict = {}
    aliases = 0
    for event in yaml.parse(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        match event:
            case yaml.ScalarEvent():
                value = event.value
            case yaml.AliasEvent():
                aliases += 1
                if aliases > ALIASES or event.anchor not in anchors:
                    raise Refused("has too many aliases")
                value = anchors[event.anchor]
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                if len(open_ones) > DEPTH:
                    raise Refused("is nested too deeply")
                value = {} if isinstance(event, yaml.MappingStartEvent) else []
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                open_ones.pop()
                keys.pop()
                continue
            case _:
                continue
        if getattr(event, "anchor", None) and not isinstance(event, yaml.AliasEvent):
            anchors[event.anchor] = value
        holder = open_ones[-1]
        if isinstance(holder, list):
            holder.append(value)
        elif keys[-1] is None:
            keys[-1] = value if isinstance(value, str) else ""
        else:
            if keys[-1] not in SKIPPED:
                holder[keys[-1]] = value
            keys[-1] = None
        if isinstance(event, yaml.CollectionStartEvent):
            open_ones.append(value)
            keys.append(None)
    return open_ones[0][0] if open_ones[0] else None
