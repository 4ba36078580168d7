"""Views, triggers, routines and events of a schema: which there are, and whether they say the same as before."""

from typing import NamedTuple

import pymysql
from pymysql.connections import Connection

from backproof.engines.mysql.connect import number, rows
from backproof.engines.mysql.names import quote_ident, spell
from backproof.engines.mysql.sight import BROKEN

_SAYING = (
    """SELECT 'VIEW', TABLE_NAME, '', concat_ws('|', VIEW_DEFINITION, DEFINER, SECURITY_TYPE, CHECK_OPTION, ALGORITHM)
    FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s""",
    """SELECT 'TRIGGER', TRIGGER_NAME, EVENT_OBJECT_TABLE, concat_ws('|', ACTION_ORDER, ACTION_STATEMENT,
           EVENT_OBJECT_TABLE, EVENT_MANIPULATION, ACTION_TIMING, DEFINER, SQL_MODE)
    FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s""",
    """SELECT type, name, '', concat_ws('|', param_list, `returns`, body, definer, sql_mode, security_type, comment)
    FROM mysql.proc WHERE db = %s""",
    """SELECT 'EVENT', EVENT_NAME, '', concat_ws('|', EVENT_DEFINITION, INTERVAL_VALUE, INTERVAL_FIELD, STARTS, ENDS,
           EXECUTE_AT, STATUS, ON_COMPLETION, EVENT_COMMENT, DEFINER, SQL_MODE)
    FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s""",
)

_VIEWS = "SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s ORDER BY 1"


def broken_views(connection: Connection, schema: str) -> list[str]:
    """Views that stand on what is gone: they can be neither read nor dumped nor made again."""
    views = [str(name) for (name,) in rows(connection, _VIEWS, [schema])]
    return [name for name in views if not _can_be_described(connection, schema, name)]


class Code(NamedTuple):
    """A view, trigger, routine or event."""

    kind: str
    name: str
    table: str
    """A trigger's."""
    says: str
    """A digest, in which it does not matter when it was made."""

    @property
    def key(self) -> str:
        """As entries have it."""
        return f"{self.kind} {spell(self.name)}"


def code(connection: Connection, schema: str) -> list[Code]:
    """All code of a schema. Takes a while where there are many tables. Raises the driver's errors."""
    return [Code(*map(str, row)) for sql in _SAYING for row in rows(connection, _digested(sql), [schema])]


def _can_be_described(connection: Connection, schema: str, view: str) -> bool:
    try:
        rows(connection, f"SHOW FIELDS FROM {quote_ident(schema)}.{quote_ident(view)}")
    except pymysql.Error as error:
        return number(error) not in BROKEN  # whether this account may is another question
    return True


def _digested(sql: str) -> str:
    return sql.replace("concat_ws(", "md5(concat_ws(", 1).replace("\n    FROM", ")\n    FROM", 1)
