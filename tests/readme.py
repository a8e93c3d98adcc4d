"""Runs the README's first command, then its curl commands, and compares their output with that printed below them."""

import pathlib
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

README = pathlib.Path(__file__).parent.parent.joinpath("README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
HOOK = "http://127.0.0.1:8080/"


def wait_for_hook(server):
    for _ in range(1200):
        try:
            urllib.request.urlopen(HOOK)
        except urllib.error.HTTPError:
            return
        except OSError:
            assert server.poll() is None, f"the first command ended with {server.returncode}"
            time.sleep(1)
    sys.exit("the first command does not listen")


def comparable(output):
    """Removes what differs between runs: the date, and curl's line ends."""
    return re.sub(r"^date: .*\n", "", output.replace("\r\n", "\n"), flags=re.MULTILINE).strip()


def main():
    serve = next(text for kind, text in BLOCKS if kind == "sh" and " serve" in text)
    # `exec`, so that the program gets the signal and not a shell.
    server = subprocess.Popen(f"exec {serve}", shell=True)
    results = []
    try:
        wait_for_hook(server)
        for (kind, command), (below, expected) in zip(BLOCKS, BLOCKS[1:]):
            if kind == "sh" and below in ("http", "text") and HOOK in command:
                output = subprocess.run(command, shell=True, text=True, capture_output=True).stdout
                results.append(comparable(output) == expected.strip())
                if not results[-1]:
                    print(f"$ {command}\nexpected:\n{expected}\nprinted:\n{output}\n")
    finally:
        server.send_signal(signal.SIGINT)
        code = server.wait(timeout=30)
    print(f"README: {sum(results)} of {len(results)} commands as printed; the first command ended with {code}")
    sys.exit(not (all(results) and len(results) >= 2 and code == 0))


main()
