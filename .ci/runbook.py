"""Runs the commands of the book's operations pages and guides, in the order of the book, in one shell.

A service that moto does not have may answer with an error. Each command must exist, with its options and their values.
`sam` is not run: tests/it/template/operations.rs checks the parameters that these pages, the README and the book's page
"Getting started" give it.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from stand_ins import ACCOUNT, ROOT

PLACEHOLDERS = {
    "APPKEY": "defaultApp",
    "WHO-MAY-NOT WHOM": "PPP009 nobody",
    "WHO-MAY WHOM": "PPP009 PPP005",
    "[PARTY]": "PPP009",
    "PATTERN": "'PPP*'",
    "--deployment-id …": "--deployment-id d-1",
    "ACCOUNT": ACCOUNT,
    # moto takes a minute for thousands of items, and for hundreds on a busy machine.
    "15550104999": "15550100099",
    "15550102000 15550105999": "15550100040 15550100119",
}
# Runs a tool for three minutes at most, and records its exit code (124 if it took longer), its arguments and its error.
RECORDER = """#!/usr/bin/env bash
{{ error=$(timeout 180 "{tool}" "$@" 2>&1 >&3 3>&-); }} 3>&1
code=$?
echo "$error" >&2
printf '%s\\0' "$code" "{name} $*" "$error" >> "{record}"
exit "$code"
"""
# `aws logs tail` is of version 2, which no package index has; its options are from its reference.
TAIL = re.compile(r"aws logs tail( --region \S+| --follow| --since \w+| --filter-pattern [{?\"].*| /aws/\S+)+")
# How the AWS CLI reports a wrong command; a service's error is `An error occurred (…)`.
MISUSED = re.compile("usage:|unknown options|parameter validation failed|error parsing parameter|invalid choice", re.I)


def pages():
    book = ROOT / "docs/src"
    for link in re.findall(r"\]\((?:\./)?((?:operations|guides)/[^)]+)\)", (book / "SUMMARY.md").read_text()):
        yield (book / link).read_text()


def commands(text):
    """The blocks, and the commands with options in the text, as a reader would type them."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`((?:callgatectl|aws) [^`]+)`", prose)
    typed = [it for it in spans if " --" in it and not it.endswith("…")]
    # `serve` runs until it is stopped; tests/readme.py runs it.
    for command in [it for it in blocks if " serve" not in it] + typed:
        for name, value in PLACEHOLDERS.items():
            command = command.replace(name, value)
        yield command


def type_commands(stack, callgatectl, environment):
    stack.client("secretsmanager").create_secret(Name="callgate", SecretString=environment["WCS_HOOK_SECRET"])
    with tempfile.TemporaryDirectory() as scratch:
        tools, record = Path(scratch) / "bin", Path(scratch) / "record"
        tools.mkdir()
        for name, tool in {"aws": ROOT / ".ci/venv/aws/bin/aws", "callgatectl": callgatectl, "sam": "true"}.items():
            (tools / name).write_text(RECORDER.format(tool=tool, name=name, record=record))
            (tools / name).chmod(0o755)
        script = "\n".join(it for text in pages() for it in commands(text))
        typed = subprocess.run(
            ["bash", "-c", f"{script}\ntimeout 10 {stack.outputs['Next4Watch']}"],
            env=environment | {"PATH": f"{tools}:{environment['PATH']}", "AWS_MAX_ATTEMPTS": "1"},
            cwd=scratch,
            text=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=1800,
        )
        fields = record.read_text().split("\0")[:-1]
    ran = list(zip(fields[::3], fields[1::3], fields[2::3]))
    wrong = [
        f"{command}\n{error}"
        for code, command, error in ran
        if (code in ("2", "124") or MISUSED.search(error)) and not TAIL.fullmatch(command)
    ]
    wrong += [line for line in typed.stderr.splitlines() if re.match(r"bash: |date: |.*syntax error", line)]
    counts = {name: sum(command.startswith(name) for _, command, _ in ran) for name in ("aws", "callgatectl")}
    counts["succeeded"] = sum(code == "0" for code, *_ in ran)
    print(f"runbook: {counts}")
    if wrong or counts["aws"] < 36 or counts["callgatectl"] < 20 or counts["succeeded"] < 60:
        sys.exit("\n".join(wrong) or "commands are missing")
