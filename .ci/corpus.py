"""Sends the corpus through `cargo lambda`, over moto: a second DynamoDB-compatible server than that of the tests.

What the function logs meanwhile is held against docs/log.schema.json.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import boto3
import jsonschema

from ports import free_port, listens

ROOT = pathlib.Path(__file__).parent.parent
EVENTS = ROOT / "events"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "corpus", "AWS_SECRET_ACCESS_KEY": "corpus", "AWS_REGION": "eu-central-1"}


def load_permissions(endpoint):
    client = boto3.client(
        "dynamodb",
        endpoint_url=endpoint,
        region_name="eu-central-1",
        aws_access_key_id="corpus",
        aws_secret_access_key="corpus",
    )
    keys = [("pk", "HASH"), ("sk", "RANGE")]
    client.create_table(
        TableName="callgate",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _ in keys],
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys],
    )
    client.batch_write_item(RequestItems=json.loads((EVENTS / "permissions.json").read_text()))


def invoke(event, port):
    return subprocess.run(
        ["cargo", "lambda", "invoke", "callgate", "--data-file", event, "--invoke-port", str(port)],
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=120,
    )


def wait(attempt, what):
    for _ in range(1200):
        if attempt():
            return
        time.sleep(0.5)
    sys.exit(f"{what} did not start")


def check_log(log):
    validator = jsonschema.Draft202012Validator(json.loads((ROOT / "docs" / "log.schema.json").read_text()))
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    broken = 0
    for line in lines:
        for error in validator.iter_errors(line):
            broken += 1
            print(f"{line}: {error.message}")
    messages = [line["message"] for line in lines]
    print(f"log lines: {len(lines) - broken} passed, {broken} failed")
    # All three kinds, or this would check nothing.
    return broken > 0 or messages.count("decision") < 15 or messages.count("rejected") < 8 or len(set(messages)) < 3


def main():
    # Built first: a compilation takes longer than an invocation waits.
    subprocess.run(["cargo", "build", "--package", "callgate"], cwd=ROOT, check=True)
    store, lambdas = free_port(), free_port()
    endpoint = f"http://127.0.0.1:{store}"
    environment = os.environ | CREDENTIALS | {"AWS_ENDPOINT_URL_DYNAMODB": endpoint, "TABLE_NAME": "callgate"}
    processes = [subprocess.Popen(["moto_server", "-H", "127.0.0.1", "-p", str(store)], stderr=subprocess.DEVNULL)]
    log = tempfile.TemporaryFile("w+")
    try:
        wait(lambda: listens(store), "moto")
        load_permissions(endpoint)
        watch = ["cargo", "lambda", "watch", "--ignore-changes", "--invoke-port", str(lambdas)]
        processes.append(subprocess.Popen(watch, cwd=ROOT, env=environment, stdout=log))
        wait(lambda: listens(lambdas), "cargo lambda watch")
        passed, failed = 0, 0
        for expected_file in sorted(EVENTS.glob("*.expected.json")):
            name = expected_file.name.removesuffix(".expected.json")
            expected = json.loads(expected_file.read_text())
            done = invoke(EVENTS / f"{name}.json", lambdas)
            reply = json.loads(done.stdout) if done.returncode == 0 else {"error": done.stderr}
            if (reply.get("statusCode"), reply.get("body")) == (expected["status"], expected["body"]):
                passed += 1
            else:
                failed += 1
                print(f"{name}: {reply}")
        print(f"corpus: {passed} passed, {failed} failed")
        log.seek(0)
        return check_log(log.read()) or failed > 0 or passed < 25
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(timeout=30)


sys.exit(main())
