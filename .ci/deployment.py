"""Deploys the template to stand-ins, and sends calls through what came of it.

SAM's translator makes CloudFormation of template.yaml and moto creates it. The zip that is deployed runs under AWS's own Runtime
Interface Emulator, in the environment that the stack gives the function, with credentials of the stack's role, which moto
checks against the role's policy; an HTTP front stands for the HTTP API. What the function logs is what the dashboard, the
alarms and the queries are held against, and the runbook's commands are typed.

    deployment.py PACKAGE CALLGATECTL
"""

import hashlib
import hmac
import http.client
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

import boto3
import botocore.exceptions
from moto import settings
from moto.core.authorization import ActionAuthenticatorMixin
from moto.dynamodb.responses import DynamoHandler
from moto.iam.access_control import IAMPolicy, IAMRequest, PermissionResult

import front
import names
import runbook
import stack as stacks
from ports import free_port

ROOT = stacks.ROOT
SECRET = "of-this-run-only"
# This is where WCS is; calls from anywhere else on the loopback are from somewhere else.
SOURCES, ELSEWHERE = "127.0.0.0/16", "127.9.0.1"


def table_of(request):
    body = request.body
    named = next(iter(body["RequestItems"])) if "RequestItems" in body else body.get("TableName", "*")
    return f"arn:aws:dynamodb:{stacks.REGION}:{stacks.ACCOUNT}:table/{named}"


def enforce_policies():
    """moto can hold requests against signatures and policies: here those of whoever assumed a role, table by table."""
    check = ActionAuthenticatorMixin._authenticate_and_authorize_action

    def authorize(self, resource="*"):
        if "Credential=stand-in/" not in self.headers.get("Authorization", ""):
            check(self, IAMRequest, resource)

    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
    DynamoHandler._determine_resource = table_of
    ActionAuthenticatorMixin._authenticate_and_authorize_normal_action = authorize


def every_action():
    """What one could do to tables, logs and what surrounds a function, by AWS's own description of these services."""
    for service in ("dynamodb", "logs", "s3", "iam", "lambda", "secretsmanager", "sts", "kms", "sns", "xray"):
        for operation in boto3.client(service, region_name=stacks.REGION).meta.service_model.operation_names:
            yield f"{service}:{operation}"


def check_role(stack, table, traces=False):
    """Reading from this table and writing to this log, and nothing else, is what the function may do."""
    iam, role = stacks.client("iam"), stack.resources["FunctionRole"].physical_resource_id
    log = f"/aws/lambda/{stack.name}"
    assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []
    policies = []
    for policy in stack.properties("AWS::IAM::Role")["FunctionRole"]["Policies"]:
        document = json.dumps(policy["PolicyDocument"])
        # moto's CloudFormation keeps something else than JSON.
        iam.put_role_policy(RoleName=role, PolicyName=policy["PolicyName"], PolicyDocument=document)
        policies.append(IAMPolicy(document))

    def may(action, resource):
        return any(it.is_action_permitted(action, resource) == PermissionResult.PERMITTED for it in policies)

    table = f"arn:aws:dynamodb:{stacks.REGION}:{stacks.ACCOUNT}:table/{table}"
    stream = f"arn:aws:logs:{stacks.REGION}:{stacks.ACCOUNT}:log-group:{log}:log-stream:any"
    actions = set(every_action())
    for resource, expected in (
        (table, {"dynamodb:BatchGetItem"}),
        (f"{table}-2", set()),
        (f"{table}/index/any", set()),
        (stream, {"logs:CreateLogStream", "logs:PutLogEvents"}),
        (stream.replace(log, f"{log}-2"), set()),
        ("*", set()),
    ):
        allowed = {action for action in actions if may(action, resource)}
        # X-Ray knows no narrower resource than all.
        expected = expected | ({"xray:PutTraceSegments", "xray:PutTelemetryRecords"} if traces else set())
        assert allowed == expected, f"{resource}: {allowed} instead of {expected}"
    print(f"role of {stack.name}: 3 of {len(actions)} actions, each on its own resource{', and traces' if traces else ''}")


def check_environment(stack):
    """A variable that the function does not know would be left alone, and its parameter change nothing."""
    (function,) = (it for it in stack.template["Resources"].values() if it["Type"] == "AWS::Lambda::Function")
    known = set(re.findall(r'"([A-Z][A-Z_]+)"', (ROOT / "src/config.rs").read_text()))
    variables = function["Properties"]["Environment"]["Variables"].keys()
    assert variables <= known, f"the function knows no {variables - known}"
    in_groups = [
        name
        for group in stack.template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
        for name in group["Parameters"]
    ]
    assert sorted(in_groups) == sorted(stack.template["Parameters"]), "each parameter stands in one group of the console"
    assert all(it.get("Description") for it in stack.template["Parameters"].values())


def check_table(stack, callgatectl):
    (wanted,) = stack.properties("AWS::DynamoDB::Table").values()
    dynamodb, name = stacks.client("dynamodb"), stack.outputs["TableName"]
    table = dynamodb.describe_table(TableName=name)["Table"]
    assert table["KeySchema"] == wanted["KeySchema"] and table["AttributeDefinitions"] == wanted["AttributeDefinitions"]
    assert table["BillingModeSummary"]["BillingMode"] == wanted["BillingMode"] == "PAY_PER_REQUEST"
    assert table["DeletionProtectionEnabled"] is wanted["DeletionProtectionEnabled"] is True
    # These two moto's CloudFormation leaves out.
    dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=wanted["TimeToLiveSpecification"])
    dynamodb.update_continuous_backups(
        TableName=name, PointInTimeRecoverySpecification=wanted["PointInTimeRecoverySpecification"]
    )
    # What the tool makes, and expects of a table that somebody else made.
    described = callgatectl("table", "describe", "--output", "json")
    assert described.returncode == 0 and json.loads(described.stdout)["differences"] == [], described
    print("table: as the template and callgatectl want it")


class Wcs:
    """Sends hooks as WCS does: signed with the server's key."""

    def __init__(self, port):
        self.port = port

    def send(self, method, body, secret=SECRET, source="127.0.0.1"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60, source_address=(source, 0))
        headers = {"Content-Type": "application/json;charset=UTF-8", "User-Agent": "Java/1.8.0_111"}
        if secret:
            headers["Authorization"] = "WCS " + hmac.new(secret.encode(), body, hashlib.md5).hexdigest()
        connection.request("POST", f"/rest/my_api/{method}", body, headers)
        response = connection.getresponse()
        return response.status, response.read(), response.headers

    def call(self, caller, callee, **how):
        body = json.dumps({"appKey": "defaultApp", "caller": caller, "callee": callee, "callId": f"{caller}-{callee}"})
        return self.send("OnCallEvent", body.encode(), **how)[0]


def send_calls(wcs, stack, callgatectl):
    """The document's own call, a refused one and `connect`; then every reason that wakes somebody up."""
    document = json.loads((ROOT / "events/document-permitted.json").read_text())["body"].encode()
    status, body, headers = wcs.send("OnCallEvent", document)
    assert (status, body, headers["content-type"]) == (200, document, "application/json"), (status, body)
    status, body, headers = wcs.send("OnCallEvent", document.replace(b"PPP005", b"PPP006"))
    assert (status, body, headers["content-length"]) == (403, b"", "0"), (status, body)
    connect = json.loads((ROOT / "events/connect.json").read_text())["body"].encode()
    status, body, _ = wcs.send("connect", connect)
    answered = json.loads(body)
    assert status == 200 and answered.pop("restClientConfig")["OnCallEvent"]["restOnError"] == "FAIL", body
    assert answered == json.loads(connect)
    assert wcs.send("OnCallEvent", document, secret=None)[0] == 403
    assert wcs.call("PPP009", "PPP005", secret="of somebody else") == 403
    assert wcs.call("PPP009", "PPP005", source=ELSEWHERE) == 403
    assert wcs.send("OnCallEvent", b"{")[0] == 400
    assert wcs.send("unheardOf", b"{}")[0] == 404
    assert callgatectl("suspend", "--app", "defaultApp", "PPP005").returncode == 0
    assert wcs.call("PPP009", "PPP005") == 403
    assert callgatectl("resume", "--app", "defaultApp", "PPP005").returncode == 0
    broken = {"pk": "PARTY#defaultApp#PPP005", "sk": "CALLER#PPP009", "effect": "alow"}
    dynamodb, table = stacks.client("dynamodb"), stack.outputs["TableName"]
    dynamodb.put_item(TableName=table, Item={key: {"S": value} for key, value in broken.items()})
    assert wcs.call("PPP009", "PPP005") == 403
    assert callgatectl("allow", "--app", "defaultApp", "--from", "PPP009", "--to", "PPP005").returncode == 0
    assert wcs.call("PPP009", "PPP005") == 200
    print("calls: the document's own, a refused one, connect, and whoever is not WCS")


def check_other_choices(package):
    """The other stack of samconfig.toml, with whatever the first one leaves at its default chosen differently."""
    name, parameters = stacks.samconfig("default")
    parameters |= {
        "ExistingTableName": "of-another-stack",
        "UnauthenticatedHooks": "anybody-may-ask-who-may-call-whom",
        "Tracing": "on",
        "DeploymentShift": "AtOnce",
        "AlarmEmail": "on.call@example.org",
        "CountryCode": "7",
        "TrunkPrefix": "8",
    }
    stack = stacks.Stack(name, parameters, package)
    assert stack.refused(parameters) == []
    assert stack.properties("AWS::DynamoDB::Table") == {} and stack.outputs["TableName"] == "of-another-stack"
    assert "NoDecisionsAlarm" not in stack.properties("AWS::CloudWatch::Alarm")
    assert len(names.widgets(stack)) == 10
    function = stacks.client("lambda").get_function_configuration(FunctionName=name, Qualifier="live")
    variables = function["Environment"]["Variables"]
    assert (variables["TABLE_NAME"], variables["COUNTRY_CODE"]) == ("of-another-stack", "7"), variables
    assert "WCS_HOOK_SECRET" not in variables and "ALLOWED_SOURCES" not in variables, variables
    check_role(stack, "of-another-stack", traces=True)


def check_denied(credentials, table):
    """With the function's own credentials: the policy is in force, or the calls above would show nothing."""
    stolen = boto3.client("dynamodb", endpoint_url=stacks.ENDPOINT, region_name=stacks.REGION, **credentials)
    key = {"pk": {"S": "APP#defaultApp"}, "sk": {"S": "APP"}}
    for attempt in (
        lambda: stolen.put_item(TableName=table, Item=key),
        lambda: stolen.scan(TableName=table),
        lambda: stolen.batch_get_item(RequestItems={f"{table}-2": {"Keys": [key]}}),
    ):
        try:
            attempt()
        except botocore.exceptions.ClientError as error:
            assert "AccessDenied" in str(error), error
        else:
            sys.exit("the role may do more than it should")
    stolen.batch_get_item(RequestItems={table: {"Keys": [key]}})


def main(package, tool):
    package = pathlib.Path(package).read_bytes()
    with zipfile.ZipFile(io.BytesIO(package)) as archive, tempfile.TemporaryDirectory() as scratch:
        assert archive.namelist() == ["bootstrap"], archive.namelist()
        bootstrap = pathlib.Path(archive.extract("bootstrap", scratch))
        bootstrap.chmod(0o755)
        with stacks.server() as endpoint:
            deploy(package, bootstrap, pathlib.Path(tool).resolve(), endpoint)


def deploy(package, bootstrap, tool, endpoint):
    name, parameters = stacks.samconfig("prod")
    parameters |= {"HookSecret": SECRET, "AllowedSources": SOURCES, "ReservedConcurrency": "10"}
    port = free_port()
    stacks.API_ENDPOINT = f"http://127.0.0.1:{port}"
    stack = stacks.Stack(name, parameters, package)
    assert stack.refused(parameters) == [] and stack.refused({}) != [], "a stack without a secret must not deploy"
    print(f"stack: {len(stack.template['Resources'])} resources, CREATE_COMPLETE in moto")
    table = stack.outputs["TableName"]
    environment = os.environ | {
        "PATH": f"{tool.parent}:{os.environ['PATH']}",
        "TABLE_NAME": table,
        "AWS_REGION": stacks.REGION,
        "AWS_ENDPOINT_URL": endpoint,
        "WCS_HOOK_SECRET": SECRET,
    }

    def callgatectl(*arguments):
        return subprocess.run([tool, *arguments], env=environment, text=True, capture_output=True, timeout=60)

    check_table(stack, callgatectl)
    role = stack.resources["FunctionRole"].physical_resource_id
    check_role(stack, table)
    check_other_choices(package)
    assumed = stacks.client("sts").assume_role(
        RoleArn=f"arn:aws:iam::{stacks.ACCOUNT}:role/{role}", RoleSessionName="function"
    )["Credentials"]
    enforce_policies()
    credentials = {
        "aws_access_key_id": assumed["AccessKeyId"],
        "aws_secret_access_key": assumed["SecretAccessKey"],
        "aws_session_token": assumed["SessionToken"],
    }
    check_denied(credentials, table)
    check_environment(stack)
    function = stacks.client("lambda").get_function_configuration(FunctionName=name, Qualifier="live")
    sandbox, wcs = front.Function(bootstrap, function, credentials, endpoint), Wcs(port)
    with sandbox, front.Gateway(stack, sandbox, port) as gateway:
        for output in ("Next1Permit", "Next2Rehearse"):
            typed = ["bash", "-c", stack.outputs[output]]
            done = subprocess.run(typed, env=environment, text=True, capture_output=True, timeout=60)
            assert done.returncode == 0, (typed, done)
            print(f"$ {typed[-1]}\n{done.stdout}", end="")
        send_calls(wcs, stack, callgatectl)
        runbook.check(stack, environment | {"CALLGATECTL": str(tool)})
        # As if somebody had taken the right away.
        stacks.client("iam").delete_role_policy(RoleName=role, PolicyName="read-permissions")
        assert wcs.call("PPP009", "PPP005") == 503
        lines = sandbox.lines()
    names.check(stack, lines, gateway.access_log)
    document = json.loads(json.loads((ROOT / "events/document-permitted.json").read_text())["body"])
    sizes = [len(it["@message"]) + 1 for it in lines if it.get("call_id") == document["callId"]]
    print(f"the document's own call: {sizes[0]} bytes of log")
    # What the runbook says it costs is reckoned from this.
    assert 800 < sizes[0] < 880, sizes


main(*sys.argv[1:])
