"""The recovery test: a backup brought back on a staging server, by the stopwatch, and what that shows.

``record`` is what a test leaves: one signed document, from which every report is drawn. Nothing live is touched.
"""
