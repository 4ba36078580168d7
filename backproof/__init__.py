"""Database backups that prove they come back.

The library below the flows: no Prefect in it, no hidden clock, no reading of the environment.
"""

__version__ = "0.1.0"
