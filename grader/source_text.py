"""The text of a Python file, as Python would read it, or why it has none."""

import codecs
import re

from grader.places import Refused
from grader.safe_names import printable

COOKIE = re.compile(rb"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]{1,40})")  # as PEP 263 has it
BLANK = re.compile(rb"[ \t\f]*(#.*)?$")
EDITORS = re.compile(r"(utf[-_]8|latin-1|iso-8859-1|iso-latin-1)-.*", re.IGNORECASE)  # Emacs' "utf-8-unix"
# Python has other encodings, which do something to the bytes (rot13, zip, idna) or are no ASCII
CHARSETS = re.compile(
    r"utf-8|ascii|iso8859-\d+|cp(125\d|437|85\d|866|932|949|950)|koi8-[rtu]|mac-\w+"
    r"|big5(hkscs)?|gb(2312|k|18030)|euc_\w+|shift_jis\w*"
)


def source_text(data: bytes) -> str:
    """Decode a module. Its lines end with \\n, and an encoding that it names becomes UTF-8.

    >>> source_text("# coding: latin-1\\r\\nSIZE = 'größer'".encode("latin-1"))
    "# coding: utf-8\\nSIZE = 'größer'"
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise Refused("is UTF-16: save it as UTF-8")
    if b"\0" in data:
        raise Refused("holds NUL bytes, so that it is no text, or UTF-16: save it as UTF-8")
    data = data.removeprefix(codecs.BOM_UTF8)
    encoding, data = _encoding(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        where = f"line {line}, byte 0x{data[error.start]:02x}"
        raise Refused(f"is not {encoding} ({where}): save it as UTF-8") from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise Refused("is empty")
    return text


def _encoding(data: bytes) -> tuple[str, bytes]:
    """The encoding that one of the first two lines names, and the data with UTF-8 named in its place."""
    first, _, rest = data.partition(b"\n")
    cookie, start = COOKIE.match(first), 0
    if cookie is None and BLANK.match(first.rstrip(b"\r")):
        cookie, start = COOKIE.match(rest.partition(b"\n")[0]), len(first) + 1
    if cookie is None:
        return "UTF-8", data
    name = EDITORS.sub(r"\1", cookie[1].decode("latin-1"))
    try:
        known = CHARSETS.fullmatch(codecs.lookup(name).name)
    except (LookupError, ValueError):
        known = None
    if known is None:
        raise Refused(f"names the encoding {printable(name)}, which is not read: save it as UTF-8")
    return name, data[: start + cookie.start(1)] + b"utf-8" + data[start + cookie.end(1) :]
