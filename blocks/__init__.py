"""What a person configures in Prefect: blocks, flat, naming each other by string."""

from blocks.documents import Database, Fleet, KeyRing, LocalStore, Plan, S3Store
from blocks.fleet import load_fleet, plans_of
from blocks.saving import save_fleet

__all__ = ["Database", "Fleet", "KeyRing", "LocalStore", "Plan", "S3Store", "load_fleet", "plans_of", "save_fleet"]
