"""HTML pages that stand alone: one file, no script, nothing loaded from anywhere.

Every text that a template prints is made visible first (control characters, bidi marks, halves of characters)
and then escaped; the browser is told to load and run nothing but this page's one style sheet.
"""

import base64
import functools
import hashlib
import re
from pathlib import Path

import jinja2

FOLDER = Path(__file__).parent / "pages"
KEPT = "\n\t\u00a0\u200c\u200d"  # harmless, though not printable to Python; some scripts need the joiners


def render(template: str, **values) -> str:
    """A page from a template of grader/pages."""
    return _environment().get_template(template).render(values)


def visible(value):
    """Text without characters that hide, turn round or steer what stands around them; they become escapes.

    >>> visible("a" + chr(0x202E) + "b" + chr(27) + "[2J")
    'a\\\\u202eb\\\\x1b[2J'
    """
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return "".join(c if c.isprintable() or c in KEPT else ascii(c)[1:-1] for c in value)


def cut(text: str, length: int) -> str:
    """At most `length` characters, with a mark where something is missing."""
    return text if len(text) <= length else f"{text[:length]} … ({len(text) - length:,} more characters)"


def number(value: float) -> str:
    """Points as people write them.

    >>> number(75.0), number(7.25), number(0)
    ('75', '7.25', '0')
    """
    return f"{value:.2f}".rstrip("0").rstrip(".")


def counted(count: int, noun: str) -> str:
    """
    >>> counted(1, "check"), counted(3, "check")
    ('1 check', '3 checks')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


def parts(name: str) -> list[str]:
    """Where a long name may be broken on a narrow screen.

    >>> parts("SelfAttentionWithoutQKV"), parts("causal_mask")
    (['Self', 'Attention', 'Without', 'QKV'], ['causal_', 'mask'])
    """
    return re.findall(r"[A-Z]+[^A-Z_]*_*|[^A-Z_]+_*|_+", name)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        finalize=visible,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (FOLDER / "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment.globals |= {"style": style, "style_hash": f"sha256-{digest}"}
    environment.filters |= {"number": number, "counted": counted, "parts": parts}
    return environment
