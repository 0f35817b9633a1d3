"""What can be audited: models in a folder, recorded outputs, functions; all answer to the same protocol."""
