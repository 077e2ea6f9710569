"""Words as they are compared: without regard to case, punctuation, and how they are typed."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from .expansion import GrammarError, Mode

MAX_TEXT_CHARS = 2_048
KEYS = "0123456789*#ABCD"
_KEY_NAMES = {"star": "*", "pound": "#", "hash": "#"}
_KEY = re.compile(r"star|pound|hash|[0-9*#A-D]|(\s+)|(.)", re.IGNORECASE | re.DOTALL)

_APART = str.maketrans(dict.fromkeys("-‐‑–—/_", " ") | {sign: f" {sign} " for sign in "€$£"})
_SAME = str.maketrans({"’": "'", "‘": "'", "`": "'"})
_GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_MINUS = re.compile(r"(?<![\w.,:)])[-−](?=\d)")
"""Before a figure; between words and figures it only parts them."""
_LOST = re.compile(r"(?<!\d)[.,:]|[.,:](?!\d)|[!?;…\"“”„«»()\[\]{}¿¡]")
"""Punctuation, but not within figures: 3.5 and 10:30 are words."""


def language_of(locale: str) -> str:
    """The language of a locale (BCP 47): ``en`` of ``en-GB``."""
    return locale.replace("_", "-").partition("-")[0].lower()


def joins_words(locale: str) -> bool:
    """Whether words are written together there, as those of numbers: dreiundzwanzig."""
    return language_of(locale) == "de"


@lru_cache(maxsize=8_192)
def normalize_word(word: str, language: str) -> str:
    """A word of a grammar as it is compared; empty if nothing of it is heard."""
    return _normalize(word, language)


def _normalize(text: str, language: str) -> str:
    text = unicodedata.normalize("NFKC", text).casefold()
    text = _MINUS.sub(" minus ", text)
    text = unicodedata.normalize("NFC", text.translate(_SAME)).translate(_APART)
    if language == "de":
        text = text.translate(_GERMAN)
    return " ".join(_LOST.sub(" ", text).split())


def normalize(text: str, mode: Mode, locale: str) -> str | None:
    """What was said or typed, as it is compared: words with one space between them, or keys with
    none. None is what no grammar can mean: too long, or keys that no keypad has."""
    if len(text) > MAX_TEXT_CHARS:
        return None
    if mode == "voice":
        return _normalize(text, language_of(locale))
    try:
        return "".join(keys_of(text))
    except GrammarError:
        return None


def keys_of(text: str) -> tuple[str, ...]:
    """Keys in a text, also by their names (SRGS 1.0, appendix E). GrammarError: others."""
    keys = []
    for found in _KEY.finditer(text):
        if found[2]:
            raise GrammarError(f"{found[2]!r} is on no keypad: keys are {' '.join(KEYS)}")
        if not found[1]:
            keys.append(_KEY_NAMES.get(found[0].lower(), found[0].upper()))
    return tuple(keys)
