"""Other tools' files as scenarios, and scenarios as theirs."""
