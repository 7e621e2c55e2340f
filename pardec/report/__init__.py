"""The paper: figures, tables, prose. It reads tables and values, and never a record."""
