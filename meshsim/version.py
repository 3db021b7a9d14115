"""Which version of meshsim this is, said once."""

VERSION = "0.1.0"
