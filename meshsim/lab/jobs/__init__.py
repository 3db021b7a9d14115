"""How runs are carried out: on many processes or machines, within the memory, kept when interrupted."""
