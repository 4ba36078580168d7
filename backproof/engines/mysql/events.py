"""Events that the dump tool can't write: looking for a delimiter, it never gets beyond ``;;``."""

from pymysql.connections import Connection

from backproof.engines.mysql.connect import rows
from backproof.engines.mysql.names import spell

REMEDY = "Write it otherwise, such as '; ;' or CONCAT(';', ';'), or move its work into a procedure that it calls."

_ENDLESS = """
    SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s
      AND LOCATE(';;', CONCAT_WS('|', EVENT_NAME, EVENT_DEFINITION, EVENT_COMMENT, DEFINER)) > 0 ORDER BY 1
"""


def endless(connection: Connection, schema: str) -> list[str]:
    """Their names, as entries spell them. Raises the driver's errors."""
    return [spell(name) for (name,) in rows(connection, _ENDLESS, [schema])]
