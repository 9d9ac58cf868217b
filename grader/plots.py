"""matplotlib's drawings as parts of a page that stands alone.

matplotlib writes styles that a page's policy forbids, colours that are there for light pages alone, and names
that two drawings would share. Here each colour becomes a class of style.css, so that a drawing is dark where
the page is, and every other style an attribute.
"""

import io
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from grader.page import visible

COLOURS = {"#010101": "ink", "#020202": "soft", "#030303": "bar", "#040404": "page", "#050505": "line"}
INK, SOFT, BAR, PAGE, LINE = COLOURS
# the drawing's width, a row's height, and what title and axis take, in points
WIDTH, ROW, FRAME = 400, 24, 46
STACKED = 8  # from one dot to the next above it
LETTER = 7.2  # the width of a letter; browsers' fonts differ
LONGEST = 28  # letters of a row's name
# shapes, so that rounds can be told apart without colours
SHAPES = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle": "^",
    "triangle pointing down": "v",
    "plus": "P",
    "cross": "X",
    "star": "*",
}
SVG = "{http://www.w3.org/2000/svg}"
LINKED = "{http://www.w3.org/1999/xlink}href"
KEPT_STYLES = {
    *("fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin"),
    *("stroke-linecap", "text-anchor"),
}
KEPT = {"d", "x", "y", "transform", "class", "width", "height", "href"}
RC = {"svg.fonttype": "none", "font.size": 9, "path.simplify": False}


@dataclass(frozen=True)
class Box:
    """A row of `boxes`: the least, the quartiles with the median, and the most.

    points: of a class so small that each student is drawn, in place of the box.
    """

    name: str
    five: tuple[float, float, float, float, float]
    points: tuple[float, ...] = ()


def boxes(rows: Sequence[Box], most: float, name: str, title: str) -> Markup:
    """Points from 0 to `most`: for each row a box from quartile to quartile, a line from least to most."""
    with mpl.rc_context(RC):
        row_height = ROW + STACKED * max((_highest(row.points) - 1 for row in rows), default=0)
        figure, axes = _axes([row.name for row in rows], most, row_height)
        for y, row in enumerate(rows):
            least, low, median, high, top = row.five
            axes.plot([least, top], [y, y], color=LINE if row.points else SOFT, linewidth=1.2, zorder=1)
            if row.points:
                _each(axes, y, row.points, STACKED / row_height)
            else:
                box = {"facecolor": BAR, "edgecolor": INK, "linewidth": 0.8, "zorder": 2}
                axes.barh(y, high - low, left=low, height=0.55, **box)
            axes.plot([median, median], [y - 0.38, y + 0.38], color=INK, linewidth=2.4, zorder=3)
        axes.set_xlabel("points", color=SOFT)
        return _svg(figure, name, title)


def _each(axes, y: float, points: Sequence[float], step: float) -> None:
    """A dot for each student; those of the same points stand above one another."""
    marks = {"linestyle": "none", "marker": "o", "markersize": 7, "clip_on": False, "zorder": 2}
    for points_of_some, times in Counter(points).items():
        heights = [y + ((times - 1) / 2 - i) * step for i in range(times)]
        places = [points_of_some] * times
        axes.plot(places, heights, markerfacecolor=BAR, markeredgecolor=INK, **marks)


def _highest(points: Sequence[float]) -> int:
    return max(Counter(points).values(), default=1)


def marks(
    rows: Sequence[str],
    series: Sequence[Sequence[float | None]],
    most: float,
    what: str,
    name: str,
    title: str,
    whole: bool = False,
) -> Markup:
    """For each row a mark for each series that has a value there, in shapes of their own; of one series bars.

    whole: the values are counts, and so are the numbers on the axis.
    """
    with mpl.rc_context(RC):
        figure, axes = _axes(rows, most, whole=whole)
        if len(series) > 1:
            _dots(axes, len(rows), series)
        else:
            there = [(y, value) for y, value in enumerate(series[0]) if value is not None]
            axes.barh([y for y, _ in there], [value for _, value in there], height=0.6, color=BAR)
        axes.set_xlabel(what, color=SOFT)
        return _svg(figure, name, title)


def _dots(axes, rows: int, series: Sequence[Sequence[float | None]]) -> None:
    for y in range(rows):
        there = [values[y] for values in series if values[y] is not None]
        if there:
            axes.plot([min(there), max(there)], [y, y], color=LINE, linewidth=3, zorder=1)
    for number, values in enumerate(series):
        last = number == len(series) - 1
        points = [(value, y) for y, value in enumerate(values) if value is not None]
        axes.plot(
            [value for value, _ in points],
            [y for _, y in points],
            linestyle="none",
            marker=[*SHAPES.values()][number % len(SHAPES)],
            markersize=7,
            markerfacecolor=BAR if last else PAGE,
            markeredgecolor=INK,
            clip_on=False,
            zorder=2 + number,
        )


def _axes(names: Sequence[str], most: float, row: float = ROW, whole: bool = False):
    """Rows from top to bottom, their names at the left, and an axis from 0 to `most` below."""
    height = FRAME + row * len(names)
    figure = Figure(figsize=(WIDTH / 72, height / 72))
    names = [visible(name) for name in names]
    shown = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in names]
    left = (LETTER * max((len(name) for name in shown), default=0) + 16) / WIDTH
    axes = figure.add_axes((left, 36 / height, 0.96 - left, 1 - 40 / height))
    axes.set_xlim(0, most or 1)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), shown, parse_math=False)
    if whole:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(colors=SOFT, length=3)
    axes.tick_params(axis="y", length=0, pad=7.5, labelcolor=INK)
    axes.grid(axis="x", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_facecolor("none")
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(SOFT)
    return figure, axes


# ---- SVG ----


def _svg(figure: Figure, name: str, title: str) -> Markup:
    """The drawing, under a title for those who do not see it. name: of its own on the page."""
    figure.patch.set_visible(False)
    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a letter that matplotlib's font lacks; a browser's has it
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(out, metadata=metadata)
    drawn = ElementTree.fromstring(out.getvalue())
    width, height = drawn.get("viewBox").split()[2:]
    lines = [_plain(child, name) for child in drawn]
    inside = "".join(ElementTree.tostring(one, encoding="unicode") for one in lines if one is not None)
    head = Markup('<svg viewBox="0 0 {} {}" role="img" aria-labelledby="{}">').format(width, height, name)
    words = Markup('<title id="{}">{}</title>').format(name, visible(title))
    return head + words + Markup(inside) + Markup("</svg>")


def _plain(element: ElementTree.Element, name: str) -> ElementTree.Element | None:
    """The element with classes for colours and attributes for styles; None where that leaves nothing."""
    tag = element.tag.removeprefix(SVG)
    if tag in ("metadata", "style", "clipPath"):
        return None
    plain = ElementTree.Element(tag)
    attributes = {key: value for key, value in element.attrib.items() if key in KEPT}
    if tag == "path" and "id" in element.attrib:
        attributes["id"] = f"{name}-{element.get('id')}"
    if LINKED in element.attrib:
        attributes["href"] = f"#{name}-{element.get(LINKED)[1:]}"
    classes = []
    for style in filter(None, (part.strip() for part in element.get("style", "").split(";"))):
        key, _, value = (part.strip() for part in style.partition(":"))
        if value in COLOURS and key in ("fill", "stroke"):
            classes.append(f"{key}-{COLOURS[value]}")
        elif key in KEPT_STYLES:
            attributes[key] = value
    if tag == "path" and "id" in attributes:  # a shape, whose colours are those of its uses
        classes, attributes = [], {key: attributes[key] for key in ("id", "d")}
    elif tag == "path" and not classes:
        return None
    if classes:
        attributes["class"] = " ".join(classes)
    plain.attrib.update(attributes)
    plain.text = visible(element.text) if element.text and element.text.strip() else None
    for child in element:
        inner = _plain(child, name)
        if inner is not None:
            plain.append(inner)
    return plain if len(plain) or attributes else None
