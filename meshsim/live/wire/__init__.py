"""HTTP/1.1 on asyncio: connections that serve requests and connections that make them; no policy, no mesh.

Two readers, one meaning
------------------------
What smuggles a request past a proxy is a byte string that two parties read differently. So a head is read
twice: the first line and the headers that frame the message are checked here, by the narrowest reading of
RFC 9112; and the bytes are fed to llhttp (Node.js's parser, through httptools) in its strict mode. Only where
both agree on the framing is there a message. And nothing is passed on as it came: `request_head` and
`ServerConnection` write a new head from what was read.

llhttp is given exactly one head at a time, cut at its empty line, and then exactly what belongs to its body.
So it can't matter how the bytes were cut into segments, and what follows a message waits for its time.

`Handler` and `ServerStream` (serving) and `Reply` (requesting) say who is called when. Nothing here
is a task or a future: each call comes from `data_received` or a timer of the loop; it may be answered in it.

What is refused, and how: see `request.py` for requests and `client.py` for responses.

Sources:
    RFC 9110 and RFC 9112 (HTTP semantics, HTTP/1.1). Envoy 1.40 was asked where the RFCs leave a choice.
"""

from meshsim.live.wire.answering import NOBODY, ServerStream
from meshsim.live.wire.client import CLOSED, GARBAGE, ClientConnection, Reply
from meshsim.live.wire.heads import CHUNKED, UNTIL_CLOSE, RequestHead, ResponseHead
from meshsim.live.wire.limits import Limits
from meshsim.live.wire.server import Handler, ServerConnection
from meshsim.live.wire.write import request_head

__all__ = [
    "CHUNKED", "CLOSED", "GARBAGE", "NOBODY", "UNTIL_CLOSE", "ClientConnection", "Handler", "Limits", "Reply",
    "RequestHead", "ResponseHead", "ServerConnection", "ServerStream", "request_head",
]  # fmt: skip
