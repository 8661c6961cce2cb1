"""The command line and the one-command local stack: composes every process and decides nothing."""

__version__ = "0.1.0"
