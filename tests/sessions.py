"""Plays a thousand sessions with a Java client against `callgatectl serve`, alone and in front of a backend that echoes.

    sessions.py CALLGATECTL
"""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import stand_ins  # first, because it finds the next two
import hooks
import http_api

SECRET, SESSIONS, THREADS, GATED = "of-this-run-only", 1000, 16, {"OnCallEvent", "call"}
JAVA = pathlib.Path(__file__).parent / "java/Sessions.java"


@contextlib.contextmanager
def serve(tool, *options):
    port = stand_ins.free_port()
    # The default deadline of the store may be too short on a busy machine.
    environment = {"WCS_HOOK_SECRET": SECRET, "GATED_HOOKS": ",".join(GATED), "STORE_DEADLINE_MS": "10000"}
    command = [tool, "serve", "--listen", f"127.0.0.1:{port}", *options]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        stand_ins.wait_for(port, process)
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
    passed_on = set()

    def answer(request, body):
        passed_on.add(request.path.strip("/"))
        return hooks.echo_app(request, body)

    with http_api.serve(0, answer) as port, serve(tool, "--backend", f"http://127.0.0.1:{port}") as url:
        play(url)
    assert {"connect", "CallStatusEvent"} <= passed_on and not passed_on & GATED, passed_on


main(os.path.abspath(sys.argv[1]))
