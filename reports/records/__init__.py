"""Reads what was recorded: databases, servers, and their long tables into DataFrames."""
