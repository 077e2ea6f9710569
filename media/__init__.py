"""The media engine: C core binding, legs, prompts, SIP."""

from .huge_pages import use_huge_pages

# Before anything else is imported: code and types are most of what a wake-up touches.
use_huge_pages()
