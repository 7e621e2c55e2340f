"""What becomes of drafted tokens behind a rejected one."""
