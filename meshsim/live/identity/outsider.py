"""A certificate for programs from outside, such as curl: the client's, with its key."""

from __future__ import annotations

import asyncio

from meshsim.errors import MeshsimError
from meshsim.live.identity.answers import AnswerError, read_answer
from meshsim.live.identity.client import AuthorityClient
from meshsim.live.identity.signing import key_pem, new_key, pem, request
from meshsim.live.loops import new_loop
from meshsim.live.referral import Referral
from meshsim.live.secret import hashed, new_token


def identity_files(enrolment: Referral, name: str) -> tuple[bytes, bytes, bytes]:
    """What is trusted, a certificate for `name`, and its key, each as PEM; a MeshsimError if there is none.

    The certificate is as those of time 0, and is not renewed.
    """

    async def ask() -> bytes:
        client = AuthorityClient(enrolment.address, enrolment.root.encode())
        return await client.certificate(enrolment.token, hashed(new_token()), 0, pem(request(key, name)))

    key = new_key()
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            answer = read_answer(runner.run(ask()), key, name)
    except AnswerError as error:
        raise MeshsimError(f"no certificate for programs from outside: {error}") from error
    return pem(*answer.roots.values()), pem(answer.certificate), key_pem(key)
