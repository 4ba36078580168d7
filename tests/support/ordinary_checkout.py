"""A checkout and an environment that an ordinary user can run, wherever ours lies and whoever we are."""

import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from backproof.engines.postgresql.runtime import can_enter
from backproof.scratch import NOBODY

ROOT = Path(__file__).parents[2]
PACKAGES = ("backproof", "blocks", "tasks", "flows", "deployments")

_ORDINARY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")

_OPENED = """
set -e
python=$1 private=$2 held=$3
shift 3
mount --bind "$python" "$held"
mount -t tmpfs -o mode=0755 none "$private"
mkdir -p "$python"
mount --bind "$held" "$python"
exec "$@"
"""
"""Shows a Python that lies where only root goes, and nothing else of that place: to one command and its children."""


@dataclass(frozen=True)
class Checkout:
    """What to run, for ``subprocess``."""

    command: tuple[str, ...]
    """``backproof``, as that user."""
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """As after a login."""
        return {"PATH": os.defpath, "HOME": str(self.home), "LANG": "C.UTF-8"}


def ordinary_checkout(folder: Path) -> Checkout:
    """A copy of this checkout below ``folder``, which ordinary users must be able to enter; gone with it."""
    home = folder / "home"
    home.mkdir(mode=0o700)
    if os.geteuid() != 0:
        return Checkout((str(Path(sys.executable).with_name("backproof")),), home)
    shutil.chown(home, NOBODY, NOBODY)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / "checkout" / package, ignore=shutil.ignore_patterns("__pycache__"))
    program = _environment(folder / "venv", folder / "checkout", _packages(folder))
    return Checkout((*_opened(folder), *_ORDINARY, str(program)), home)


def _environment(venv: Path, checkout: Path, packages: Path) -> Path:
    """By hand: Debian's Python can't make one without a package more."""
    python = Path(sys.executable).resolve()
    inside = venv / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    inside.mkdir(parents=True)
    (venv / "bin").mkdir()
    (venv / "pyvenv.cfg").write_text(f"home = {python.parent}\ninclude-system-site-packages = false\n")
    (inside / "checkout.pth").write_text(f"{checkout}\n{packages}\n")
    (venv / "bin" / "python").symlink_to(python)
    _link_or_copy(str(Path(sys.executable).with_name("weed")), str(venv / "bin" / "weed"))
    program = venv / "bin" / "backproof"
    program.write_text(f"#!{venv / 'bin' / 'python'}\nfrom deployments.cli import main\n\nmain()\n")
    program.chmod(0o755)
    return program


def _packages(folder: Path) -> Path:
    ours = Path(sysconfig.get_paths()["purelib"])
    if can_enter(ours):
        return ours
    copied = folder / "packages"
    shutil.copytree(ours, copied, symlinks=True, copy_function=_link_or_copy)
    return copied


def _opened(folder: Path) -> tuple[str, ...]:
    """Not another Python instead: which packages are needed depends on its version, to the last digit."""
    python = Path(sys.base_prefix).resolve()
    private = next((each for each in (*reversed(python.parents), python) if not can_enter(each)), None)
    if private is None:
        return ()
    (folder / "python").mkdir()
    return ("unshare", "--mount", "sh", "-c", _OPENED, "sh", str(python), str(private), str(folder / "python"))


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
