"""Inter, the typeface of reports: where it lies, and as much of it as a page needs."""

import io
from base64 import b64encode
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

FAMILY = "Inter"
_WEIGHTS = (400, 700)
_ALWAYS = "".join(map(chr, range(0x20, 0x7F))) + "–—−…“”‘’·×±≤≥→§€ÄÖÜäöüßàâçéèêëîïôùûñøåæœ"


def folder() -> Path:
    """Where its files lie."""
    return Path(str(files("fontpkg_inter") / "files"))


def upright() -> Path:
    """The file of the upright letters, of every weight."""
    return folder() / "Inter[opsz,wght].ttf"


def fallbacks() -> Path:
    """A folder of others, for letters that it lacks."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def embedded(text: str) -> str:
    """The letters of a text as a data URI of a WOFF font, in every weight between regular and bold."""
    return _subset("".join(sorted({*_ALWAYS, *(char for char in text if char.isprintable())})))


@lru_cache(maxsize=8)
def _subset(letters: str) -> str:
    from fontTools.subset import Options, Subsetter
    from fontTools.ttLib import TTFont
    from fontTools.varLib.instancer import instantiateVariableFont

    options = Options()
    options.layout_features = ["kern", "tnum", "mark", "mkmk", "ccmp"]
    options.notdef_outline = True
    subsetter = Subsetter(options)
    subsetter.populate(text=letters)
    held = io.BytesIO()
    with TTFont(upright(), recalcTimestamp=False) as font:
        subsetter.subset(font)
        instantiateVariableFont(font, {"opsz": 14, "wght": _WEIGHTS}, inplace=True)
        font.flavor = "woff"
        font.save(held)
    return f"data:font/woff;base64,{b64encode(held.getvalue()).decode()}"
