"""The `pardec` command: one file a subcommand, which asks the floors below and prints."""
