"""What comes of compiling a source: a script, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .answers import Words
from .model import Script
from .place import Place
from .problems import Problem


@dataclass(frozen=True, slots=True)
class Compiled:
    """What came of a source: ``script`` is None if there are errors among ``problems``.

    ``words`` are what opens each handler, ``files`` the grammars that were read, by their names,
    ``variables`` and ``report`` where each of these is declared; ``others`` are the scripts that it
    may hand over to, by their paths from its folder.
    """

    data: bytes
    script: Script | None
    problems: tuple[Problem, ...]
    words: Mapping[str, Words] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    variables: Mapping[str, Place] = field(default_factory=dict)
    report: Mapping[str, Place] = field(default_factory=dict)
    is_pack: bool = False
    others: Mapping[str, Compiled] = field(default_factory=dict)
