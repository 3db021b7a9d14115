"""The version of meshsim, in one place."""

VERSION = "0.1.0"
