"""A program as a service that answers with its environment, or is late, deaf, dying, flooding or forking."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

LEAVE_A_DAEMON = (
    "import subprocess; nowhere = subprocess.DEVNULL;"
    "print(subprocess.Popen(['sleep', '60'], stdout=nowhere, start_new_session=True).pid)"
)


class Echo(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        said = {"env": dict(os.environ), "folder": str(Path.cwd()), "args": sys.argv[1:]}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


how = sys.argv[1] if len(sys.argv) > 1 else ""
if how == "deaf":
    print("waiting for the moon", flush=True)
    time.sleep(60.0)
if how == "dying":
    print("the database is not configured", file=sys.stderr)
    sys.exit(7)
if how == "flooding":
    for _ in range(20):
        print("x" * (1 << 20), flush=True)
    print("and so on", flush=True)
if how == "late":
    time.sleep(0.5)
if how == "forking":  # a daemon that leaves its group, and whose parent is gone
    found = subprocess.run(
        [sys.executable, "-c", LEAVE_A_DAEMON], stdout=subprocess.PIPE, text=True, check=True
    )
    os.environ["DAEMON"] = found.stdout.strip()
HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Echo).serve_forever()
