"""Holds the names that the dashboard, the alarms, the saved queries and the runbook use against what was really logged.

A metric, a dimension or a field that is misspelt is no error in AWS: the chart stays empty and the alarm silent.
"""

import json
import re
import sys

import insights
import jsonschema
import stack as stacks

SEARCH = re.compile(r"SEARCH\('\{(?P<schema>[^}]+)\} (?P<terms>[^']*)'")
TERM = re.compile(r'(\w+)="([^"]*)"')


def published(lines):
    """What CloudWatch makes of the lines: each namespace, metric and dimensions, with the values they were seen with."""
    metrics = set()
    for line in lines:
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
            for metric in directive["Metrics"]:
                assert metric["Name"] in line, f"{line} has no {metric['Name']}"
                for dimensions in directive["Dimensions"]:
                    values = frozenset((name, line[name]) for name in dimensions)
                    metrics.add((directive["Namespace"], metric["Name"], values))
    return metrics


def from_filters(stack, access_log):
    """The metrics that filters take out of the access log, which has to have the fields they look at."""
    for logical, it in stack.properties("AWS::Logs::MetricFilter").items():
        for field in re.findall(r"\$\.(\w+)", it["FilterPattern"]):
            assert all(field in line for line in access_log), f"{logical}: the access log has no `{field}`"
        for made in it["MetricTransformations"]:
            dimensions = made.get("Dimensions", [])
            for dimension in dimensions:
                field = dimension["Value"].removeprefix("$.")
                assert all(field in line for line in access_log), f"{logical}: the access log has no `{field}`"
            yield made["MetricNamespace"], made["MetricName"], frozenset(it["Key"] for it in dimensions)


def metrics_of_alarms(stack):
    for logical, alarm in stack.properties("AWS::CloudWatch::Alarm").items():
        single = [alarm] if "MetricName" in alarm else []
        for it in single + [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query]:
            dimensions = {dimension["Name"]: dimension["Value"] for dimension in it["Dimensions"]}
            yield logical, it["Namespace"], it["MetricName"], dimensions


def widgets(stack):
    (dashboard,) = stack.properties("AWS::CloudWatch::Dashboard").values()
    return json.loads(dashboard["DashboardBody"])["widgets"]


def metrics_of_dashboard(stack):
    for widget in widgets(stack):
        title = widget["properties"]["title"]
        for row in widget["properties"].get("metrics", []):
            if isinstance(row[0], dict):
                searched = SEARCH.search(row[0]["expression"])
                assert searched, f"{title}: {row[0]['expression']} is no search"
                namespace, *names = searched["schema"].split(",")
                terms = dict(TERM.findall(searched["terms"]))
                metric = terms.pop("MetricName")
                assert terms.keys() <= set(names), f"{title}: {terms} are not all among {names}"
                yield title, namespace, metric, {name: terms.get(name) for name in names}
            else:
                namespace, metric, *rest = row
                pairs = [it for it in rest if not isinstance(it, dict)]
                yield title, namespace, metric, dict(zip(pairs[::2], pairs[1::2]))


def queries(stack):
    for it in stack.properties("AWS::Logs::QueryDefinition").values():
        yield it["Name"], it["QueryString"]
    for widget in widgets(stack):
        if widget["type"] == "log":
            yield widget["properties"]["title"], widget["properties"]["query"]
    # In the runbook they stand between single quotes, which Insights needs none of.
    text = (stacks.ROOT / "docs/operations.md").read_text()
    for block in re.findall(r"^ *```sh\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL):
        for at, query in enumerate(re.findall(r"^ *query [^'\n]*(?:'-[^']*' now )?'([^']*)'", block, re.MULTILINE)):
            yield f"runbook: {query.split(chr(10))[0]}", query


def check(stack, lines, access_log):
    problems, counted = [], {"metrics": 0, "queries": 0, "lines": 0}
    validator = jsonschema.Draft202012Validator(json.loads((stacks.ROOT / "docs/log.schema.json").read_text()))
    for line in lines:
        if "message" in line:
            logged = {name: value for name, value in line.items() if not name.startswith("@")}
            counted["lines"] += 1
            problems += [f"{logged}: {error.message}" for error in validator.iter_errors(logged)]
    logged, filtered = published(lines), set(from_filters(stack, access_log))
    for place, namespace, metric, dimensions in [*metrics_of_alarms(stack), *metrics_of_dashboard(stack)]:
        if namespace.startswith("AWS/"):
            continue
        counted["metrics"] += 1
        if (namespace, metric, frozenset(dimensions)) in filtered:
            continue
        fitting = [
            values
            for found_namespace, found_metric, values in logged
            if (found_namespace, found_metric, {name for name, _ in values}) == (namespace, metric, dimensions.keys())
            and all(wanted in (None, value) for name, value in values for wanted in [dimensions[name]])
        ]
        if not fitting:
            problems.append(f"{place}: nothing was logged as {namespace} {metric} by {dimensions}")
    for place, query in queries(stack):
        counted["queries"] += 1
        try:
            insights.check(query, lines)
        except insights.QueryError as error:
            problems.append(f"{place}: {error}")
    for problem in problems:
        print(problem)
    print("names: " + ", ".join(f"{count} {what}" for what, count in counted.items()))
    # Fewer than these, and something was not found rather than right.
    assert counted["metrics"] >= 14 and counted["queries"] >= 18 and counted["lines"] >= 12, counted
    if problems:
        sys.exit(f"{len(problems)} problems")
