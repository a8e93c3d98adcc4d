"""Sends the corpus through `cargo lambda`, over moto: another DynamoDB-compatible server than that of the Rust tests."""

import json
import os
import subprocess
import sys
import tempfile

import boto3

import stand_ins

EVENTS = stand_ins.ROOT / "events"


def load_permissions(endpoint):
    client = boto3.client("dynamodb", endpoint_url=endpoint)
    keys = [("pk", "HASH"), ("sk", "RANGE")]
    client.create_table(
        TableName="callgate",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _ in keys],
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys],
    )
    client.batch_write_item(RequestItems=json.loads((EVENTS / "permissions.json").read_text()))


def check(expected_file, port):
    name = expected_file.name.removesuffix(".expected.json")
    expected = json.loads(expected_file.read_text())
    command = ["cargo", "lambda", "invoke", "callgate", "--data-file", EVENTS / f"{name}.json", "--invoke-port", str(port)]
    done = subprocess.run(command, cwd=stand_ins.ROOT, text=True, capture_output=True, timeout=120)
    reply = json.loads(done.stdout) if done.returncode == 0 else {"error": done.stderr}
    is_same = (reply.get("statusCode"), reply.get("body")) == (expected["status"], expected["body"])
    if not is_same:
        print(f"{name}: {reply}")
    return is_same


def main():
    # A compilation takes longer than an invocation waits.
    subprocess.run(["cargo", "build", "--quiet", "--package", "callgate"], cwd=stand_ins.ROOT, check=True)
    port = stand_ins.free_port()
    with stand_ins.moto() as endpoint, tempfile.TemporaryFile("w+") as log:
        load_permissions(endpoint)
        environment = os.environ | {"AWS_REGION": stand_ins.REGION, "AWS_ENDPOINT_URL": endpoint, "TABLE_NAME": "callgate"}
        watch = ["cargo", "lambda", "watch", "--ignore-changes", "--invoke-port", str(port)]
        process = subprocess.Popen(watch, cwd=stand_ins.ROOT, env=environment, stdout=log)
        try:
            stand_ins.wait_for(port, process)
            same = [check(it, port) for it in sorted(EVENTS.glob("*.expected.json"))]
        finally:
            process.terminate()
            process.wait(timeout=30)
        log.seek(0)
        messages = [line["message"] for line in stand_ins.check_log(log.read())]
    print(f"corpus: {sum(same)} of {len(same)} as expected; {len(messages)} log lines as in the schema")
    # All three kinds of lines, or too little was checked.
    enough = messages.count("decision") >= 15 and messages.count("rejected") >= 8 and len(set(messages)) >= 3
    sys.exit(not (all(same) and len(same) >= 25 and enough))


main()
