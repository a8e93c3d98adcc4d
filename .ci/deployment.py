"""Deploys the template and the packed function to stand-ins, sends calls through them, and runs the runbook's commands.

The function runs in the environment and with the credentials of its stack; moto checks each read against the role's policy.

    deployment.py PACKAGE CALLGATECTL
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import zipfile

import botocore.exceptions
from moto import settings
from moto.core.authorization import ActionAuthenticatorMixin
from moto.dynamodb.responses import DynamoHandler
from moto.iam.access_control import IAMRequest

import runbook
import stand_ins
from stand_ins import ACCOUNT, REGION, http_api
from hooks import SECRET, SOURCES, check_backend, check_function, event, send


def table_of(request):
    body = request.body
    name = next(iter(body["RequestItems"])) if "RequestItems" in body else body.get("TableName", "*")
    return f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}"


def enforce_policies():
    """Makes moto check requests with the credentials of a role against its policies, table by table."""
    check = ActionAuthenticatorMixin._authenticate_and_authorize_action

    def authorize(self, resource="*"):
        if "Credential=stand-in/" not in self.headers.get("Authorization", ""):
            check(self, IAMRequest, resource)

    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
    DynamoHandler._determine_resource = table_of
    ActionAuthenticatorMixin._authenticate_and_authorize_normal_action = authorize


def credentials_of(stack):
    assumed = stack.client("sts").assume_role(
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{stack.role}", RoleSessionName="function"
    )["Credentials"]
    return {
        "aws_access_key_id": assumed["AccessKeyId"],
        "aws_secret_access_key": assumed["SecretAccessKey"],
        "aws_session_token": assumed["SessionToken"],
    }


def check_policy_is_enforced(stack, credentials, table):
    """Fails if the function's own credentials may do more than read this table."""
    dynamodb, key = stack.client("dynamodb", **credentials), {"pk": {"S": "APP#defaultApp"}, "sk": {"S": "APP"}}
    dynamodb.batch_get_item(RequestItems={table: {"Keys": [key]}})
    for attempt in (
        lambda: dynamodb.put_item(TableName=table, Item=key),
        lambda: dynamodb.scan(TableName=table),
        lambda: dynamodb.batch_get_item(RequestItems={f"{table}-2": {"Keys": [key]}}),
    ):
        try:
            attempt()
        except botocore.exceptions.ClientError as error:
            assert "AccessDenied" in str(error), error
        else:
            sys.exit("the role may do more than read its table")


def check_table(stack, table, callgatectl):
    dynamodb, wanted = stack.client("dynamodb"), stack.table
    # moto's CloudFormation leaves these two out.
    dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification=wanted["TimeToLiveSpecification"])
    recovery = wanted["PointInTimeRecoverySpecification"]
    dynamodb.update_continuous_backups(TableName=table, PointInTimeRecoverySpecification=recovery)
    described = callgatectl("table", "describe", "--output", "json")
    assert json.loads(described.stdout)["differences"] == [], described


def check_calls(stack, run, tool, log):
    """Reads the log back from its group. moto ignores JSON filter patterns, so the tool has to filter the calls itself."""
    logs, group = stack.client("logs"), f"/aws/lambda/{stack.name}"
    logs.create_log_stream(logGroupName=group, logStreamName="sandbox")
    events = [{"timestamp": int(time.time() * 1000), "message": line} for line in log.splitlines()]
    logs.put_log_events(logGroupName=group, logStreamName="sandbox", logEvents=events)
    decisions = [it for it in stand_ins.check_log(log) if it["message"] == "decision" and it["decision"] == "deny"]
    calls = run(tool, "calls", "--function", stack.name, "--refused", "--output", "json")
    read = [json.loads(line) for line in calls.stdout.splitlines()]
    assert decisions and len(events) > len(decisions), log
    assert sorted(it["timestamp"] for it in read) == sorted(it["timestamp"] for it in decisions), calls
    missing = run(tool, "calls", "--log-group", "/aws/lambda/none")
    assert missing.returncode == 1 and "no such log group" in missing.stderr, missing


def deploy(package, bootstrap, tool, endpoint):
    port = stand_ins.free_port()
    changes = {"HookSecret": SECRET, "AllowedSources": SOURCES, "ReservedConcurrency": "10"}
    stack = stand_ins.Stack(endpoint, "prod", changes, package, f"http://127.0.0.1:{port}")
    table = stack.outputs["TableName"]
    environment = os.environ | {
        "PATH": f"{tool.parent}:{os.environ['PATH']}",
        "TABLE_NAME": table,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": endpoint,
        "WCS_HOOK_SECRET": SECRET,
    }

    def run(*command):
        return subprocess.run(command, env=environment, text=True, capture_output=True, timeout=60)

    def type_output(stack, name):
        typed = run("bash", "-c", stack.outputs[name])
        assert typed.returncode == 0, typed
        print(f"$ {stack.outputs[name]}\n{typed.stdout}", end="")

    check_table(stack, table, lambda *arguments: run(tool, *arguments))
    # The other environment of samconfig.toml, over the same table.
    backend = {"BackendUrl": "http://127.0.0.1:1/my/hooks", "HookPath": "/hooks", "GatedHooks": "OnCallEvent,call"}
    changes = {"ExistingTableName": table, "UnauthenticatedHooks": "anybody-may-ask-who-may-call-whom", "Tracing": "on"}
    other_port = stand_ins.free_port()
    other = stand_ins.Stack(endpoint, "default", changes | backend, package, f"http://127.0.0.1:{other_port}")
    variables = other.function["Environment"]["Variables"]
    assert variables["TABLE_NAME"] == table and "WCS_HOOK_SECRET" not in variables, variables
    credentials = credentials_of(stack)
    enforce_policies()
    check_policy_is_enforced(stack, credentials, table)
    with stand_ins.function(bootstrap, stack, credentials) as (invoke, log), http_api.gateway(port, stack.routes(), invoke):
        type_output(stack, "Next1Permit")
        type_output(stack, "Next2Rehearse")
        check_function(port)
        with stand_ins.function(bootstrap, other, credentials_of(other)) as (invoke, _):
            check_backend(other, other_port, invoke, lambda: type_output(other, "Next2Rehearse"))
        runbook.type_commands(stack, tool, environment)
        # As if the function had lost its right to read.
        stack.client("iam").delete_role_policy(RoleName=stack.role, PolicyName="read-permissions")
        call = event("document-permitted")
        assert send(port, "OnCallEvent", call)[0] == 503
        lines = stand_ins.check_log(log.read_text())
        check_calls(stack, run, tool, log.read_text())
    lines = [it for it in lines if it.get("call_id") == json.loads(call)["callId"]]
    size = len(json.dumps(lines[0], separators=(",", ":")))
    print(f"the call in WCS's documentation: {size} bytes of log")
    # The page about costs is calculated from this.
    assert 850 < size < 920


def main(package, tool):
    with zipfile.ZipFile(package) as archive, tempfile.TemporaryDirectory() as scratch, stand_ins.moto() as endpoint:
        assert archive.namelist() == ["bootstrap"], archive.namelist()
        bootstrap = pathlib.Path(archive.extract("bootstrap", scratch))
        bootstrap.chmod(0o755)
        deploy(pathlib.Path(package).read_bytes(), bootstrap, pathlib.Path(tool).resolve(), endpoint)


main(*sys.argv[1:])
