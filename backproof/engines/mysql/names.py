"""How MySQL and MariaDB spell names and strings: for a person, for a manifest, for the server. Pure."""

import re

_BARE = re.compile(r"(?=.*[^0-9])[A-Za-z0-9_$]+", re.ASCII)
_ESCAPED = {"\\": "\\\\", "'": "\\'", "\0": "\\0", "\n": "\\n", "\r": "\\r", "\x1a": "\\Z"}


def quote_ident(name: str) -> str:
    """A name as every statement takes it: in backticks, a backtick within it doubled."""
    return "`" + name.replace("`", "``") + "`"


def escaped(schema: str) -> str:
    """A schema's name as the server keeps it with rights on whole schemas, where it is a pattern."""
    return re.sub(r"([\\_%])", r"\\\1", schema)


def pattern(schema: str) -> str:
    """The same as a GRANT takes it."""
    return quote_ident(escaped(schema))


def spell(name: str) -> str:
    """A name as a person writes it and as manifests keep it: bare where that is plain, in backticks elsewhere."""
    return name if _BARE.fullmatch(name) else quote_ident(name)


def unspell(spelled: str) -> str:
    """The name that ``spell`` spelled; a person may use backticks where none were needed.

    Raises:
        ValueError: backticks that do not pair up.
    """
    if not spelled.startswith("`"):
        return spelled
    inner = spelled[1:-1]
    if len(spelled) < 2 or not spelled.endswith("`") or "`" in inner.replace("``", ""):
        raise ValueError(f"the backticks of {spelled} do not pair up")
    return inner.replace("``", "`")


def quote_literal(value: str) -> str:
    """A string as a session takes it whose ``sql_mode`` has no ``NO_BACKSLASH_ESCAPES``."""
    return "'" + "".join(_ESCAPED.get(character, character) for character in value) + "'"


def quote_account(user: str, host: str | None) -> str:
    """An account; a role, which has no host, where it is empty or None."""
    return f"{quote_ident(user)}@{quote_ident(host)}" if host else quote_ident(user)


def decode(name: bytes, charset: str = "") -> str:
    """A name of a dump as text. The tools write names in UTF-8, but in a body's own heading in that body's charset."""
    for codec in ("utf-8", CODECS.get(charset, charset) or "latin-1"):
        try:
            return name.decode(codec)
        except (UnicodeDecodeError, LookupError):
            continue
    return name.decode("latin-1")


CODECS = {
    "latin1": "cp1252",
    "latin2": "iso8859_2",
    "latin5": "iso8859_9",
    "latin7": "iso8859_13",
    "greek": "iso8859_7",
    "hebrew": "iso8859_8",
    "sjis": "shift_jis",
    "ujis": "euc_jp",
    "eucjpms": "euc_jp",
    "euckr": "euc_kr",
    "koi8r": "koi8_r",
    "koi8u": "koi8_u",
    "tis620": "tis_620",
    "macroman": "mac_roman",
    "macce": "mac_latin2",
    "utf8mb3": "utf_8",
}
"""Character sets whose name in Python is another."""
