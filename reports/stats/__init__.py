"""Pure numbers: estimates, intervals and tests. Knows no page and no store."""
