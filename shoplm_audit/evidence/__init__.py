"""The files that a verdict rests on."""
