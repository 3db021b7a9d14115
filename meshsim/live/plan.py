"""The client's place in a live mesh, which has a proxy as every replica has."""

from __future__ import annotations

from meshsim.scenario.model import CLIENT

CLIENT_ID = f"{CLIENT}/0"
