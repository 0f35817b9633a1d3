"""`python -m shoplm_audit` is the command `shoplm-audit`."""

from shoplm_audit.cli import main

main()
