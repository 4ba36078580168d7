"""Stub."""


def requalified(text: bytes, old: str, new: str, ignore_case: bool = False) -> bytes:
    """A script (an entry's text) with every qualifier that means schema ``old`` replaced by ``new``."""
    raise NotImplementedError


def literal_uses(text: bytes, old: str) -> bool:
    """Whether a string of a body holds the schema's name the way dynamic SQL would."""
    raise NotImplementedError


def disabled(text: bytes) -> bytes:
    """An EVENT entry's text with ENABLE as DISABLE."""
    raise NotImplementedError
