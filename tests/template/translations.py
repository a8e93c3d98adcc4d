"""Checks what CloudFormation gets: the template as SAM's translator leaves it, for every value of a parameter that matters.

    translations.py [TEMPLATE]

A parameter matters if a condition reads it, or if its value changes the translation. Each of its values is tried alone, each
pair of values of two such parameters together, and the two stacks of samconfig.toml. For each combination, the references
between the resources that are created must have no cycle and must not name a resource that is not created. cfn-lint checks
each translation once. Values of the parameters that have a pattern of their own are compared with it, too.
"""

import copy
import itertools
import json
import logging
import os
import pathlib
import re
import sys
import tomllib

# The translator and cfn-lint need the name of any region.
REGION = os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")

from cfnlint.api import lint  # noqa: E402
from cfnlint.config import ManualArgs  # noqa: E402
from samtranslator.translator.transform import transform  # noqa: E402
from samtranslator.yaml_helper import yaml_parse  # noqa: E402

logging.getLogger("samtranslator").setLevel(logging.CRITICAL)
ROOT = pathlib.Path(__file__).parent.parent.parent
# Matches no other value in the template.
OTHER = "another-value"
LINT = ManualArgs(
    regions=[REGION],
    ignore_checks=[
        "W7001",  # the mapping that only the transform reads is still there,
        "W8001",  # and so is a condition that is decided already
        "W3011",  # template.yaml has the reason, but the transform does not pass it on to versions and alias
    ],
)

# Of each parameter, values that CloudFormation must take, and values that it must refuse.
VALUES = {
    "BackendUrl": (
        ["", "https://backend.example.com", "http://203.0.113.10:8080", "https://b.example.com/rest/my_api", "https://b/%7Ea"],
        [
            "https://backend.example.com/",  # would become "//connect"
            "https://backend.example.com/hooks/",
            "https://backend.example.com/hooks//v1",
            "https://backend.example.com/hooks?key=1",
            "https://backend.example.com/hooks#top",
            "https://user:password@backend.example.com",
            "https://backend.example.com/{proxy}",
            "https://${stageVariables.backend}",
            "https://backend.example.com/ho oks",
            "https://",
            "https:///hooks",
            "https://backend.example.com:port",
            "ftp://backend.example.com",
            "backend.example.com",
            "/hooks",
        ],
    ),
    "HookPath": (
        ["/rest/my_api", "/hooks", "/a/b/c", "/v1.2/~wcs/my-api"],
        ["", "/", "rest/my_api", "/rest/my_api/", "/rest//my_api", "/rest/{proxy+}", "/rest/my api", "/a?b", "/a%2Fb", "/..", "/a/./b"],
    ),
}


def translate(source, values):
    parameters = {name: str(it["Default"]) for name, it in source["Parameters"].items()} | values
    # The template names no managed policy.
    no_policies = type("NoManagedPolicies", (), {"load": lambda self: {}})()
    return transform(copy.deepcopy(source), parameters, no_policies)


def walk(value, path=()):
    """Every value inside a value, with its path."""
    yield path, value
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield from walk(member, (*path, str(key)))


def references(value, is_true, path=()):
    """What a value refers to, with the path of the reference. Of `Fn::If`, only the branch that is taken."""
    if isinstance(value, list):
        for index, it in enumerate(value):
            yield from references(it, is_true, (*path, str(index)))
    if not isinstance(value, dict):
        return
    for key, it in value.items():
        if key == "Ref":
            yield it, path
        elif key == "Fn::GetAtt":
            yield (it if isinstance(it, str) else it[0]).split(".")[0], path
        elif key == "Fn::Sub":
            text, variables = it if isinstance(it, list) else (it, {})
            names = {name.split(".")[0] for name in re.findall(r"\$\{([^!}][^}]*)\}", text)} - variables.keys()
            yield from ((name, path) for name in sorted(names))
            yield from references(variables, is_true, path)
        elif key == "Fn::If":
            yield from references(it[1 if is_true(it[0]) else 2], is_true, path)
        else:
            yield from references(it, is_true, (*path, key))


class Stack:
    """The resources that a translation creates with these values."""

    def __init__(self, template, values):
        self.template = template
        self.values = {name: str(it["Default"]) for name, it in template["Parameters"].items()} | values
        resources = template["Resources"].items()
        self.resources = {name: it for name, it in resources if self.is_true(it.get("Condition"))}

    def is_true(self, condition):
        return condition is None or self.evaluate(self.template["Conditions"][condition])

    def evaluate(self, value):
        if not isinstance(value, dict):
            return str(value)
        ((function, argument),) = value.items()
        if function == "Ref":
            return self.values[argument]
        if function == "Condition":
            return self.is_true(argument)
        arguments = [self.evaluate(it) for it in argument]
        if function == "Fn::Equals":
            return arguments[0] == arguments[1]
        return {"Fn::And": all, "Fn::Or": any, "Fn::Not": lambda it: not it[0]}[function](arguments)

    def resolve(self, value):
        """A value with its functions called. A resource is its name, and `AWS::NoValue` is None."""
        if isinstance(value, list):
            return [self.resolve(it) for it in value]
        if not isinstance(value, dict):
            return value
        if "Ref" in value:
            return None if value["Ref"] == "AWS::NoValue" else self.values.get(value["Ref"], value["Ref"])
        if "Fn::GetAtt" in value:
            return ".".join(value["Fn::GetAtt"])
        if "Fn::Sub" in value:
            return re.sub(r"\$\{([^}]*)\}", lambda it: self.resolve({"Ref": it[1]}), value["Fn::Sub"])
        if "Fn::If" in value:
            condition, yes, no = value["Fn::If"]
            return self.resolve(yes if self.is_true(condition) else no)
        return {key: self.resolve(it) for key, it in value.items()}

    def decided(self, value, known):
        """A part of the template without the choices that these conditions make."""
        if isinstance(value, list):
            return [self.decided(it, known) for it in value]
        if not isinstance(value, dict):
            return value
        if "Fn::If" in value and value["Fn::If"][0] in known:
            condition, yes, no = value["Fn::If"]
            return self.decided(yes if self.is_true(condition) else no, known)
        return {key: self.decided(it, known) for key, it in value.items()}

    def translation(self, parameters):
        """The template, with all conditions decided that read these parameters only. cfn-lint would try both values of each."""
        known = {name for name in self.template["Conditions"] if self.read_by(name) <= parameters}
        kept = {}
        for name, resource in self.template["Resources"].items():
            if resource.get("Condition") not in known:
                kept[name] = self.decided(resource, known)
            elif name in self.resources:
                kept[name] = self.decided({key: it for key, it in resource.items() if key != "Condition"}, known)
        return self.template | {"Resources": kept}

    def read_by(self, condition):
        """The parameters that a condition reads, itself or through others."""
        parts = [it for _, it in walk(self.template["Conditions"][condition]) if isinstance(it, dict)]
        nested = [self.read_by(it["Condition"]) for it in parts if "Condition" in it]
        return {it["Ref"] for it in parts if "Ref" in it}.union(*nested)

    def problems(self):
        edges, problems = {}, []

        def check(name, value):
            found = edges.setdefault(name, {})
            dependencies = value.get("DependsOn", [])
            dependencies = [dependencies] if isinstance(dependencies, str) else dependencies
            explicit = ((it, ("DependsOn",)) for it in dependencies)
            for target, path in itertools.chain(references(value, self.is_true), explicit):
                if target in self.resources:
                    found.setdefault(target, ".".join(path))
                elif target not in self.values and not target.startswith("AWS::"):
                    problems.append(f"{name} refers to {target}, which is not created ({'.'.join(path)})")

        for name, resource in self.resources.items():
            check(name, resource)
        for name, output in self.template.get("Outputs", {}).items():
            if self.is_true(output.get("Condition")):
                check(f"the output {name}", output)
        return problems + [describe(cycle, edges) for cycle in cycles(edges)]


def cycles(edges):
    """A cycle for each resource that is the first of one, found from each resource in turn."""
    done = set()
    for start in edges:
        # Each step: a resource, and which of its targets are still to be followed.
        path, targets = [start], [iter(edges[start])]
        while path and path[-1] not in done:
            target = next(targets[-1], None)
            if target is None:
                done.add(path.pop())
                targets.pop()
            elif target in path:
                yield path[path.index(target) :]
            elif target not in done:
                path.append(target)
                targets.append(iter(edges[target]))


def describe(cycle, edges):
    steps = zip(cycle, [*cycle[1:], cycle[0]])
    return "circular dependency\n" + "\n".join(f"    {a} needs {b} ({edges[a][b]})" for a, b in steps)


def candidates(source):
    """The values to try of each parameter: the allowed ones, or the default, what conditions compare it with, and another."""
    compared = [it["Fn::Equals"] for _, it in walk(source["Conditions"]) if isinstance(it, dict) and "Fn::Equals" in it]
    values = {}
    for name, parameter in source["Parameters"].items():
        literals = [str(right) for left, right in compared if left == {"Ref": name}]
        free = [str(parameter["Default"]), *literals, OTHER]
        values[name] = list(dict.fromkeys(str(it) for it in parameter.get("AllowedValues", free)))
    return values


def combinations(source):
    """The combinations to check, and the parameters that the transform reads."""
    values, usual = candidates(source), translate(source, {})
    in_conditions = {it["Ref"] for _, it in walk(source["Conditions"]) if isinstance(it, dict) and "Ref" in it}
    by_transform = {
        name for name, tried in values.items() if any(translate(source, {name: it}) != usual for it in tried)
    }
    matter = sorted(in_conditions | by_transform)
    tried = [{}] + [{name: it} for name in matter for it in values[name]]
    for one, two in itertools.combinations(matter, 2):
        tried += [{one: a, two: b} for a, b in itertools.product(values[one], values[two])]
    for stack in tomllib.loads((ROOT / "samconfig.toml").read_text()).values():
        if isinstance(stack, dict):
            tried.append(dict(it.split("=", 1) for it in stack["deploy"]["parameters"]["parameter_overrides"]))
    return tried, by_transform


def check(source, tried, by_transform):
    """Returns each problem with the combinations that have it, and how many translations there are."""
    found, linted = {}, set()
    for values in tried:
        stack = Stack(translate(source, values), values)
        problems = stack.problems()
        text = json.dumps(stack.translation(by_transform), indent=1)
        if text not in linted:
            linted.add(text)
            problems += map(str, lint(text, config=LINT))
        for problem in problems:
            found.setdefault(problem, []).append(values)
    return found, len(linted)


def check_patterns(source):
    for name, (right, wrong) in VALUES.items():
        pattern = source["Parameters"][name]["AllowedPattern"]
        unexpected = [it for it in right + wrong if bool(re.fullmatch(pattern, it)) != (it in right)]
        assert not unexpected, f"{name}: {pattern} takes or refuses by mistake: {unexpected}"


def check_the_check(source):
    """A template with a known fault must not pass."""
    shifted, table = {"DeploymentShift": "Canary10Percent5Minutes"}, {"ExistingTableName": OTHER}
    for fault, values, path, value in (
        ("circular", shifted, ("DeploymentPreference", "Alarms"), [{"Ref": "InvokePermission"}]),
        ("refers to Table", table, ("Environment", "Variables", "TABLE_NAME"), {"Ref": "Table"}),
        ("E1010", {}, ("Environment", "Variables", "TABLE_NAME"), {"Fn::GetAtt": ["Table", "Nothing"]}),
    ):
        broken = copy.deepcopy(source)
        place = broken["Resources"]["Function"]["Properties"]
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        found, _ = check(broken, [values], {"DeploymentShift"})
        assert any(fault in it for it in found), f"a template with this fault passed: {fault}: {found}"


def main(path=ROOT / "template.yaml"):
    source = yaml_parse(pathlib.Path(path).read_text())
    source["Resources"]["Function"]["Properties"]["CodeUri"] = "s3://bucket/callgate.zip"
    check_the_check(source)
    check_patterns(source)
    tried, by_transform = combinations(source)
    found, translations = check(source, tried, by_transform)
    for problem, where in found.items():
        first = " ".join(f"{name}={it or 'empty'}" for name, it in where[0].items()) or "the defaults"
        print(f"{first}{f' and {len(where) - 1} more combinations' if where[1:] else ''}: {problem}")
    print(f"{len(tried)} combinations of parameters, {translations} translations: {len(found)} problems")
    sys.exit(bool(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
