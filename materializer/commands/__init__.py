"""What each command does, one module a command. The command line only reads arguments."""
