"""What is in a schema, by the server's own catalogue and checksums: none of our code, so that it can judge it."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import pymysql

from backproof.records import Target
from tests.support.mariadb_fixtures import connection

Inventory = Mapping[str, tuple[Any, ...]]

_QUERIES = {
    # Options and comments that a sequence has as the table it is inside are not of the sequence. Aria's page_checksum
    # is shown as an option only once it was given as one, and SHOW CREATE TABLE always gives it; as it does the
    # row_format that a table has, while its option may be another. Folders are told.
    "table": "SELECT TABLE_NAME, TABLE_TYPE, ENGINE, ROW_FORMAT, TABLE_COLLATION,"
    " if(TABLE_TYPE = 'SEQUENCE', '', trim(regexp_replace(concat(CREATE_OPTIONS, ' '),"
    " concat('page_checksum=1 |(DATA|INDEX) DIRECTORY=''([^''\\\\\\\\]|\\\\\\\\.)*'' ',"
    " if(ENGINE = 'Aria', '|row_format=[A-Z]+ ', '')),"
    " ''))), TABLE_COMMENT"
    " FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s",
    "auto_increment": "SELECT TABLE_NAME, AUTO_INCREMENT FROM information_schema.TABLES"
    " WHERE TABLE_SCHEMA = %s AND AUTO_INCREMENT IS NOT NULL",
    "column": "SELECT concat(TABLE_NAME, '.', COLUMN_NAME), ORDINAL_POSITION, COLUMN_DEFAULT, IS_NULLABLE, COLUMN_TYPE,"
    " CHARACTER_SET_NAME, COLLATION_NAME, COLUMN_KEY, EXTRA, COLUMN_COMMENT, IS_GENERATED, GENERATION_EXPRESSION"
    " FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME NOT IN"
    " (SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_TYPE = 'SEQUENCE')",
    "index": "SELECT concat(TABLE_NAME, '.', INDEX_NAME, '.', SEQ_IN_INDEX), NON_UNIQUE, COLUMN_NAME, COLLATION,"
    " SUB_PART, NULLABLE, INDEX_TYPE, INDEX_COMMENT, IGNORED FROM information_schema.STATISTICS"
    " WHERE TABLE_SCHEMA = %s",
    # Which key of another schema's table it points at, the server knows while it has that table.
    "foreign key": "SELECT concat(TABLE_NAME, '.', CONSTRAINT_NAME),"
    " if(UNIQUE_CONSTRAINT_SCHEMA = CONSTRAINT_SCHEMA, UNIQUE_CONSTRAINT_NAME, ''), UPDATE_RULE, DELETE_RULE,"
    " REFERENCED_TABLE_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = %s",
    "key column": "SELECT concat_ws('.', TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION), COLUMN_NAME,"
    " REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE"
    " WHERE TABLE_SCHEMA = %s",
    "check": "SELECT concat(TABLE_NAME, '.', CONSTRAINT_NAME), LEVEL, CHECK_CLAUSE"
    " FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = %s",
    "partition": "SELECT concat_ws('.', TABLE_NAME, PARTITION_NAME, SUBPARTITION_NAME), PARTITION_METHOD,"
    " SUBPARTITION_METHOD, PARTITION_EXPRESSION, SUBPARTITION_EXPRESSION, PARTITION_DESCRIPTION, PARTITION_COMMENT"
    " FROM information_schema.PARTITIONS WHERE TABLE_SCHEMA = %s AND PARTITION_NAME IS NOT NULL",
    "trigger": "SELECT TRIGGER_NAME, EVENT_MANIPULATION, EVENT_OBJECT_TABLE, ACTION_ORDER, ACTION_STATEMENT,"
    " ACTION_TIMING, SQL_MODE, DEFINER, CHARACTER_SET_CLIENT, COLLATION_CONNECTION"
    " FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s",
    # What is carried out and shown is the body; ROUTINE_DEFINITION, of Oracle's mode, also has the name behind its END.
    "routine": "SELECT concat(ROUTINE_TYPE, ' ', ROUTINE_NAME), DTD_IDENTIFIER, (SELECT CONVERT(body USING latin1)"
    " FROM mysql.proc WHERE db = ROUTINE_SCHEMA AND name = ROUTINE_NAME AND type = ROUTINE_TYPE), IS_DETERMINISTIC,"
    " SQL_DATA_ACCESS, SECURITY_TYPE, SQL_MODE, ROUTINE_COMMENT, DEFINER, CHARACTER_SET_CLIENT, COLLATION_CONNECTION"
    " FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s",
    "parameter": "SELECT concat_ws('.', ROUTINE_TYPE, SPECIFIC_NAME, ORDINAL_POSITION), PARAMETER_MODE, PARAMETER_NAME,"
    " DTD_IDENTIFIER FROM information_schema.PARAMETERS WHERE SPECIFIC_SCHEMA = %s",
    "event": "SELECT EVENT_NAME, TIME_ZONE, EVENT_DEFINITION, EVENT_TYPE, EXECUTE_AT, INTERVAL_VALUE, INTERVAL_FIELD,"
    " SQL_MODE, STARTS, ENDS, STATUS, ON_COMPLETION, EVENT_COMMENT, DEFINER, CHARACTER_SET_CLIENT"
    " FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s",
    "view": "SELECT TABLE_NAME, replace(replace(VIEW_DEFINITION, '(', ''), ')', ''), CHECK_OPTION, IS_UPDATABLE,"
    " DEFINER, SECURITY_TYPE, CHARACTER_SET_CLIENT, COLLATION_CONNECTION, ALGORITHM"
    " FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s",
}


def objects(target: Target) -> int:
    """How many there are: tables, sequences, views, triggers, routines, events."""
    sql = " UNION ALL ".join(
        f"SELECT count(*) AS n FROM information_schema.{table} WHERE {column} = %s"
        for table, column in (
            ("TABLES", "TABLE_SCHEMA"),
            ("TRIGGERS", "TRIGGER_SCHEMA"),
            ("ROUTINES", "ROUTINE_SCHEMA"),
            ("EVENTS", "EVENT_SCHEMA"),
        )
    )
    with closing(connection(target)) as connected, connected.cursor() as cursor:
        cursor.execute(sql, (target.database,) * 4)
        return sum(row[0] for row in cursor.fetchall())


def take(target: Target, names: Sequence[str]) -> Inventory:
    """Kind and name of everything, with what it is; ``names``, which the schema has on both sides, are taken out."""
    with closing(connection(target, read_timeout=60)) as connected, connected.cursor() as cursor:
        # CSV reads each value from a text: under a strict sql_mode a date of zeros makes the table look crashed.
        cursor.execute("SET time_zone = '+00:00', sql_mode = ''")
        return dict(_read(cursor, target.database, names))


def _read(cursor: Any, schema: str, names: Sequence[str]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    own = re.compile(rf"`?\b(?:{'|'.join(map(re.escape, names))})\b`?(?:\s*\.\s*)?", re.IGNORECASE)

    def plain(value: Any) -> Any:
        return own.sub("", value) if isinstance(value, str) else value

    kinds: dict[str, str] = {}
    for what, sql in _QUERIES.items():
        cursor.execute(sql, (schema,) * sql.count("%s"))
        for name, *values in cursor.fetchall():
            if what == "table":
                kinds[name] = values[0]
            yield f"{what} {name}", tuple(map(plain, values))
    for name, kind in kinds.items():
        if kind != "VIEW":
            yield f"rows {name}", _rows(cursor, f"`{name.replace('`', '``')}`", kind)


def _rows(cursor: Any, table: str, kind: str) -> tuple[Any, ...]:
    # Of a sequence all but how often it began anew, which no dump tells and each manifest with sequences says.
    sequence = (
        "SELECT next_not_cached_value, minimum_value, maximum_value, start_value, increment, cache_size, cycle_option"
    )
    queries = {"SEQUENCE": f"{sequence} FROM {table}", "SYSTEM VERSIONED": f"SELECT count(*) FROM {table}"}
    try:
        cursor.execute(queries.get(kind, f"CHECKSUM TABLE {table}"))
        found = cursor.fetchone() or ()
    except pymysql.Error as error:
        return ("error", error.args[0])
    return tuple(found) if kind in queries else tuple(found[1:])


def content(target: Target, table: str) -> str:
    """A digest of a table's rows, byte by byte, in no order: a checksum also tells what a row's buffer held beside."""
    with closing(connection(target, use_unicode=False, conv={})) as connected, connected.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00', sql_mode = '', character_set_results = NULL")
        cursor.execute(f"SELECT * FROM `{table.replace('`', '``')}`")
        return hashlib.sha256(repr(sorted(map(repr, cursor.fetchall()))).encode()).hexdigest()


def different(live: Inventory, restored: Inventory) -> list[str]:
    """What is not the same, a clause each."""
    found = []
    for key in sorted(live.keys() | restored.keys()):
        if key not in restored:
            found.append(f"{key}: lost")
        elif key not in live:
            found.append(f"{key}: came from nowhere")
        elif live[key] != restored[key]:
            pairs = [f"{a!r} → {b!r}" for a, b in zip(live[key], restored[key], strict=False) if a != b]
            found.append(f"{key}: {'; '.join(pairs)[:300]}")
    return found
