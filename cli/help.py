"""How the help of every command shows its examples."""

from __future__ import annotations


def examples(*commands: str) -> str:
    """An epilog that typer shows with one command a line."""
    return "Examples:" + "".join(f"\n\n    {command}" for command in commands)
