"""Recorded runs as pandas tables, figures and pages. Never imports torch."""
