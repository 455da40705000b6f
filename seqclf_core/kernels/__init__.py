"""Compiled kernels, and what they compute in plain torch."""
