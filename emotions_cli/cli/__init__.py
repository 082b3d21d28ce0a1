"""The ``emotions`` command: the only place that builds settings, prints, or exits."""
