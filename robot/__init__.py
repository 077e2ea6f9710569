"""What talks: dialogue scripts, speech, and the channels that carry them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .conversation import converse
    from .runner import Robot, RobotError
    from .script.compiler import load_script
    from .script.interpreter import Interpreter
    from .script.problems import ScriptError
    from .speech.mrcp.servers import MrcpServer
    from .speech.mrcp.service import MrcpService

__all__ = [
    "Interpreter",
    "MrcpServer",
    "MrcpService",
    "Robot",
    "RobotError",
    "ScriptError",
    "converse",
    "load_script",
]

_HOMES = {
    "Interpreter": ".script.interpreter",
    "MrcpServer": ".speech.mrcp.servers",
    "MrcpService": ".speech.mrcp.service",
    "Robot": ".runner",
    "RobotError": ".runner",
    "ScriptError": ".script.problems",
    "converse": ".conversation",
    "load_script": ".script.compiler",
}


def __getattr__(name: str) -> Any:
    """Each is loaded when it is first asked for: who checks a script needs no engine for that."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
