"""Shared utilities: config scopes, version checks, atomic file writing, setting checks and one-line errors."""
