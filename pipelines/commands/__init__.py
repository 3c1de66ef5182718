"""One module a command. Their module level stays light, so that `ehps --help` answers at once; work is imported late."""
