"""The `ringwheel` command."""
