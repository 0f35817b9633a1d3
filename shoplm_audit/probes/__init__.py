"""Cases to requests to observations."""
