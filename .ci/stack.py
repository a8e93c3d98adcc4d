"""template.yaml as a stack: SAM's own translator makes CloudFormation of it, and moto creates that.

moto has no CloudFormation for some of the types, though it has their services: what is missing is put between the two here.
"""

import contextlib
import json
import logging
import os
import pathlib
import tomllib
import warnings

# moto and boto3 look for these when they are loaded; nothing here goes to AWS.
REGION, ACCOUNT = "eu-central-1", "123456789012"
os.environ.update(
    AWS_ACCESS_KEY_ID="stand-in", AWS_SECRET_ACCESS_KEY="stand-in", AWS_DEFAULT_REGION=REGION, MOTO_ACCOUNT_ID=ACCOUNT
)
os.environ.pop("AWS_PROFILE", None)

import boto3  # noqa: E402
from moto.cloudformation import parsing  # noqa: E402
from moto.cloudformation.models import cloudformation_backends  # noqa: E402
from moto.core.common_models import CloudFormationModel  # noqa: E402
from moto.logs.models import LogGroup  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402
from samtranslator.translator.transform import transform  # noqa: E402
from samtranslator.yaml_helper import yaml_parse  # noqa: E402

ROOT = pathlib.Path(__file__).parent.parent
ENDPOINT = None  # of the one moto of this process
API_ENDPOINT = None  # where the HTTP API answers
# What has no counterpart in moto, and no part in a call.
NOT_CREATED = {
    "AWS::Logs::MetricFilter",
    "AWS::Logs::QueryDefinition",
    "AWS::SNS::TopicPolicy",
    "AWS::SNS::Subscription",
    "AWS::ApiGatewayV2::Stage",
    "AWS::CodeDeploy::Application",
    "AWS::CodeDeploy::DeploymentGroup",
}

logging.getLogger("samtranslator").setLevel(logging.ERROR)
logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
logging.getLogger("moto").setLevel(logging.ERROR)


moto_resolves = parsing.clean_json


def resolve(value, resources):
    """CloudFormation leaves an `AWS::NoValue` out of lists too; moto does only of objects."""
    resolved = moto_resolves(value, resources)
    return [it for it in resolved if it is not None] if isinstance(resolved, list) else resolved


parsing.clean_json = resolve
# CloudFormation's `Arn` of a log group ends like this, and covers its streams.
LogGroup.get_cfn_attribute = lambda self, name: {"Arn": f"{self.arn.removesuffix(':*')}:*"}[name]


def template():
    return yaml_parse((ROOT / "template.yaml").read_text())


def samconfig(environment):
    """What `sam deploy` in this environment gives the template: the name of the stack, and its parameters."""
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())[environment]
    overrides = config["deploy"]["parameters"]["parameter_overrides"]
    return config["global"]["parameters"]["stack_name"], dict(pair.split("=", 1) for pair in overrides)


class NoManagedPolicies:
    """The template names none, so none has to be looked up."""

    def load(self):
        return {}


def translate(parameters, bucket, key):
    """The CloudFormation template that SAM would deploy, with the packed function where `sam package` would put it."""
    source = template()
    unknown = parameters.keys() - source["Parameters"].keys()
    assert not unknown, f"template.yaml has no parameter {unknown}"
    source["Resources"]["Function"]["Properties"]["CodeUri"] = f"s3://{bucket}/{key}"
    return transform(source, dict(parameters), NoManagedPolicies())


class Stack:
    """The template's stack in moto."""

    def __init__(self, name, parameters, package):
        self.name = name
        bucket, key = f"{name}-artifacts", "callgate.zip"
        client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        client("s3").put_object(Bucket=bucket, Key=key, Body=package)
        self.template = translate(parameters, bucket, key)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            client("cloudformation").create_stack(
                StackName=name,
                TemplateBody=json.dumps(self.template),
                Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
                Capabilities=["CAPABILITY_IAM"],
            )
        left_out = {str(warning.message).split()[3] for warning in caught if "Tried to parse" in str(warning.message)}
        assert left_out <= NOT_CREATED, f"moto did not create {left_out - NOT_CREATED}"
        (stack,) = client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE", stack
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        self.resources = cloudformation_backends[ACCOUNT][REGION].get_stack(name).resource_map

    def exists(self, logical):
        condition = self.template["Resources"][logical].get("Condition")
        return condition is None or self.resources.lazy_condition_map[condition]

    def properties(self, kind):
        """The properties of all resources of this type that the parameters call for, with every function resolved."""
        return {
            logical: parsing.clean_json(resource.get("Properties", {}), self.resources)
            for logical, resource in self.template["Resources"].items()
            if resource["Type"] == kind and self.exists(logical)
        }

    def refused(self, parameters):
        """What the template's `Rules` would say to these parameters; moto does not ask them."""
        source = template()
        given = {name: str(it.get("Default", "")) for name, it in source["Parameters"].items()} | parameters
        said = []
        for rule in source["Rules"].values():
            if holds(rule.get("RuleCondition", True), given):
                said += [it["AssertDescription"] for it in rule["Assertions"] if not holds(it["Assert"], given)]
        return said


def holds(condition, parameters):
    """The functions that CloudFormation allows in rules."""
    if isinstance(condition, bool):
        return condition
    ((function, operands),) = condition.items()
    match function:
        case "Fn::Or":
            return any(holds(operand, parameters) for operand in operands)
        case "Fn::And":
            return all(holds(operand, parameters) for operand in operands)
        case "Fn::Not":
            return not holds(operands[0], parameters)
        case "Fn::Equals":
            left, right = (parameters[it["Ref"]] if isinstance(it, dict) else it for it in operands)
            return left == right
    raise NotImplementedError(function)


moto_compares = parsing.parse_condition


def compare(condition, resources, conditions):
    """CloudFormation compares parameters as text; moto has made numbers of some."""
    if "Fn::Equals" in condition:
        left, right = (resolve(it, resources) for it in condition["Fn::Equals"])
        return str(left) == str(right)
    return moto_compares(condition, resources, conditions)


parsing.parse_condition = compare


def client(service):
    return boto3.client(service, endpoint_url=ENDPOINT, region_name=REGION)


def numbers(properties):
    """Parameters are text in CloudFormation, which makes numbers of them where the service wants some."""
    whole = {"Period", "EvaluationPeriods", "DatapointsToAlarm"}
    return {
        key: int(value) if key in whole else float(value) if key == "Threshold" else value
        for key, value in properties.items()
    }


def create_alarm(properties):
    client("cloudwatch").put_metric_alarm(**numbers(properties))
    name = properties["AlarmName"]
    return name, {"Arn": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"}


def create_version(properties):
    made = client("lambda").publish_version(**properties)
    return made["FunctionArn"], {"Version": made["Version"]}


def create_alias(properties):
    return client("lambda").create_alias(**properties)["AliasArn"], {}


def create_api(properties):
    body = properties["Body"]
    # `import_api` would do both, but moto has only these.
    api = client("apigatewayv2").create_api(Name=body["info"]["title"], ProtocolType="HTTP")["ApiId"]
    client("apigatewayv2").reimport_api(ApiId=api, Body=json.dumps(body), FailOnWarnings=properties["FailOnWarnings"])
    return api, {"ApiEndpoint": API_ENDPOINT}


def define(kind, create):
    """Teaches moto's CloudFormation a type: its properties become a physical id, and the attributes of GetAtt."""

    class Resource(CloudFormationModel):
        # moto sorts models by the service in their module's name.
        __module__ = "moto.cloudformation.models"

        def __init__(self, name, attributes):
            self.physical_resource_id, self.attributes = name, attributes

        @staticmethod
        def cloudformation_name_type():
            return ""

        @staticmethod
        def cloudformation_type():
            return kind

        @classmethod
        def has_cfn_attr(cls, attr):
            return True

        def get_cfn_attribute(self, name):
            return self.attributes[name]

        @classmethod
        def create_from_cloudformation_json(cls, name, cloudformation_json, account_id, region_name, **_):
            return cls(*create(cloudformation_json["Properties"]))

    return Resource


# moto finds them among the subclasses of its model, as long as somebody holds them.
TYPES = [
    define("AWS::CloudWatch::Alarm", create_alarm),
    define("AWS::Lambda::Version", create_version),
    define("AWS::Lambda::Alias", create_alias),
    define("AWS::ApiGatewayV2::Api", create_api),
]


@contextlib.contextmanager
def server():
    """moto on a port of its own; its address."""
    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    global ENDPOINT
    ENDPOINT = "http://{}:{}".format(*moto.get_host_and_port())
    try:
        yield ENDPOINT
    finally:
        moto.stop()
