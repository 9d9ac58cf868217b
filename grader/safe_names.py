r"""Names that others chose, made safe: to print, and to name a folder.

>>> printable("al\x1b[31mice\n")
'al\\x1b[31mice\\n'
>>> safe_name("Zoë Müller"), safe_name("a/b")
('Zoë Müller', 'a_b-c14cddc033f6')
"""

import hashlib
import re
import unicodedata

PUNCTUATION = " ._-@+,()'"  # kept in a folder's name beside letters, marks and digits
FOLDER_BYTES = 100
DIGITS = 12  # of a sha256, behind a name that had to be changed
# what Windows keeps for devices, what the results folder needs for its files, and how a changed name looks
TAKEN = re.compile(
    rf"(con|prn|aux|nul|(com|lpt)\d) *(\..*)?|.*\.(csv|json|jsonl|html|tmp)|.*-[0-9a-f]{{{DIGITS}}}",
    re.DOTALL,
)


def printable(name: str, limit: int | None = None) -> str:
    """A name in one line, without anything that a terminal or a reader could be fooled with.

    Control characters, invisible ones, marks that turn the direction of writing, and bytes that are no UTF-8
    are spelled out. Different names stay different, but for `limit`.
    """
    shown = "".join(_shown(character) for character in unicodedata.normalize("NFC", name))
    if limit is not None and len(shown) > limit:
        return f"{shown[: limit - 20]}…{shown[-19:]}"
    return shown


def same_name(name: str) -> str:
    """Equal for names that a file system may take for one: but for case and Unicode's ways to write them."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def safe_name(student: str) -> str:
    """A name for a student's folder in the results: legal everywhere, and no one else's.

    Most names stay as they are. What has to be changed gets a hash of the whole name behind it, and so does
    what looks as if it had been.
    """
    name = unicodedata.normalize("NFC", student)
    safe = "".join(character if _is_safe(character) else "_" for character in name)
    safe = safe.lstrip(" -.").rstrip(" .")
    if 0 < len(safe.encode()) <= FOLDER_BYTES and safe == name and not TAKEN.fullmatch(same_name(name)):
        return safe
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
    start = safe.encode()[: FOLDER_BYTES - DIGITS - 1].decode(errors="ignore").rstrip(" .")
    return f"{start or '_'}-{digest}"


def _is_safe(character: str) -> bool:
    return character in PUNCTUATION or character.isalnum() or unicodedata.category(character)[0] == "M"


def _shown(character: str) -> str:
    if character == "\\" or (character != " " and unicodedata.category(character)[0] in "CZ"):
        return character.encode("unicode_escape").decode()
    return character
