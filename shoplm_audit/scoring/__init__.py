"""One text to one number: claims against a record, quantities with units."""
