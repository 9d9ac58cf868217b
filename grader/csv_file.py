"""A CSV file that others made, of which single cells are changed and all else stays, byte for byte.

Python's csv module would write the file anew in one style of its own: other quotes, line ends, no byte-order
mark. Here it only proves that the cells were found where it finds them.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from grader.errors import GraderError

MARK = "\ufeff"
DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Cell:
    """Where a cell stands in the text."""

    start: int
    end: int


class CsvFile:
    """rows: the cells' texts, row by row; a blank line is a row without cells."""

    def __init__(self, data: bytes, where: str):
        self.where = where
        if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:1000]:
            raise GraderError(f"{where} is no CSV file in UTF-8: save it as that")
        # what is no UTF-8 goes back as the bytes that it came from
        self.text = data.decode("utf-8", "surrogateescape")
        self.body = len(MARK) if self.text.startswith(MARK) else 0
        self.delimiter = _delimiter(self.text[self.body :])
        self._cells, self._starts = _cells(self.text, self.body, self.delimiter)
        self.rows = [[self._value(cell) for cell in row] for row in self._cells]
        self._changes: dict[tuple[int, int], str] = {}
        self._prove()

    @classmethod
    def read(cls, path: Path) -> "CsvFile":
        try:
            return cls(path.read_bytes(), str(path))
        except OSError as error:
            raise GraderError(f"cannot read {path}: {error.strerror or error}") from None

    def set(self, row: int, column: int, value: str) -> None:
        self._changes[row, column] = value

    def data(self) -> bytes:
        """The file with what was set."""
        parts, at = [], 0
        for (row, column), value in sorted(self._changes.items()):
            cell = self._cells[row][column]
            quoted = self.text[cell.start : cell.start + 1] == '"'
            parts += [self.text[at : cell.start], self._written(value, quoted)]
            at = cell.end
        return "".join([*parts, self.text[at:]]).encode("utf-8", "surrogateescape")

    def without(self, rows: list[int]) -> bytes:
        """The file as it came, without some of its rows."""
        parts, at = [], 0
        for row in sorted(rows):
            parts.append(self.text[at : self._starts[row]])
            at = self._starts[row + 1]
        return "".join([*parts, self.text[at:]]).encode("utf-8", "surrogateescape")

    def _written(self, value: str, quoted: bool) -> str:
        if quoted or any(character in value for character in f'{self.delimiter}"\r\n'):
            return '"{}"'.format(value.replace('"', '""'))
        return value

    def _value(self, cell: Cell) -> str:
        raw = self.text[cell.start : cell.end]
        if not raw.startswith('"'):
            return raw
        end = 1
        while (end := raw.find('"', end)) != -1 and raw[end : end + 2] == '""':
            end += 2
        end = len(raw) if end == -1 else end
        return raw[1:end].replace('""', '"') + raw[end + 1 :]  # what stands behind the quotes belongs to it

    def _prove(self) -> None:
        lines = io.StringIO(self.text[self.body :], newline="")
        try:
            same = list(csv.reader(lines, delimiter=self.delimiter)) == self.rows
        except csv.Error as error:
            raise GraderError(f"{self.where} is no whole CSV file: {error}") from None
        if not same:
            raise GraderError(f"{self.where} is no plain CSV file: save it again from a spreadsheet")


def _delimiter(text: str) -> str:
    """What separates the cells of the first line; in much of Europe spreadsheets write semicolons."""
    line, quoted = [], False
    for character in text:
        quoted ^= character == '"'
        if character in "\r\n" and not quoted:
            break
        line += [] if quoted else [character]
    return max(DELIMITERS, key=line.count)


def _cells(text: str, at: int, delimiter: str) -> tuple[list[list[Cell]], list[int]]:
    """The cells, row by row, and where each row begins, and the end."""
    rows: list[list[Cell]] = []
    starts = [at]
    row: list[Cell] = []
    while at < len(text):
        start = at
        if text[at] == '"':
            at += 1
            while (at := text.find('"', at)) != -1 and text[at : at + 2] == '""':
                at += 2
            at = len(text) if at == -1 else at + 1
        while at < len(text) and text[at] not in (delimiter, "\r", "\n"):
            at += 1
        row.append(Cell(start, at))
        if at < len(text) and text[at] == delimiter:
            at += 1
            if at == len(text):
                row.append(Cell(at, at))
            elif text[at] not in "\r\n":
                continue
            else:
                row.append(Cell(at, at))
        if text[at : at + 2] == "\r\n":
            at += 2
        elif at < len(text):
            at += 1
        rows.append([] if len(row) == 1 and row[0].start == row[0].end else row)
        starts.append(at)
        row = []
    return rows, starts
