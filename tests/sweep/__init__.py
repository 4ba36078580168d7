"""Kill -9 at many moments of everything Backproof does, on every kind of database; see ``__main__``."""
