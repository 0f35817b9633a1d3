"""Models with a known fault of known dose, and an honest one: what every suite is tried on."""
