"""Programs that are not ours as callers: `openssl s_client` and curl."""

from __future__ import annotations

import asyncio
import shutil
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from meshsim.live.tls import refusal
from meshsim.live.tls.context import Credentials
from tests.live.proxy.ends import HOST
from tests.live.proxy.rig import live
from tests.live.tls.mesh import Pair, pair
from tests.live.tls.pki import Authority, pem

OPENSSL, CURL = shutil.which("openssl"), shutil.which("curl")
PATIENCE = 10.0


def files(folder: Path, credentials: Credentials) -> tuple[str, str]:
    """Certificate with key, and the root, as files."""
    own, root = folder / "own.pem", folder / "root.pem"
    own.write_bytes(pem(credentials))
    root.write_bytes(credentials.roots[0].public_bytes(Encoding.PEM))
    return str(own), str(root)


async def run(*command: str, typed: bytes = b"") -> tuple[int, str]:
    """Exit status and all that a program says; what is `typed` comes after a moment, line by line."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, stderr=STDOUT
    )  # fmt: skip
    assert process.stdin is not None
    for line in typed.splitlines(keepends=True):
        await asyncio.sleep(0.15)
        process.stdin.write(line)
    if typed:
        await asyncio.sleep(0.15)
    said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    return process.returncode or 0, said.decode(errors="replace")


async def curl(mesh: Pair, own: str, *more: str) -> tuple[int, str]:
    assert CURL is not None
    key = ("--cert", own, "--insecure") if own else ("--insecure",)
    return await run(CURL, "-sS", "--max-time", "60", *key, *more, f"https://{HOST}:{mesh.port}/page")


async def s_client(mesh: Pair, *more: str, typed: bytes = b"") -> tuple[int, str]:
    assert OPENSSL is not None
    return await run(OPENSSL, "s_client", "-connect", f"{HOST}:{mesh.port}", *more, typed=typed)


@pytest.mark.skipif(CURL is None, reason="needs curl")
@live
async def test_curl(tmp_path: Path) -> None:
    async with pair() as mesh:
        own, root = files(tmp_path, mesh.authority.leaf("client"))
        assert await curl(mesh, own) == (0, "hello")
        assert await curl(mesh, own, "--cacert", root) == (0, "hello")
        status, said = await curl(mesh, "")
        assert status != 0, said
        assert mesh.server.server.refused == {refusal.NO_CERTIFICATE: 1}
        status, said = await curl(mesh, own, "--tls-max", "1.2")
        assert status != 0, said
        assert mesh.server.server.refused[refusal.VERSION] == 1
        assert [each.target for each in mesh.app.requests] == [b"/page"] * 2
        await mesh.still_serves()


@pytest.mark.skipif(CURL is None, reason="needs curl")
@live
async def test_curl_with_anothers_root(tmp_path: Path) -> None:
    async with pair() as mesh:
        own, _ = files(tmp_path, Authority("root 1").leaf("client"))
        status, said = await curl(mesh, own)
        assert status != 0, said
        await mesh.refused(refusal.UNTRUSTED_ROOT)
        status, said = await run(CURL or "", "-sS", "--max-time", "60", f"http://{HOST}:{mesh.port}/")
        assert status != 0, said
        assert mesh.server.server.refused[refusal.PLAINTEXT] == 1
        assert not mesh.app.requests
        await mesh.still_serves()


@pytest.mark.skipif(OPENSSL is None, reason="needs openssl")
@live
async def test_s_client(tmp_path: Path) -> None:
    """It sees TLS 1.3, our suite, and a chain that it can verify; new keys in the middle change nothing."""
    async with pair() as mesh:
        own, root = files(tmp_path, mesh.authority.leaf("client"))
        typed = b"GET / HTTP/1.1\nhost: cart\n\nK\nk\nGET / HTTP/1.1\nhost: cart\n\nQ\n"
        _, said = await s_client(
            mesh, "-cert", own, "-key", own, "-CAfile", root, "-crlf", "-servername", "nonsense.example",
            "-verify_return_error", typed=typed,
        )  # fmt: skip
        assert "TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256" in said, said
        assert "Verify return code: 0 (ok)" in said, said
        assert said.count("HTTP/1.1 200 OK") == 2, said
        assert said.count("KEYUPDATE") == 2, said
        assert not mesh.server.server.refused
        await mesh.still_serves()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["-tls1_2"], refusal.VERSION),
        (["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"], refusal.VERSION),
        (["-alpn", "h2"], refusal.PROTOCOL),
        (["-ciphersuites", "TLS_AES_256_GCM_SHA384"], refusal.VERSION),
    ],
    ids=["1.2", "1.1", "h2", "suite"],
)
@pytest.mark.skipif(OPENSSL is None, reason="needs openssl")
@live
async def test_s_client_that_wants_something_else(options: list[str], why: str, tmp_path: Path) -> None:
    async with pair() as mesh:
        own, _ = files(tmp_path, mesh.authority.leaf("client"))
        await s_client(mesh, "-cert", own, "-key", own, *options)
        await mesh.refused(why)
        assert not mesh.app.requests
        await mesh.still_serves()


@pytest.mark.skipif(OPENSSL is None, reason="needs openssl")
@live
async def test_s_client_that_remembers_a_session(tmp_path: Path) -> None:
    """It gets no further with that than without."""
    async with pair() as mesh:
        own, _ = files(tmp_path, mesh.authority.leaf("client"))
        session = str(tmp_path / "session")
        key = ["-cert", own, "-key", own]
        typed = b"GET / HTTP/1.1\nhost: cart\n\nQ\n"
        await s_client(mesh, *key, "-crlf", "-sess_out", session, typed=typed)
        again = ["-sess_in", session] if Path(session).exists() else []
        _, said = await s_client(mesh, *key, "-crlf", *again, typed=typed)
        assert "Reused" not in said, said
        assert "HTTP/1.1 200 OK" in said, said
        assert mesh.server.server.handshakes == 2
        await mesh.still_serves()
