"""Answers from a trained model: which one, from the command line, and over HTTP."""
