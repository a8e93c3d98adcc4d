"""Draws the dashboard of template.yaml, as docs/dashboard.svg, from sample data.

    dashboard.py [--check]     with --check, only says whether the picture is the template's

The widgets, their metrics, searches and queries are the template's own. The data is a night that did not happen: decision lines
as the function writes them, of which metrics are made as their `_aws` member says.
"""

import collections
import datetime
import json
import math
import random
import re
import sys

import insights
import jsonschema
import names
import stack as stacks
from drawing import Drawing

PICTURE = stacks.ROOT / "docs/dashboard.svg"
FUNCTION = "callgate"
# 03:20, three hours after the first call; DynamoDB has been slow since 03:08.
MINUTES, SLOW_SINCE = 180, 168
START = 1795479600  # 2026-11-24T00:20:00Z
REASONS = [
    ("allow", "pair_rule", "callee", "PPP009", 46),
    ("allow", "callee_rule", "callee", "PPP00*", 28),
    ("allow", "caller_rule", "caller", "*", 12),
    ("deny", "no_rule", None, None, 9),
    ("deny", "app_rule", "app", "+881*", 4),
    ("deny", "callee_suspended", None, None, 1),
]
PARTIES = {
    "pair_rule": ("PPP009", "PPP005"),
    "callee_rule": ("PPP004", "PPP001"),
    "caller_rule": ("PPP002", "+74951234567"),
    "no_rule": ("PPP009", "PPP006"),
    "app_rule": ("+8816255501", "PPP001"),
    "callee_suspended": ("PPP009", "PPP007"),
    "store_unavailable": ("PPP009", "PPP005"),
}
COLORS = ["#3b82c4", "#e08a1e", "#3f9d5a", "#c8473f", "#8564b8", "#8c6d5a", "#d27ab5", "#7c8894"]


def directive(dimensions, *metrics):
    units = {"Decisions": "Count"}
    listed = [{"Name": name, "Unit": units.get(name, "Milliseconds")} for name in metrics]
    return {"Namespace": "callgate", "Dimensions": dimensions, "Metrics": listed}


def night():
    """The lines of the log group: the function's, and Lambda's own about cold starts."""
    chance = random.Random(20261124)
    for minute in range(MINUTES):
        quiet = 0.35 + 0.65 * math.exp(-((minute - 20) / 90) ** 2)
        for _ in range(int(chance.triangular(20, 52, 34) * quiet)):
            second = START + 60 * minute + chance.random() * 60
            (decision, reason, door, rule, _), = chance.choices(REASONS, [it[-1] for it in REASONS])
            cold = chance.random() < 0.012
            store = chance.lognormvariate(1.45, 0.22) + (9 if cold else 0)
            status, error = 200 if decision == "allow" else 403, None
            if minute >= SLOW_SINCE:
                store *= chance.lognormvariate(5.0, 0.9)
                if store > 1500:
                    decision, reason, door, rule, store = "error", "store_unavailable", None, None, 1500.4
                    status, error = 503, "DynamoDB did not answer within 1500 ms"
            store, total = round(store, 3), round(store + chance.lognormvariate(-0.9, 0.3), 3)
            moment = second + total / 1000
            caller, callee = PARTIES[reason]
            yield {
                "timestamp": stamp(moment),
                "level": "error" if error else "info",
                "message": "decision",
                "decision": decision,
                "reason": reason,
                "door": door,
                "rule": rule,
                "app": "defaultApp",
                "caller": caller,
                "callee": callee,
                "call_id": f"pbx-{chance.randrange(16**8):08X}@pbx",
                "request_id": f"{chance.randrange(16**8):08x}",
                "cold_start": cold,
                "store_ms": store,
                "total_ms": total,
                "units": 0.0 if error else 3.0,
                "status": status,
                "function": FUNCTION,
                "_aws": {
                    "Timestamp": int(moment * 1000),
                    "CloudWatchMetrics": [
                        directive([["decision", "reason"], ["function", "decision", "reason"], ["function"]], "Decisions"),
                        directive([["function"]], "TotalLatency", "StoreLatency"),
                    ],
                },
                "Decisions": 1,
                "StoreLatency": store,
                "TotalLatency": total,
            } | ({"error": error} if error else {})
            if cold:
                start = chance.lognormvariate(2.9, 0.15)
                yield {"@timestamp": moment, "@type": "REPORT", "@initDuration": round(start, 2), "@message": "REPORT"}


def stamp(moment):
    moment = datetime.datetime.fromtimestamp(round(moment, 3), datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def metrics_of(lines, api, table):
    """Values by namespace, metric and dimensions, then by minute: CloudWatch's part, and that of the other services."""
    metrics = collections.defaultdict(lambda: collections.defaultdict(list))
    chance = random.Random(1)

    def put(namespace, name, dimensions, minute, value):
        metrics[namespace, name, frozenset(dimensions.items())][minute].append(value)

    for line in lines:
        if "_aws" not in line:
            continue
        minute = int(line["_aws"]["Timestamp"] / 1000 - START) // 60
        for said in line["_aws"]["CloudWatchMetrics"]:
            for metric in said["Metrics"]:
                for dimensions in said["Dimensions"]:
                    put(said["Namespace"], metric["Name"], {it: line[it] for it in dimensions}, minute, line[metric["Name"]])
        around = chance.lognormvariate(2.1, 0.25) + (chance.lognormvariate(4.2, 0.2) if line["cold_start"] else 0)
        put("AWS/ApiGateway", "Latency", {"ApiId": api}, minute, line["total_ms"] + around)
        put("AWS/ApiGateway", "5xx", {"ApiId": api}, minute, int(line["status"] == 503))
        put("AWS/DynamoDB", "ConsumedReadCapacityUnits", {"TableName": table}, minute, line["units"])
        put("AWS/Lambda", "Errors", {"FunctionName": FUNCTION}, minute, 0)
        put("AWS/Lambda", "Throttles", {"FunctionName": FUNCTION}, minute, 0)
    return metrics


def statistic(name, values):
    if name == "Sum":
        return sum(values)
    ordered = sorted(values)
    return ordered[math.ceil(len(ordered) * float(name[1:]) / 100) - 1]


def series_of(widget, metrics):
    """What a chart shows: label, color and value by minute."""
    properties, found = widget["properties"], []
    for row in properties["metrics"]:
        options = row[-1] if isinstance(row[-1], dict) else {}
        if "expression" in options:
            searched = names.SEARCH.search(options["expression"])
            namespace, *dimensions = searched["schema"].split(",")
            terms = dict(names.TERM.findall(searched["terms"]))
            metric = terms.pop("MetricName")
            matching = {
                key: values
                for (its_namespace, its_name, key), values in metrics.items()
                if (its_namespace, its_name, {it for it, _ in key}) == (namespace, metric, set(dimensions))
                and terms.items() <= dict(key).items()
            }
            if options["expression"].startswith("SUM("):
                total = collections.Counter()
                for values in matching.values():
                    total.update({minute: sum(it) for minute, it in values.items()})
                found.append((options["label"], options.get("color"), dict(total)))
            else:
                for key, values in sorted(matching.items(), key=lambda it: sorted(it[0])):
                    label = re.sub(r"\$\{PROP\('Dim\.(\w+)'\)\}", lambda it: dict(key)[it[1]], options["label"])
                    found.append((label, None, {minute: sum(it) for minute, it in values.items()}))
        else:
            namespace, metric, *pairs = [it for it in row if not isinstance(it, dict)]
            values = metrics.get((namespace, metric, frozenset(zip(pairs[::2], pairs[1::2]))), {})
            stat = options.get("stat") or properties.get("stat")
            found.append((options["label"], None, {minute: statistic(stat, it) for minute, it in values.items()}))
    used = iter(COLORS)
    return [(label, color or next(used), values) for label, color, values in found]


def alarm_states(stack, metrics):
    """The alarms at the end of the night, by what each watches."""
    for alarm in stack.properties("AWS::CloudWatch::Alarm").values():
        if "MetricName" not in alarm:  # the one on silence: there were decisions to the end
            yield alarm["AlarmName"], False
            continue
        key = frozenset((it["Name"], it["Value"]) for it in alarm["Dimensions"])
        values = metrics.get((alarm["Namespace"], alarm["MetricName"], key), {})
        stat, threshold = alarm.get("Statistic") or alarm["ExtendedStatistic"], float(alarm["Threshold"])
        window = range(MINUTES - int(alarm["EvaluationPeriods"]), MINUTES)
        over = [minute for minute in window if minute in values and statistic(stat, values[minute]) > threshold]
        yield alarm["AlarmName"], len(over) >= int(alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]))


def nice(top):
    """A round number a little above, for the end of an axis."""
    power = 10 ** math.floor(math.log10(max(top, 1)))
    return next(step * power for step in (1, 2, 2.5, 4, 5, 8, 10) if step * power >= top)


def clock(minute):
    moment = START // 60 + minute
    return f"{moment // 60 % 24:02d}:{moment % 60:02d}"


def chart(drawing, x, y, width, height, series, properties, step=1):
    """Lines, or areas on top of each other; a legend below."""
    left, right, top, bottom = x + 46, x + width - 14, y + 40, y + height - 70
    stacked, last = properties.get("stacked", False), MINUTES // step
    tops = [0.0] * last
    for _, _, values in series:
        tops = [
            (now + values.get(at, 0)) if stacked else max(now, values.get(at, 0)) for at, now in enumerate(tops)
        ]
    marks = properties.get("annotations", {}).get("horizontal", [])
    end = nice(max(tops + [it["value"] for it in marks] + [1]))

    def at_x(minute):
        return left + (right - left) * minute / (last - 1)

    def at_y(value):
        return bottom - (bottom - top) * value / end

    for part in range(5):
        value = end * part / 4
        drawing.line(left, at_y(value), right, at_y(value), "grid")
        drawing.text(left - 6, at_y(value) + 4, f"{value:g}", "small end")
    for minute in range(10, MINUTES, 30):
        drawing.text(at_x(minute / step), bottom + 16, clock(minute), "small middle")
    if unit := properties.get("yAxis", {}).get("left", {}).get("label"):
        drawing.text(right, y + 21, unit, "small end")
    base = [0.0] * last
    for label, color, values in series:
        if stacked:
            upper = [low + values.get(at, 0) for at, low in enumerate(base)]
            points = [(at_x(at), at_y(value)) for at, value in enumerate(upper)]
            points += [(at_x(at), at_y(value)) for at, value in reversed(list(enumerate(base)))]
            drawing.area(points, color)
            base = upper
        else:
            drawing.curve([(at_x(at), at_y(value)) for at, value in sorted(values.items()) if at < last], color)
    for mark in marks:
        drawing.line(left, at_y(mark["value"]), right, at_y(mark["value"]), "mark")
        drawing.text(left + 6, at_y(mark["value"]) + 14, f"{mark['label']} {mark['value']:g} ms", "small marked")
    at, line = left, y + height - 46
    for label, color, _ in series:
        wide = 15 + 6.1 * len(label) + 12
        if at + wide > right + 14:
            at, line = left, line + 15
        drawing.rect(at, line, 10, 10, color)
        drawing.text(at + 15, line + 9, label, "small")
        at += wide


def draw(stack):
    api = stack.resources["Gateway"].physical_resource_id
    sample = list(night())
    validator = jsonschema.Draft202012Validator(json.loads((stacks.ROOT / "docs/log.schema.json").read_text()))
    for reason in PARTIES:
        validator.validate(next(line for line in sample if line.get("reason") == reason))
    metrics = metrics_of(sample, api, stack.outputs["TableName"])
    lines = [line if "@timestamp" in line else insights.line(json.dumps(line)) for line in sample]
    column, row, gap, head = 50, 46, 6, 74
    widgets = names.widgets(stack)
    height = head + row * max(it["y"] + it["height"] for it in widgets) + 10
    drawing = Drawing(24 * column + 20, height, "The CloudWatch dashboard of callgate, from sample data")
    drawing.text(16, 32, "callgate", "title")
    drawing.text(16, 56, "Drawn from sample data by .ci/dashboard.py with the widgets of template.yaml. "
                 "This is not CloudWatch, and nothing here was measured.", "note")
    for widget in widgets:
        x, y = 10 + widget["x"] * column + gap / 2, head + widget["y"] * row + gap / 2
        width, tall = widget["width"] * column - gap, widget["height"] * row - gap
        properties = widget["properties"]
        drawing.panel(x, y, width, tall)
        drawing.text(x + 12, y + 21, properties["title"], "heading")
        if widget["type"] == "alarm":
            for at, (name, is_on) in enumerate(sorted(alarm_states(stack, metrics), key=lambda it: not it[1])):
                left, top = x + 12 + at % 5 * 236, y + 34 + at // 5 * 46
                drawing.chip(left, top, 226, 36, name.removeprefix(f"{stack.name}-"), is_on)
        elif widget["type"] == "metric":
            chart(drawing, x, y, width, tall, series_of(widget, metrics), properties)
        elif properties["view"] == "timeSeries":
            series = collections.defaultdict(dict)
            for found in insights.Query(properties["query"]).run(lines):
                for name, value in found.items():
                    if not name.startswith("bin("):
                        series[name][int(found["bin(5m)"] - START) // 300] = value
            listed = [(name, COLORS[at], values) for at, (name, values) in enumerate(series.items())]
            chart(drawing, x, y, width, tall, listed, properties, step=5)
        else:
            table(drawing, x, y, width, tall, insights.Query(properties["query"]).run(lines))
    return drawing.svg()


def table(drawing, x, y, width, tall, rows):
    columns = list(rows[0])
    widths = {"@timestamp": 142, "decision": 62, "reason": 116, "app": 74, "call_id": 130, "caller": 90, "callee": 90}
    at = {}
    left = x + 12
    for name in columns:
        at[name] = left
        left += widths.get(name, 66)
    for name in columns:
        drawing.text(at[name], y + 44, name, "small strong")
    for number, row in enumerate(rows[: int((tall - 62) // 22)]):
        top = y + 66 + 22 * number
        drawing.line(x + 12, top - 15, x + width - 12, top - 15, "grid")
        for name in columns:
            value = row[name]
            shown = stamp(value)[:19].replace("T", " ") if name == "@timestamp" else "" if value is None else str(value)
            drawing.text(at[name], top, shown, "small")


def alike(left, right):
    """The same but for the last digit of a coordinate, in which two machines' logarithms may differ."""
    number = re.compile(r"\d+(?:\.\d+)?")
    if number.sub("", left) != number.sub("", right):
        return False
    return all(abs(float(a) - float(b)) < 0.15 for a, b in zip(number.findall(left), number.findall(right)))


def main():
    with stacks.server():
        stacks.API_ENDPOINT = "https://api"
        name, parameters = stacks.samconfig("prod")
        empty_archive = b"PK\x05\x06" + bytes(18)  # no code runs here
        picture = draw(stacks.Stack(name, parameters | {"HookSecret": "sample"}, empty_archive))
    if "--check" in sys.argv:
        if not alike(PICTURE.read_text(), picture):
            sys.exit(f"{PICTURE.name} is not what template.yaml says: run .ci/dashboard.py")
    else:
        PICTURE.write_text(picture)
    print(f"{PICTURE.name}: {len(picture)} bytes")


main()
