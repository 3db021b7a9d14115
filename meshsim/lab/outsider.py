"""Files with which programs from outside, such as curl or openssl, take part in a live mesh with mTLS."""

from __future__ import annotations

from pathlib import Path

from meshsim.errors import MeshsimError
from meshsim.lab import files
from meshsim.live.control.process import OUTSIDER
from meshsim.live.launch import LiveMesh
from meshsim.scenario.model import CLIENT, Scenario

CA, CERTIFICATE, KEY = "ca.pem", "client.pem", "client.key"


def prepare(scenario: Scenario, folder: Path) -> None:
    """Makes the folder; MeshsimError where the scenario will have no certificates, or none can be saved."""
    if scenario.mesh.mtls is None:
        raise MeshsimError(
            "--certificates: the scenario has no mTLS; write mesh.mtls, or leave the option out"
        )
    files.prepare(folder, option="--certificates")


def hand_out(mesh: LiveMesh, folder: Path) -> dict[str, str]:
    """Writes what is trusted, and a certificate of the client's with its key, for a mesh with mTLS.

    The key can be read by its owner alone. Each file is whole, or is not there.

    Returns:
        Where they are, by what they are: ``ca``, ``certificate``, ``key``.

    Raises:
        MeshsimError: there is no certificate; the files can't be written.
    """
    from meshsim.live.identity.outsider import identity_files  # noqa: PLC0415 - an extra

    roots, certificate, key = identity_files(mesh.enrolments[OUTSIDER], CLIENT)
    files.write(folder, {CA: roots, CERTIFICATE: certificate, KEY: files.Secret(key)})
    return {"ca": str(folder / CA), "certificate": str(folder / CERTIFICATE), "key": str(folder / KEY)}
