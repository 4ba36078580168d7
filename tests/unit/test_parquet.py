"""Rows as Parquet: what comes as CSV is there to the byte, and what can't be is told."""

import io
import sys
from typing import BinaryIO

import pyarrow.parquet
import pytest

from backproof.errors import ConnectionLost, MissingTool, Permanent
from backproof.operations import parquet


def written(text: str, *columns: str) -> list[list[object]]:
    file = io.BytesIO()
    parquet.write(columns, lambda pipe: _send(pipe, text.encode()), file)
    file.seek(0)
    return [[*row.values()] for row in pyarrow.parquet.read_table(file).to_pylist()]


def _send(pipe: BinaryIO, content: bytes) -> None:
    pipe.write(content)


def test_null_is_no_empty_text_and_lines_quotes_and_odd_names_come_through() -> None:
    heading = '"difference","of","of","a\nb","c"\n'
    rows = written(f'{heading}"new","live","","line\nline, ""quoted"" €😀",\n', "of", "a\nb", "c")
    assert rows == [["new", "live", "", 'line\nline, "quoted" €😀', None]]
    assert written(heading, "of", "a\nb", "c") == []


def test_more_rows_than_a_block_holds_are_all_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "LONGEST_ROW", 4096)
    rows = "".join(f'"new","live","{number}","{"x" * (number % 1000)}"\n' for number in range(3000))
    found = written(f'"difference","of","id","text"\n{rows}', "id", "text")
    assert [(int(str(row[2])), len(str(row[3]))) for row in found] == [(n, n % 1000) for n in range(3000)]


def test_a_row_that_is_too_long_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "LONGEST_ROW", 4096)
    with pytest.raises(Permanent, match=r"longer than .*\.csv"):
        written(f'"difference","of","id"\n"new","live","1"\n"new","live","{"x" * 100_000}"\n', "id")


def test_what_stops_the_rows_is_what_is_told() -> None:
    def lost(pipe: BinaryIO) -> None:
        pipe.write(b'"difference","of","id"\n')
        raise ConnectionLost("the server went away")

    with pytest.raises(ConnectionLost):
        parquet.write(["id"], lost, io.BytesIO())


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingTool, match="extra `parquet`"):
        parquet.require()
