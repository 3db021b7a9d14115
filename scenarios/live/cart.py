"""A cart in plain Python that has never heard of a mesh.

It listens on PORT and asks the prices by name: Python's own HTTP client finds HTTP_PROXY, which is the
sidecar. The tracing headers are passed on, as applications in any mesh must.
"""

import os
import platform
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TRACING = ("x-request-id", "traceparent", "tracestate")


class Cart(BaseHTTPRequestHandler):
    """Answers with what it has, and what that costs."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet; or Nagle's algorithm holds the body back for 40 ms

    def do_GET(self) -> None:
        """Any page is the cart."""
        passed_on = {name: self.headers[name] for name in TRACING if name in self.headers}
        try:
            with urllib.request.urlopen(urllib.request.Request("http://prices/", headers=passed_on)) as found:
                status, price = 200, found.read().decode().strip()
        except urllib.error.URLError as error:
            status, price = 502, str(error)
        time.sleep(0.002)
        body = f"python {platform.python_version()}, one lamp, price from {price}\n".encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """The sidecars log."""


ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Cart).serve_forever()
