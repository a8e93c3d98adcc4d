"""Types the runbook: every command of docs/operations.md, in the order it stands there, in one shell.

Services that moto does not have answer with an error, and so may a command that asks for what is not there; but each
command must be one that the tool knows, with options and values it takes. `sam` alone is not run.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

import stack as stacks

# What the reader puts in.
PLACEHOLDERS = {
    "APPKEY": "defaultApp",
    "WHO-MAY-NOT WHOM": "PPP009 nobody",
    "WHO-MAY WHOM": "PPP009 PPP005",
    "[PARTY]": "PPP009",
    "PATTERN": "'PPP*'",
    "--deployment-id …": "--deployment-id d-1",
    "ACCOUNT": stacks.ACCOUNT,
}
# Runs a tool, and writes down how that ended.
RECORDER = """#!/usr/bin/env bash
error=$(mktemp)
"{tool}" "$@" 2> "$error"
code=$?
cat "$error" >&2
{{ printf '%s\\0' "$code" "{name} $*"; cat "$error"; printf '\\0'; }} >> "{record}"
rm "$error"
exit "$code"
"""
# How the AWS CLI says that it was called wrongly; what a service refuses is `An error occurred (…)`.
# `aws logs tail` is of version 2, which is in no package index; what it takes is in its reference.
TAIL = re.compile(r"aws logs tail( --region \S+| --follow| --since \w+| --filter-pattern \{.*\}| /aws/\S+)+")
MISUSED = re.compile("usage:|unknown options|parameter validation failed|error parsing parameter|invalid choice", re.I)


def commands(text):
    """The blocks, and what stands between backquotes in the text, as a reader would type it."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`((?:callgatectl|aws) [^`]+)`", prose)
    # `callgatectl allow …` and a bare `aws dynamodb get-item` name a command; they are not it.
    typed = [span for span in spans if not span.endswith("…") and " --" in span]
    for text in blocks + typed:
        for name, value in PLACEHOLDERS.items():
            text = text.replace(name, value)
        yield text


def check_sam(text):
    """`sam deploy` needs AWS, but the names it is given can be looked up."""
    known = stacks.template()["Parameters"]
    given = set(re.findall(r"\b([A-Z]\w+)=", " ".join(re.findall(r"--parameter-overrides ((?:[A-Z]\w+=\S+ ?)+)", text))))
    assert given and given <= known.keys(), f"unknown parameters {given - known.keys()}"
    for environment in re.findall(r"--config-env (\w+)", text):
        stacks.samconfig(environment)


def check_chapters(stack, text):
    for alarm in stack.properties("AWS::CloudWatch::Alarm").values():
        title = alarm["AlarmName"].removeprefix(f"{stack.name}-")
        chapter = re.search(rf"^### {title.replace('-', ' ')}\n+(.*?)^##", text, re.M | re.S | re.I)
        assert chapter, f"the runbook has no chapter about {title}"
        assert f"`STACK-{title}`" in chapter[1], f"the chapter about {title} does not name it"
        assert "```sh" in chapter[1], f"the chapter about {title} says nothing to type"


def check_costs(text):
    """Quantities times prices are what stands in the table, and its sums are sums, to the cent."""
    millions, chapter = (1, 10, 100), text[text.index("## What it costs") :]
    rows = [[cell.strip(" *") for cell in row.strip("|").split("|")] for row in re.findall(r"^\|.*\|$", chapter, re.M)]
    assert [cell.split()[0] for cell in rows[0][3:]] == [str(it) for it in millions], rows[0]
    total, checked = [0.0, 0.0, 0.0], 0
    for name, quantity, price, *cells in rows[2:]:
        if quantity:
            amount, unit = re.fullmatch(r"([\d.]+) a (million|GB|GB-second)", price).groups()
            # A million calls of 1 KB are a GB.
            scale = 1_000_000 if unit == "GB-second" else 1
            expected = [float(quantity.split()[0]) * float(amount) * scale * it for it in millions]
        elif price:
            count, amount = price.split(" × ")
            expected = [int(count) * float(amount)] * 3
        else:
            expected = total
        for wanted, cell in zip(expected, cells, strict=True):
            assert abs(wanted - float(cell)) <= 0.00501, f"{name}: {wanted}, not {cell}"
        checked += 1
        if quantity or price:
            total = [sum(both) for both in zip(total, expected)]
        elif name == "all":
            break
    print(f"costs: {checked} lines add up")
    assert checked == 13, checked


def check(stack, environment):
    text = (stacks.ROOT / "docs/operations.md").read_text()
    check_chapters(stack, text)
    check_sam(text)
    check_costs(text)
    stacks.client("secretsmanager").create_secret(Name="callgate", SecretString=environment["WCS_HOOK_SECRET"])
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        tools, record = scratch / "bin", scratch / "record"
        tools.mkdir()
        record.touch()
        real = {"aws": stacks.ROOT / ".ci/venv/aws/bin/aws", "callgatectl": environment["CALLGATECTL"]}
        for name, tool in real.items():
            (tools / name).write_text(RECORDER.format(tool=tool, name=name, record=record))
            (tools / name).chmod(0o755)
        (tools / "sam").write_text("#!/bin/sh\n")
        (tools / "sam").chmod(0o755)
        follow = stack.outputs["Next4Watch"].replace("aws ", "timeout 10 aws ", 1)
        script = "\n".join([*commands(text), follow])
        typed = subprocess.run(
            ["bash", "-c", script],
            env=environment | {"PATH": f"{tools}:{environment['PATH']}", "AWS_MAX_ATTEMPTS": "1"},
            cwd=scratch,
            text=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=300,
        )
        fields = record.read_text().split("\0")[:-1]
    ran = list(zip(fields[::3], fields[1::3], fields[2::3]))
    if os.environ.get("RUNBOOK_SHOW"):
        for code, command, error in ran:
            print(code, command.replace("\n", " "), "|", " ".join(error.split())[:200])
        print(typed.stdout)
    wrong = [
        f"{command}\n{error}"
        for code, command, error in ran
        if (code == "2" or MISUSED.search(error)) and not TAIL.fullmatch(command)
    ]
    wrong += [line for line in typed.stderr.splitlines() if re.match(r"bash: |date: |.*syntax error", line)]
    counted = {name: sum(command.startswith(name) for _, command, _ in ran) for name in real}
    print(f"runbook: {counted['aws']} of the AWS CLI, {counted['callgatectl']} of callgatectl typed")
    if wrong or counted["aws"] < 40 or counted["callgatectl"] < 20:
        sys.exit("\n".join(wrong) or "commands were not found")
