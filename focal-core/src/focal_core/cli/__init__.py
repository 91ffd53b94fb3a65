"""The command line `focal`: one file per command group."""
