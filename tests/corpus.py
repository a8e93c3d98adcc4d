"""Sends the corpus, and then many calls at once, through `cargo lambda` and moto, a DynamoDB-compatible server
that the Rust tests do not use."""

import concurrent.futures
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

import boto3

import stand_ins

EVENTS, CALLS = stand_ins.ROOT / "events", 1000


def load_permissions(endpoint):
    client = boto3.client("dynamodb", endpoint_url=endpoint)
    keys = [("pk", "HASH"), ("sk", "RANGE")]
    client.create_table(
        TableName="callgate",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _ in keys],
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "inverted",
                "KeySchema": [{"AttributeName": "sk", "KeyType": "HASH"}, {"AttributeName": "pk", "KeyType": "RANGE"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )
    client.batch_write_item(RequestItems=json.loads((EVENTS / "permissions.json").read_text()))


def corpus():
    """The names of the events with what is expected of them, for each environment of the function."""
    events = {}
    for file in sorted(EVENTS.glob("*.expected.json")):
        expected = json.loads(file.read_text())
        environment = tuple(expected.get("environment", {}).items())
        events.setdefault(environment, {})[file.name.removesuffix(".expected.json")] = expected
    return events


def check(name, expected, port):
    command = ["cargo", "lambda", "invoke", "callgate", "--data-file", EVENTS / f"{name}.json", "--invoke-port", str(port)]
    done = subprocess.run(command, cwd=stand_ins.ROOT, text=True, capture_output=True, timeout=120)
    reply = json.loads(done.stdout) if done.returncode == 0 else {"error": done.stderr}
    is_same = (reply.get("statusCode"), reply.get("body")) == (expected["status"], expected["body"])
    if not is_same:
        print(f"{name}: {reply}")
    return is_same


def call(port, number):
    """Whether a call gets the answer that belongs to it."""
    caller, callee = (f"+7{number:010}", "+74951234567") if number % 2 else ("PPP009", "PPP006")
    event = {"appKey": "defaultApp", "callId": f"call-{number}", "caller": caller, "callee": callee}
    body, url = json.dumps(event).encode(), f"http://127.0.0.1:{port}/lambda-url/callgate/x/OnCallEvent"
    try:
        with urllib.request.urlopen(url, body, timeout=60) as response:
            return (response.status, response.read()) == (200, body) and number % 2 == 1
    except urllib.error.HTTPError as error:
        return (error.code, error.read()) == (403, b"") and number % 2 == 0


@contextlib.contextmanager
def watch(endpoint, changes, log):
    """Runs `cargo lambda watch`, and returns its port."""
    port = stand_ins.free_port()
    environment = os.environ | {"AWS_REGION": stand_ins.REGION, "AWS_ENDPOINT_URL": endpoint, "TABLE_NAME": "callgate"}
    environment |= {"STORE_DEADLINE_MS": "10000"} | changes  # moto is slow
    command = ["cargo", "lambda", "watch", "--ignore-changes", "--concurrency", "8", "--invoke-port", str(port)]
    process = subprocess.Popen(command, cwd=stand_ins.ROOT, env=environment, stdout=log)
    try:
        stand_ins.wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


def main():
    # A compilation takes longer than an invocation waits.
    subprocess.run(["cargo", "build", "--quiet", "--package", "callgate"], cwd=stand_ins.ROOT, check=True)
    same, right = [], 0
    with stand_ins.moto() as endpoint, tempfile.TemporaryFile("w+") as log:
        load_permissions(endpoint)
        for environment, events in corpus().items():
            with watch(endpoint, dict(environment), log) as port:
                same += [check(name, expected, port) for name, expected in events.items()]
                if not environment:
                    with concurrent.futures.ThreadPoolExecutor(32) as pool:
                        right = sum(pool.map(lambda number: call(port, number), range(CALLS)))
        log.seek(0)
        lines = stand_ins.check_log(log.read())
    messages = [line["message"] for line in lines]
    logged = {line["call_id"] for line in lines if str(line.get("call_id")).startswith("call-")}
    print(f"corpus: {sum(same)} of {len(same)} as expected; {len(messages)} log lines as in the schema")
    print(f"calls at once: {right} of {CALLS} as expected, {len(logged)} logged")
    # All three kinds of lines, or too little was checked.
    enough = messages.count("decision") >= 15 and messages.count("rejected") >= 8 and len(set(messages)) >= 3
    sys.exit(not (all(same) and len(same) >= 25 and enough and right == len(logged) == CALLS))


main()
