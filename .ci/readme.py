"""Runs the README's commands as they are printed, and compares the answers with those printed below them."""

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


def shell(command):
    return subprocess.run(command, shell=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def wait_for_hook(server):
    for _ in range(1200):
        try:
            urllib.request.urlopen(HOOK)
        except urllib.error.HTTPError:
            return
        except OSError:
            if server.poll() is not None:
                sys.exit(f"the README's first command ended with {server.returncode}")
            time.sleep(1)
    sys.exit("the README's first command never listened")


def answer(printed):
    """Without what differs from run to run: the date, and curl's line ends."""
    lines = printed.replace("\r\n", "\n").strip().split("\n")
    return "\n".join(line for line in lines if not line.startswith("date: ")).strip()


def main():
    serve = next(text for kind, text in BLOCKS if kind == "sh" and " serve" in text)
    checked = failed = 0
    # `exec`, so that the signal reaches it and not a shell.
    server = subprocess.Popen(f"exec {serve}", shell=True)
    try:
        wait_for_hook(server)
        for (kind, command), (below, expected) in zip(BLOCKS, BLOCKS[1:]):
            if kind != "sh" or below not in ("http", "text") or HOOK not in command:
                continue
            printed = answer(shell(command).stdout)
            checked += 1
            if printed != expected.strip():
                failed += 1
                print(f"$ {command}\nexpected:\n{expected}\nprinted:\n{printed}\n")
    finally:
        server.send_signal(signal.SIGINT)
        code = server.wait(timeout=30)
    if checked < 3 or code != 0:
        sys.exit(f"{checked} commands checked, and the first command ended with {code}")
    print(f"README: {checked - failed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
