"""Rows as Parquet, made of the CSV that a server writes, a block at a time: never a whole table in memory.

Every column is text, as a dump would write its values, and NULL is null: no type of Parquet holds all that a database's
does (a ``numeric`` of any length, 31 February, infinity). Needs ``pyarrow``, of the extra ``parquet``.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from backproof.errors import MissingTool, Permanent

if TYPE_CHECKING:
    import pyarrow

SUFFIX = ".parquet"
LONGEST_ROW = 32 * 1024 * 1024
"""Bytes of CSV."""
_OWN = ("difference", "of")


def require() -> None:
    """Whether it can be written here.

    Raises:
        MissingTool: the library is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401 - asked for before a server has worked for it
    except ImportError:
        raise MissingTool(
            "Parquet is written by pyarrow, which is not installed",
            "Install Backproof's extra `parquet`, or name a file that ends in .csv.",
        ) from None


def write(columns: Sequence[str], rows: Callable[[BinaryIO], None], file: BinaryIO) -> None:
    """Write rows that come as CSV.

    Args:
        columns: of the table, after the two of ours; one that is called as one of these gets an underscore.
        rows: writes them as ``Beside.write_rows`` does.
        file: where they go.

    Raises:
        Permanent: a row is longer than fits.
        BackproofError, OSError: as ``rows`` says.
    """
    import pyarrow
    from pyarrow import csv, parquet

    names = [*_OWN, *(f"{column}_" if column in _OWN else column for column in columns)]
    schema = pyarrow.schema([(name, pyarrow.string()) for name in names])
    with _written(rows) as read, parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        try:
            reader = csv.open_csv(
                read,
                csv.ReadOptions(use_threads=False, block_size=LONGEST_ROW, autogenerate_column_names=True),
                csv.ParseOptions(newlines_in_values=True),
                csv.ConvertOptions(
                    column_types={f"f{number}": pyarrow.string() for number in range(len(names))},
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
            for batch in _without_heading(reader):
                writer.write_batch(pyarrow.RecordBatch.from_arrays(batch.columns, schema=schema))
        except pyarrow.ArrowInvalid as error:
            if "straddling" not in str(error):
                raise
            raise Permanent(
                f"a row is longer than {LONGEST_ROW // 1024**2} MiB, and does not go into Parquet",
                "Name a file that ends in .csv.",
            ) from None


class _written:
    """A pipe that ``rows`` writes to, in a thread of its own, and that we read from."""

    def __init__(self, rows: Callable[[BinaryIO], None]) -> None:
        self._rows = rows
        self._pool = ThreadPoolExecutor(1, "rows")

    def __enter__(self) -> BinaryIO:
        read, write = os.pipe()
        self._read = os.fdopen(read, "rb")
        self._done = self._pool.submit(self._fill, write)
        return self._read

    def _fill(self, write: int) -> None:
        with os.fdopen(write, "wb") as pipe:
            self._rows(pipe)

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._read.close()  # whoever still writes is told
        self._pool.shutdown()
        error = self._done.exception()
        if error is not None and not isinstance(error, BrokenPipeError):
            raise error


def _without_heading(batches: "Iterator[pyarrow.RecordBatch]") -> "Iterator[pyarrow.RecordBatch]":
    first = True
    for batch in batches:
        yield batch.slice(1) if first else batch
        first = False
