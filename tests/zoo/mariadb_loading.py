"""Running a test file of MariaDB's suite so that what it made remains.

Tests clean up after themselves, and use a name such as ``t1`` a hundred times. So what a test drops is set aside under
a name of its own: tables, views and sequences are renamed (views that stand on them are led to the new name), routines
and events get another name in the server's own tables, a trigger moves to an empty copy of its table.
"""

import itertools
import re
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pymysql

from backproof.records import Target
from tests.support.mariadb_fixtures import connection
from tests.zoo.mtr import Command, commands, included, substituted

SCHEMA = "test"
"""The tests' own word for the schema they work in."""

STATEMENT_SECONDS = 3

_NOT_INCLUDED = re.compile(
    r"restart|shutdown|kill|wait|sync|rpl|master|slave|galera|have_|not_|count_sess|diff_|start_|stop|crash|search_"
    r"|big_test|check_|add_anon|delete_anon"
)
_NOT_RUN = re.compile(
    rb"(shutdown|kill|purge|reset|change\s+master|(start|stop)\s+(slave|all|replica)|(un)?install|load\s|flush|lock\s|"
    rb"unlock|xa\s|backup|set\s+(statement\s+)?@?@?(global|password|persist)|set\s+password|show|explain|describe|"
    rb"desc\s|check\s|checksum|repair|optimize|analyze|handler|cache|help|binlog|alter\s+user|"
    rb"(drop|create|alter)\s+(database|schema)\s+(if\s+(not\s+)?exists\s+)?`?(test|mysql)\b|"
    rb"(update|delete|insert|replace|drop|alter|truncate|rename|create)\b[^;]*?\bmysql`?\s*\.)",
    re.IGNORECASE | re.DOTALL,
)
_NOT_WITHIN = re.compile(
    rb"(out|dump)file|load_file|get_lock|sleep\s*\(|benchmark\s*\(|soname|debug_dbug|debug_sync|\broot\b.*identified",
    re.IGNORECASE,
)
_NAME = rb"(?:`(?:[^`]|``)+`|[\w$\x80-\xff]+)"
_QUALIFIED = rb"(?:" + _NAME + rb"\s*\.\s*)?" + _NAME
_COMMENT = rb"(?:/\*.*?\*/\s*|#[^\n]*\n\s*|--\s[^\n]*\n\s*)*"
_DROP = re.compile(
    rb"\s*" + _COMMENT + rb"drop\s+(?P<kind>tables?|view|sequence|procedure|function|event|trigger)\s+"
    rb"(?:if\s+exists\s+)?(?P<names>" + _QUALIFIED + rb"(?:\s*,\s*" + _QUALIFIED + rb")*)\s*(?:cascade|restrict)?\s*$",
    re.IGNORECASE | re.DOTALL,
)
_REPLACE = re.compile(
    rb"\s*create\s+or\s+replace\s+(?:[\w=@`'%.]+\s+)*?(?P<kind>table|view|sequence|procedure|function|event)\s+"
    rb"(?P<names>" + _QUALIFIED + rb")",
    re.IGNORECASE,
)
_VIEW = re.compile(rb"\s*(?:create|alter)\s(?:[\w=@`'%.]+\s+)*?view\s+(?P<name>" + _QUALIFIED + rb")", re.IGNORECASE)
_TRIGGER = re.compile(rb"(trigger\s+(?:if\s+not\s+exists\s+)?)(" + _QUALIFIED + rb")", re.IGNORECASE)
_TRIGGER_EXISTS = 1359
_LEFT = {
    "_rename": "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s"
    " AND TABLE_NAME NOT RLIKE '__[0-9]+$'",
    "_routine": "SELECT name FROM mysql.proc WHERE db = %s AND name NOT RLIKE '__[0-9]+$'",
    "_event": "SELECT name FROM mysql.event WHERE db = %s AND name NOT RLIKE '__[0-9]+$'",
}
_numbers = itertools.count(1)


class Loading:
    """One session, as a test has it, and an administrator beside it who sets things aside."""

    def __init__(self, server: Target, root: Path, files: Path, seconds: float) -> None:
        self._server = server
        self._root = root
        self._deadline = time.monotonic() + seconds
        self._variables = {
            b"MYSQLTEST_VARDIR": str(files).encode(),
            b"MYSQL_TMP_DIR": str(files).encode(),
            b"engine_type": b"InnoDB",
            b"ENGINE": b"InnoDB",
            b"default_engine": b"InnoDB",
        }
        self._views: dict[str, str] = {}
        self._admin = connection(server.to("mysql"), read_timeout=20)
        self._session = self._connect()
        self.ran = 0
        self.refused = 0

    def _connect(self) -> Any:
        session = connection(self._server.to(SCHEMA), charset="latin1", client_flag=0, read_timeout=15)
        session.query(
            f"SET max_statement_time = {STATEMENT_SECONDS}, lock_wait_timeout = 1, innodb_lock_wait_timeout = 1,"
            " sql_mode = 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_CREATE_USER,NO_ENGINE_SUBSTITUTION'"
        )
        return session

    def close(self) -> None:
        for each in (self._session, self._admin):
            with suppress(pymysql.Error, OSError):
                each.close()

    def run(self, path: Path, depth: int = 0) -> None:
        """Everything in a file, or as much as there is time for.

        Raises:
            ConnectionError: the server went away.
        """
        for command in commands(path.read_bytes()):
            if time.monotonic() > self._deadline:
                return
            if command.kind == "source":
                name = substituted(command.text, self._variables).decode("latin-1")
                found = included(name, path, self._root)
                if found and depth < 4 and not _NOT_INCLUDED.search(Path(name).name):
                    self.run(found, depth + 1)
            elif command.kind == "let":
                self._let(command)
            else:
                text = substituted(command.text, self._variables) if command.name else command.text
                self._statement(text)
        if not depth:
            self._try(b"COMMIT")

    def set_all_aside(self) -> None:
        """What is left under the tests' own names, so that another file can be run after this one."""
        for kind, sql in _LEFT.items():
            for (name,) in self._all(sql, SCHEMA):
                with suppress(pymysql.Error, LookupError):
                    getattr(self, kind)(name, f"{name[:50]}__{next(_numbers)}")

    def _let(self, command: Command) -> None:
        text = substituted(command.text, self._variables)
        if text.startswith(b"`"):
            found = self._answer(text.strip(b"`"))
            text = b"" if found is None else found
        self._variables[command.name] = text

    def _statement(self, text: bytes) -> None:
        if _NOT_RUN.match(text) or _NOT_WITHIN.search(text):
            return
        if (drop := _DROP.match(text)) and not self._all_set_aside(drop):
            return
        if replace := _REPLACE.match(text):
            self._all_set_aside(replace)
        self.ran += 1
        error = self._try(text)
        if error == _TRIGGER_EXISTS:
            error = self._try(_TRIGGER.sub(rb"\1zoo_trigger_%d" % next(_numbers), text, count=1))
        self.refused += error != 0
        if not error and (view := _VIEW.match(text)):
            for name in _names(view["name"]):
                with suppress(pymysql.Error, LookupError):
                    self._views[name] = str(self._one(f"SHOW CREATE VIEW {_placed(name)}")[1])

    def _try(self, text: bytes) -> int:
        """The number of the server's error; 0: none."""
        try:
            self._session.query(text)
            while self._session._result is not None and self._session._result.has_next:
                self._session.next_result()
        except (UnicodeDecodeError, AttributeError, ValueError):
            self._reconnect()  # what it answers can't be read as what it says it is
        except pymysql.Error as error:
            number = error.args[0] if error.args and isinstance(error.args[0], int) else -1
            if number < 1000 or 2000 <= number < 3000:
                self._reconnect()
            return number or -1
        return 0

    def _answer(self, text: bytes) -> bytes | None:
        try:
            with self._session.cursor() as cursor:
                cursor.execute(text)
                row = cursor.fetchone()
        except (pymysql.Error, UnicodeDecodeError, AttributeError, ValueError):
            self._reconnect()
            return None
        return str(row[0]).encode("latin-1", "replace") if row and row[0] is not None else None

    def _reconnect(self) -> None:
        with suppress(pymysql.Error, OSError):
            self._session.close()
        try:
            self._session = self._connect()
        except pymysql.Error as error:
            raise ConnectionError(str(error)) from None

    def _all_set_aside(self, match: "re.Match[bytes]") -> bool:
        """Whether the statement itself is still to run, for what could not be set aside."""
        kind = match["kind"].decode().lower().rstrip("s")
        self._try(b"COMMIT")
        if self._schema() != SCHEMA:
            return True
        aside: dict[str, Callable[[str, str], None]] = {
            "table": self._rename,
            "view": self._rename,
            "sequence": self._rename,
            "procedure": self._routine,
            "function": self._routine,
            "event": self._event,
            "trigger": self._move_trigger,
        }
        done = True
        for name in _names(match["names"]):
            try:
                aside[kind](name, f"{name[:50]}__{next(_numbers)}")
            except (pymysql.Error, LookupError, UnicodeError):
                done = False
        return not done or kind == "trigger"

    def _schema(self) -> str:
        found = self._answer(b"SELECT DATABASE()")
        return found.decode("latin-1") if found else ""

    def _one(self, sql: str, *parameters: str) -> tuple[Any, ...]:
        with self._admin.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            row = cursor.fetchone()
        if row is None:
            raise LookupError(sql)
        return tuple(row)

    def _all(self, sql: str, *parameters: str) -> list[tuple[Any, ...]]:
        with self._admin.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return list(cursor.fetchall())

    def _rename(self, name: str, new: str) -> None:
        self._all(f"RENAME TABLE {_placed(name)} TO {_placed(new)}")
        if name in self._views:
            self._views[new] = self._views.pop(name)
        for view, text in list(self._views.items()):
            if _placed(name) in text:
                self._views[view] = text.replace(_placed(name), _placed(new))
                with suppress(pymysql.Error):
                    self._all(self._views[view].replace("CREATE ", "CREATE OR REPLACE ", 1))

    def _routine(self, name: str, new: str) -> None:
        self._one("SELECT 1 FROM mysql.proc WHERE db = %s AND name = %s", SCHEMA, name)
        self._all(
            "UPDATE mysql.proc SET name = %s, specific_name = %s WHERE db = %s AND name = %s", new, new, SCHEMA, name
        )
        # The server forgets the routines it knows when another one is made.
        self._all("CREATE OR REPLACE PROCEDURE mysql.zoo_forget() SELECT 1")

    def _event(self, name: str, new: str) -> None:
        self._one("SELECT 1 FROM mysql.event WHERE db = %s AND name = %s", SCHEMA, name)
        self._all("UPDATE mysql.event SET name = %s WHERE db = %s AND name = %s", new, SCHEMA, name)

    def _move_trigger(self, name: str, new: str) -> None:
        (table,) = self._one(
            "SELECT EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS"
            " WHERE TRIGGER_SCHEMA = %s AND TRIGGER_NAME = %s",
            SCHEMA,
            name,
        )
        row = self._one(f"SHOW CREATE TRIGGER {_placed(name)}")
        text = re.sub(
            r"(?is)(trigger\s+(?:if\s+not\s+exists\s+)?)(?:\S+?)(\s.*?\son\s+)(?:`?\w+`?\s*\.\s*)?`?\w+`?",
            lambda match: f"{match[1]}{_placed(new)}{match[2]}{_placed('of_' + new)}",
            row[2],
            count=1,
        )
        self._all(f"CREATE TABLE {_placed('of_' + new)} LIKE {_placed(table)}")
        self._all("SET sql_mode = %s", row[1])
        try:
            self._all(text)
        finally:
            self._all("SET sql_mode = ''")


def _names(text: bytes) -> Iterable[str]:
    for found in re.findall(_QUALIFIED, text):
        place = re.fullmatch(rb"(?:(" + _NAME + rb")\s*\.\s*)?(" + _NAME + rb")", found)
        if place:
            name = place[2].decode("utf-8", "replace")
            yield name[1:-1].replace("``", "`") if name.startswith("`") else name


def _placed(name: str) -> str:
    return f"`{SCHEMA}`.{_quoted(name)}"


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
