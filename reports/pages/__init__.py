"""What a page says: sections of sentences, tables and figures."""
