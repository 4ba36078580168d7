"""What a person runs; each flow's body reads aloud."""
