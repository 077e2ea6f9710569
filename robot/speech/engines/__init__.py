"""Engines of speech: what recognizes and what speaks, each behind one small interface."""
