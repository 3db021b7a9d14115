"""How results are shown: as tables of text, on a terminal, as data frames, to systems that run tests."""
