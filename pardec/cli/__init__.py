"""The `pardec` command: one file per subcommand, which calls the library and prints."""
