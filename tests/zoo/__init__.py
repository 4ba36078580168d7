"""What the databases' own test suites leave behind, sent through seal, proof and restore. Run by hand: ``make zoo``."""
