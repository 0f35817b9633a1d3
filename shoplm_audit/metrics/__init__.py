"""Many observations to one number, with the interval that suits it."""
