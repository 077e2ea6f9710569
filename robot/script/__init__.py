"""Dialogue scripts: data that says how a conversation goes."""
