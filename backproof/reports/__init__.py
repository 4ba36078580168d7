"""The reports of recovery tests: drawn, signed, kept in the stores, read from there.

A report is one record in three forms: JSON, the signed record itself; HTML and PDF, drawn from it and signed in their
last line. What draws (Jinja, Matplotlib, Typst, pandas) is imported when something is drawn.
"""

from backproof.reports.publishing import publish

__all__ = ["publish"]
