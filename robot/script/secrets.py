"""The texts of a script's secrets, from the environment."""

from __future__ import annotations

from collections.abc import Mapping

from .model import Script


class MissingSecret(Exception):
    """Secrets have no text; ``variables`` are the environment variables that would have it."""

    def __init__(self, variables: list[str]) -> None:
        super().__init__(f"the script's secrets are not set: {', '.join(variables)}")
        self.variables = variables


def read_secrets(script: Script, environment: Mapping[str, str]) -> dict[str, str]:
    """Each secret's text by the script's name for it. MissingSecret."""
    missing = sorted({name for name in script.secrets.values() if not environment.get(name)})
    if missing:
        raise MissingSecret(missing)
    return {name: environment[variable] for name, variable in script.secrets.items()}
