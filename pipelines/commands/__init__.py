"""One module a command. They import their work late, so that `ehps --help` answers at once."""
