"""A CSV file of others: its cells are Python's csv module's, and all that is not set stays, byte for byte."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.csv_file import CsvFile
from grader.errors import GraderError

CELLS = st.text(st.sampled_from('ab",;\t\n é0'), max_size=5)
HEADER = ["h1", "h2", "h3"]


def rows_of(data: bytes, delimiter: str) -> list[list[str]]:
    text = data.decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=5),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.booleans(),
    CELLS,
    st.data(),
)
def test_one_cell_is_set_and_no_other(rows, delimiter, end, quoting, mark, new, data):
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows([HEADER, *rows])
    before = (("\ufeff" if mark else "") + out.getvalue()).encode()
    file = CsvFile(before, "x.csv")
    assert file.rows == [HEADER, *rows] and file.data() == before
    number = data.draw(st.integers(1, len(rows)))
    file.set(number, 1, new)
    after = file.data()
    expected = [HEADER, *(list(row) for row in rows)]
    expected[number][1] = new
    assert rows_of(after, delimiter) == expected
    assert after.startswith("\ufeff".encode()) == mark
    file.set(number, 1, rows[number - 1][1])
    assert rows_of(file.data(), delimiter) == [HEADER, *rows]
    gone = CsvFile(before, "x.csv").without([number])
    assert rows_of(gone, delimiter) == [HEADER, *rows[: number - 1], *rows[number:]]


@settings(max_examples=500, deadline=None)
@given(st.text(st.sampled_from('ab",;\r\n'), max_size=25))
def test_any_text_is_read_as_python_reads_it_or_refused(text):
    try:
        file = CsvFile(text.encode(), "x.csv")
    except GraderError as error:
        assert "no whole CSV file" in str(error)
    else:
        assert file.data() == text.encode()


def test_bytes_that_are_no_utf8_stay():
    data = b"name,points\r\nM\xfcller,\r\n"
    file = CsvFile(data, "x.csv")
    file.set(1, 1, "7")
    assert file.data() == b"name,points\r\nM\xfcller,7\r\n"
    with pytest.raises(GraderError, match="no CSV file in UTF-8"):
        CsvFile("name,points\n".encode("utf-16"), "x.csv")
