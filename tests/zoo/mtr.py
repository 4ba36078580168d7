"""What a test file of MariaDB's own suite says: its SQL, and of mtr's own words those that lead to more SQL.

Conditions and loops are walked through once, other connections and expected errors are passed over: what is wanted is
not the test, but the objects that it makes.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["sql", "let", "source"]

_MTR = """
    append_file assert cat_file change_user character_set chmod connect connection copy_file copy_files_wildcard dec
    delimiter diff_files die dirty_close disable_abort_on_error disable_async_client disable_column_names
    disable_connect_log disable_cursor_protocol disable_info disable_metadata disable_parsing disable_prepare_warnings
    disable_ps2_protocol disable_ps_protocol disable_query_log disable_reconnect disable_result_log
    disable_rpl_parse disable_service_connection disable_session_track_info disable_testcase disable_view_protocol
    disable_warnings disconnect echo enable_abort_on_error enable_async_client enable_column_names enable_connect_log
    enable_cursor_protocol enable_info enable_metadata enable_parsing enable_prepare_warnings enable_ps2_protocol
    enable_ps_protocol enable_query_log enable_reconnect enable_result_log enable_rpl_parse enable_service_connection
    enable_session_track_info enable_testcase enable_view_protocol enable_warnings end_timer error eval evalp exec
    exec_in_background execw exit file_exists force-cpdir force-rmdir horizontal_results if inc let list_files
    list_files_append_file list_files_write_file lowercase_result mkdir move_file optimizer_trace output perl ping
    ps_protocol query query_get_value query_horizontal query_vertical real_sleep reap remove_file remove_files_wildcard
    replace_column replace_numeric_round replace_regex replace_result require reset_connection result_format rmdir
    save_master_pos send send_eval send_quit send_shutdown shutdown_server skip sleep sorted_result
    sorted_result_numeric source start_timer sync_slave_with_master sync_with_master system system_exec vertical_results
    wait_for_slave_to_stop while write_file
"""
_WORDS = frozenset(_MTR.split())
_CARRYING = frozenset({"eval", "evalp", "query", "query_vertical", "query_horizontal", "send", "send_eval"})
_WITH_TEXT = frozenset({"perl", "write_file", "append_file"})
_FIRST = re.compile(rb"[A-Za-z_\-0-9]+")
_QUOTES = b"'\"`"


@dataclass(frozen=True, slots=True)
class Command:
    """A statement, an assignment (``$name`` and its text), or the name of a file to go on with."""

    kind: Kind
    text: bytes
    name: bytes = b""


def commands(text: bytes) -> Iterator[Command]:
    """The commands of one file, in order."""
    delimiter = b";"
    position = 0
    while (position := _next(text, position)) < len(text):
        end_of_line = _line_end(text, position)
        line = text[position:end_of_line].strip()
        if line[:1] in (b"#", b"{", b"}"):
            position = position + 1 if line[:1] != b"#" else end_of_line
            continue
        if line.startswith(b"--"):
            word, rest, position = *_word(line[2:].strip()), end_of_line
        elif re.match(rb"(if|while)\s*\(", line):
            position = end_of_line
            continue
        else:
            statement, position = _statement(text, position, delimiter)
            word, rest = _word(statement)
            if word not in _WORDS:
                yield Command("sql", statement)
                continue
        if word == "delimiter":
            delimiter = rest.strip() or delimiter
            delimiter = delimiter.removesuffix(b";") or b";"
        elif word in _WITH_TEXT:
            position = _after_text(text, position, rest)
        elif (command := _known(word, rest)) is not None:
            yield command


def substituted(text: bytes, variables: Mapping[bytes, bytes]) -> bytes:
    """With what is known put in place of ``$name``."""
    return re.sub(rb"\$\{?(\w+)\}?", lambda match: variables.get(match[1], match[0]), text)


def included(name: str, of: Path, root: Path) -> Path | None:
    """The file that ``source`` means."""
    places = (root / name, of.parent / name, of.parent.parent / name, root / "suite" / name)
    return next((place for place in places if place.is_file()), None)


def _known(word: str, rest: bytes) -> Command | None:
    if word in _CARRYING:
        return Command("sql", rest, b"eval")
    if word == "source":
        return Command("source", rest.strip(b" ;\t"))
    if word == "let" and (match := re.match(rb"\s*\$?(\w+)\s*=\s*(.*)", rest, re.DOTALL)):
        return Command("let", match[2].strip(), match[1])
    return None


def _next(text: bytes, position: int) -> int:
    match = re.compile(rb"[\s;]*").match(text, position)
    return match.end() if match else position


def _line_end(text: bytes, position: int) -> int:
    end = text.find(b"\n", position)
    return len(text) if end < 0 else end


def _word(text: bytes) -> tuple[str, bytes]:
    match = _FIRST.match(text)
    return (match[0].decode().lower(), text[match.end() :].strip()) if match else ("", text)


def _statement(text: bytes, start: int, delimiter: bytes) -> tuple[bytes, int]:
    """Up to the delimiter outside of strings; and where it goes on."""
    position, quote = start, 0
    while position < len(text):
        byte = text[position]
        if quote:
            if byte == 0x5C and quote != 0x60:
                position += 1
            elif byte == quote:
                quote = 0
        elif text.startswith(delimiter, position):
            return text[start:position].strip(), position + len(delimiter)
        elif byte in _QUOTES:
            quote = byte
        elif byte == 0x23 or text.startswith(b"-- ", position):
            position = _line_end(text, position)
        position += 1
    return text[start:].strip(), len(text)


def _after_text(text: bytes, position: int, rest: bytes) -> int:
    words = rest.strip(b" ;").split()
    mark = words[-1] if words and words[-1].isalpha() and words[-1].isupper() else b"EOF"
    end = re.compile(rb"^" + re.escape(mark) + rb"\s*;?\s*$", re.MULTILINE).search(text, position)
    return end.end() if end else len(text)
