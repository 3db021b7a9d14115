"""Which version of meshsim this is, told once."""

VERSION = "0.1.0"
