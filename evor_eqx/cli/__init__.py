"""The `evor` command, one file per command."""
