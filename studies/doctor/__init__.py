"""What the stores say compared with the journals, and what repairs it."""
