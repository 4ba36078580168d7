"""PEM that a fleet gives as text or as a file."""

from pathlib import Path

from backproof.errors import AccessDenied, ConfigurationError, NotFound


def read(text_or_path: str | Path, where: str) -> bytes:
    """The PEM itself, or what the file holds.

    Args:
        text_or_path: what the fleet says.
        where: the place in the fleet that says it, for messages.

    Raises:
        NotFound, AccessDenied, ConfigurationError: the file can't be read.
    """
    if isinstance(text_or_path, str) and text_or_path.startswith("-----BEGIN"):
        return text_or_path.encode()
    path = Path(text_or_path)
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(
            f"{where}: there is no file {path}", "Make the pair with `backproof keys escrow`, or correct the path."
        ) from None
    except PermissionError:
        raise AccessDenied(f"{where}: cannot read {path}", "Give this user the right to read it.") from None
    except OSError as error:
        raise ConfigurationError(f"{where}: cannot read {path}: {error.strerror}", "Name the PEM file.") from None
