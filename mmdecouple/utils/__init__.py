"""Small things that tools share: config scopes, version checks, one-line errors."""
