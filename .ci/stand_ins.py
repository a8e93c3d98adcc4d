"""Stand-ins for AWS on this machine: moto for its services, and AWS's own Runtime Interface Emulator for Lambda."""

import contextlib
import json
import logging
import os
import pathlib
import platform
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request

# moto and boto3 read these when they are imported. Nothing here goes to AWS.
REGION, ACCOUNT = "eu-central-1", "123456789012"
os.environ.update(
    AWS_ACCESS_KEY_ID="stand-in", AWS_SECRET_ACCESS_KEY="stand-in", AWS_DEFAULT_REGION=REGION, MOTO_ACCOUNT_ID=ACCOUNT
)
os.environ.pop("AWS_PROFILE", None)

ROOT = pathlib.Path(__file__).parent.parent
sys.path.append(str(ROOT / "tests/template"))

import boto3  # noqa: E402
import http_api  # noqa: E402
import jsonschema  # noqa: E402
import samcli  # noqa: E402
from moto.cloudformation import parsing  # noqa: E402
from moto.cloudformation.models import cloudformation_backends  # noqa: E402
from moto.logs.models import LogGroup  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402
from samtranslator.yaml_helper import yaml_parse  # noqa: E402
from translations import translate  # noqa: E402

for name in ("moto", "samtranslator", "werkzeug"):
    logging.getLogger(name).setLevel(logging.CRITICAL)
# What moto creates from a template. The Rust tests check the rest, such as alarms.
CREATED = {"AWS::DynamoDB::Table", "AWS::IAM::Role", "AWS::Lambda::Function", "AWS::Logs::LogGroup", "AWS::SNS::Topic"}
# CloudFormation's `Arn` of a log group covers its streams.
LogGroup.get_cfn_attribute = lambda self, name: {"Arn": f"{self.arn.removesuffix(':*')}:*"}[name]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(port, process):
    for _ in range(600):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, f"{process.args[0]} ended with {process.returncode}"
        time.sleep(0.1)
    raise TimeoutError(f"{process.args[0]} does not listen")


@contextlib.contextmanager
def moto():
    """Runs moto on a free port, and returns its address."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


def check_log(log):
    """Checks the function's lines in a log against the schema, and returns them."""
    schema = json.loads((ROOT / "docs/src/reference/log.schema.json").read_text())
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    for line in lines:
        jsonschema.Draft202012Validator(schema).validate(line)
    return lines


class Stack:
    """The template's stack: translated by SAM, created by moto without alarms, dashboard, gateway and versions."""

    def __init__(self, endpoint, environment, changes, package, api):
        """Takes the parameters from this environment of samconfig.toml, then the changes."""
        config = tomllib.loads((ROOT / "samconfig.toml").read_text())[environment]
        overrides = config["deploy"]["parameters"]["parameter_overrides"]
        parameters = dict(pair.split("=", 1) for pair in overrides) | changes
        self.name, self.endpoint = config["global"]["parameters"]["stack_name"], endpoint
        bucket = f"{self.name}-artifacts"
        self.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.client("s3").put_object(Bucket=bucket, Key="callgate.zip", Body=package)
        source = yaml_parse((ROOT / "template.yaml").read_text())
        assert parameters.keys() <= source["Parameters"].keys(), parameters.keys() - source["Parameters"].keys()
        source["Resources"]["Function"]["Properties"]["CodeUri"] = f"s3://{bucket}/callgate.zip"
        template = translate(source, parameters)
        whole = dict(template)
        self.routes = lambda **values: http_api.routes(whole, parameters | values)
        self.table = template["Resources"]["Table"]["Properties"]
        policies = template["Resources"]["FunctionRole"]["Properties"].pop("Policies")
        template["Resources"] = {name: it for name, it in template["Resources"].items() if it["Type"] in CREATED}
        del template["Outputs"]["DashboardUrl"]
        # moto compares numbers with texts; CloudFormation has texts only.
        for parameter in template["Parameters"].values():
            parameter["Type"] = "String"
        self.client("cloudformation").create_stack(
            StackName=self.name,
            TemplateBody=json.dumps(template).replace("${Gateway.ApiEndpoint}", api),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        (stack,) = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE", stack
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        resources = cloudformation_backends[ACCOUNT][REGION].get_stack(self.name).resource_map
        self.role = resources["FunctionRole"].physical_resource_id
        # moto takes neither an `AWS::NoValue` in a list nor a document as an object.
        for policy in filter(None, parsing.clean_json(policies, resources)):
            self.client("iam").put_role_policy(
                RoleName=self.role,
                PolicyName=policy["PolicyName"],
                PolicyDocument=json.dumps(policy["PolicyDocument"]),
            )
        self.function = self.client("lambda").get_function_configuration(FunctionName=self.name)

    def client(self, service, **credentials):
        return boto3.client(service, endpoint_url=self.endpoint, region_name=REGION, **credentials)


@contextlib.contextmanager
def function(bootstrap, stack, credentials):
    """Runs the function as Lambda would. Returns what invokes it, and its log."""
    architecture = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
    emulator = pathlib.Path(samcli.__file__).parent / f"local/rapid/aws-lambda-rie-{architecture}"
    port, runtime = free_port(), free_port()
    environment = {name: str(value) for name, value in stack.function["Environment"]["Variables"].items()} | {
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": credentials["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": credentials["aws_secret_access_key"],
        "AWS_SESSION_TOKEN": credentials["aws_session_token"],
        "AWS_LAMBDA_FUNCTION_NAME": stack.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(stack.function["MemorySize"]),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(stack.function["Timeout"]),
        "AWS_ENDPOINT_URL": stack.endpoint,  # the only one that is not as in AWS
    }
    command = [emulator, "--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
    command += ["--runtime-api-address", f"127.0.0.1:{runtime}", bootstrap]

    def invoke(event):
        url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
        with urllib.request.urlopen(url, json.dumps(event).encode(), timeout=30) as response:
            return json.load(response)

    with tempfile.NamedTemporaryFile("w+") as log:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_for(port, process)
            yield invoke, pathlib.Path(log.name)
        finally:
            process.terminate()
            process.wait(timeout=30)
