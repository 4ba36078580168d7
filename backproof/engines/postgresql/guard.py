"""What an archive may say to a server: the statements pg_dump writes into these sections, and nothing else.

A second fence behind signatures and digests. Statements that reach beyond the restored database (``ALTER SYSTEM``,
``ALTER ROLE``, ``COPY … TO PROGRAM``), destroy (``DROP``) or run code at once (``DO``) are none that a dump of one
database holds; an archive with one of them was not written by pg_dump, and is refused before that entry is sent.
Spelling counts: what pg_dump would have written with one space or in capitals is refused when it is not so. What
functions, triggers and defaults of the archive do when they run is the database's own business, as ever.
"""

import re

from backproof.engines.postgresql.lexer import statements, tokens
from backproof.errors import Damaged

_OBJECT = (
    rb"(?:ACCESS METHOD|AGGREGATE|CAST|COLLATION|CONVERSION|DOMAIN|EVENT TRIGGER|EXTENSION|FOREIGN DATA WRAPPER|"
    rb"FOREIGN TABLE|FUNCTION|INDEX|(?:PROCEDURAL )?LANGUAGE|LARGE OBJECT|MATERIALIZED VIEW|OPERATOR|POLICY|PROCEDURE|"
    rb"PUBLICATION|RULE|SCHEMA|SEQUENCE|SERVER|STATISTICS|TABLE|TEXT SEARCH|TRANSFORM|TRIGGER|TYPE|USER MAPPING|VIEW)"
)
_CREATED = rb"(?:OR REPLACE |UNIQUE |UNLOGGED |CONSTRAINT |DEFAULT |TRUSTED )?" + _OBJECT
_DESCRIBED = rb"(?:" + _OBJECT + rb"|COLUMN|CONSTRAINT|SUBSCRIPTION)"
_LIST = rb'\((?:[^")]|"[^"]*")*\)'
_SETTINGS = (
    rb"(?:statement_timeout|lock_timeout|idle_in_transaction_session_timeout|transaction_timeout|client_encoding|"
    rb"standard_conforming_strings|check_function_bodies|xmloption|client_min_messages|row_security|"
    rb"default_tablespace|default_table_access_method|default_with_oids|escape_string_warning)"
)
_CALLS = (
    rb"(?:set_config\('search_path', '', false\)|"
    rb"setval\('[^']*(?:''[^']*)*', -?\d+, (?:true|false)\)|"
    rb"lo_create\('\d+'\)|lo_open\('\d+', \d+\)|lo_lseek64\(0, \d+, 0\)|lowrite\(0, '\\x[0-9a-f]*'\)|lo_close\(0\))"
)
_PERMITTED = re.compile(
    rb"CREATE " + _CREATED + rb" .*|"
    rb"CREATE SUBSCRIPTION .* WITH \(connect = false, .*|"
    rb"ALTER (?:" + _OBJECT + rb"|DEFAULT PRIVILEGES) .*|"
    rb"ALTER SUBSCRIPTION [^;']* OWNER TO .*|"
    rb"COMMENT ON " + _DESCRIBED + rb" .*|"
    rb"SECURITY LABEL FOR [^ ]+ ON " + _DESCRIBED + rb" .*|"
    rb"(?:GRANT|REVOKE) (?:[A-Z, ]|" + _LIST + rb")+ ON (?:" + _OBJECT + rb"|FOREIGN SERVER) .*|"
    rb"REFRESH MATERIALIZED VIEW .*|"
    rb"SET " + _SETTINGS + rb" = .*|"
    rb"SET SESSION AUTHORIZATION .*|RESET SESSION AUTHORIZATION;|"  # a grant by somebody else than the owner
    rb"SELECT \* FROM pg_catalog\.pg_restore_(?:relation|attribute)_stats\(.*|"
    rb"SELECT pg_catalog\." + _CALLS + rb";",
    re.DOTALL,
)
_BODY = re.compile(rb"\s*(?:SELECT|INSERT|UPDATE|DELETE|MERGE|VALUES|WITH|TABLE|RETURN|END|\()")


def permitted(text: bytes, large_objects: bool = False) -> list[bytes]:
    """The statements of an entry, or of data that is no COPY: every one of them such as pg_dump writes.

    Args:
        text: SQL; comments and ``\\restrict`` lines are left out of the result.
        large_objects: whether ``BEGIN`` and ``COMMIT`` belong here, as they do around large objects.

    Raises:
        Damaged: one of them is not; it is named by its first words, not shown.
    """
    found = list(statements(text))
    for statement in found:
        if large_objects and statement in (b"BEGIN;", b"COMMIT;"):
            continue
        if not _PERMITTED.fullmatch(statement) or not _is_one(statement):
            words = " ".join(statement[:80].decode("latin-1").split()[:2])
            raise Damaged(
                f"the archive holds a statement that pg_dump does not write there: {words} …",
                "Restore nothing from it by other means either, and find out who wrote it.",
            )
    return found


def _is_one(statement: bytes) -> bool:
    """Whether what follows each inner semicolon of a ``BEGIN ATOMIC`` body is fit for one.

    A column called "case" could make a body seem to go on where it ended, and hide a statement behind it.
    """
    if b"BEGIN ATOMIC" not in statement:
        return True
    inner = (end for kind, _, end in tokens(statement) if kind == ";" and end < len(statement))
    return all(_BODY.match(statement, end) for end in inner)
