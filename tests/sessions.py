"""Plays a thousand sessions with a Java client against `callgatectl serve`, alone and in front of a backend that echoes.

    sessions.py CALLGATECTL
"""

import contextlib
import http.server
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

SECRET, SESSIONS, THREADS = "of-this-run-only", 1000, 16
JAVA = pathlib.Path(__file__).parent / "java/Sessions.java"
GATED = {name: {"restOnError": "FAIL", "restPolicy": "NOTIFY"} for name in ("OnCallEvent", "call")}


class Echo(http.server.BaseHTTPRequestHandler):
    """A backend of an operator: it answers as WCS's EchoApp, and adds the block of the README to `connect`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    hooks = set()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        hook = self.path.rpartition("/")[2]
        self.hooks.add(hook)
        if hook == "connect":
            connect = json.loads(body) | {"restClientConfig": GATED}
            body = json.dumps(connect, separators=(",", ":")).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 64  # as many clients as there are threads may connect at once


@contextlib.contextmanager
def backend():
    with Server(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/backend"
        server.shutdown()


@contextlib.contextmanager
def serve(tool, *options):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    # The default deadline of the store may be too short on a busy machine.
    environment = {"WCS_HOOK_SECRET": SECRET, "GATED_HOOKS": "OnCallEvent,call", "STORE_DEADLINE_MS": "10000"}
    command = [tool, "serve", "--listen", f"127.0.0.1:{port}", *options]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, f"serve ended with {process.returncode}"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/rest/my_api"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def play(url):
    started = time.monotonic()
    subprocess.run(["java", JAVA, url, SECRET, str(SESSIONS), str(THREADS)], check=True, timeout=1200)
    print(f"{time.monotonic() - started:.0f} s")


def main(tool):
    with serve(tool) as url:
        play(url)
    with backend() as behind, serve(tool, "--backend", behind) as url:
        play(url)
    # The gated hooks do not get through to the backend.
    assert "connect" in Echo.hooks and "CallStatusEvent" in Echo.hooks, Echo.hooks
    assert not Echo.hooks & GATED.keys(), Echo.hooks


main(os.path.abspath(sys.argv[1]))
