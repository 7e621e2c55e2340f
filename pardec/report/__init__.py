"""The report: figures, tables, text. It reads tables and values, never records."""
