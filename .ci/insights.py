"""As much of the language of CloudWatch Logs Insights as the saved queries, the dashboard and the runbook use.

Whatever else stands in a query is an error, and so is a field that no line has: CloudWatch would show an empty column.
"""

import datetime
import json
import math
import re

TOKEN = re.compile(
    r"""\s+|\#[^\n]*\n?
    |(?P<string>"[^"]*"|'[^']*')|(?P<regex>/(?:\\.|[^/\\])+/)|(?P<number>\d+(?:\.\d+)?)(?P<unit>[smhd]\b)?
    |(?P<name>@?[A-Za-z_][\w.]*)|(?P<operator>!=|<=|>=|=|<|>)|(?P<mark>[(),*|])""",
    re.VERBOSE,
)
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class QueryError(Exception):
    pass


def tokens(text):
    found, at = [], 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if not match:
            raise QueryError(f"cannot read {text[at:at + 30]!r}")
        at = match.end()
        if match["string"]:
            found.append(("string", match["string"][1:-1]))
        elif match["regex"]:
            # The flags of Insights stand at the start of the expression, as in Python.
            found.append(("regex", re.compile(match["regex"][1:-1])))
        elif match["unit"]:
            found.append(("duration", int(match["number"]) * SECONDS[match["unit"]]))
        elif match["number"]:
            found.append(("number", float(match["number"])))
        elif match["name"]:
            found.append(("name", match["name"]))
        elif match["operator"] or match["mark"]:
            found.append(("mark", match["operator"] or match["mark"]))
    return found


class Query:
    """A query that was read; `run` answers it from lines, `fields` are the names it reads from them."""

    def __init__(self, text):
        self.tokens = tokens(text)
        self.commands = []
        self.fields, self.conditions = set(), []
        self.columns = None  # what is shown; later commands may use other fields all the same
        self.made = None  # after `stats`, only what it made is there
        if self.take("name", "SOURCE"):
            self.expect("string")
            self.expect("mark", "|")
        while True:
            self.commands.append(self.command())
            if not self.tokens:
                return
            self.expect("mark", "|")

    # Reading

    def take(self, kind, value=None):
        if self.tokens and self.tokens[0][0] == kind and value in (None, self.tokens[0][1]):
            return self.tokens.pop(0)
        return None

    def expect(self, kind, value=None):
        token = self.take(kind, value)
        if token is None:
            raise QueryError(f"expected {value or kind} before {self.tokens[:3]}")
        return token[1]

    def keyword(self, *words):
        if self.tokens and self.tokens[0][0] == "name" and self.tokens[0][1].lower() in words:
            return self.tokens.pop(0)[1].lower()
        return None

    def listed(self, read):
        found = [read()]
        while self.take("mark", ","):
            found.append(read())
        return found

    def field(self):
        name = self.expect("name")
        if self.made is None:
            self.fields.add(name)
        elif name not in self.made:
            raise QueryError(f"`{name}` is not among what stats made: {sorted(self.made)}")
        return name

    def command(self):
        match self.keyword("fields", "filter", "stats", "sort", "limit"):
            case "fields":
                self.columns = self.listed(self.field)
                return lambda lines: lines
            case "filter":
                condition = self.either()
                if self.made is None:
                    self.conditions.append(condition)
                return lambda lines: [line for line in lines if condition(line)]
            case "stats":
                return self.stats()
            case "sort":
                name, order = self.field(), self.keyword("asc", "desc") or "asc"
                return lambda lines: sorted(
                    (line for line in lines if line.get(name) is not None),
                    key=lambda line: line[name],
                    reverse=order == "desc",
                )
            case "limit":
                count = int(self.expect("number"))
                return lambda lines: lines[:count]
        raise QueryError(f"unknown command {self.tokens[:3]}")

    def either(self):
        conditions = [self.both()]
        while self.keyword("or"):
            conditions.append(self.both())
        return lambda line: any(condition(line) for condition in conditions)

    def both(self):
        conditions = [self.comparison()]
        while self.keyword("and"):
            conditions.append(self.comparison())
        return lambda line: all(condition(line) for condition in conditions)

    def comparison(self):
        if self.take("mark", "("):
            condition = self.either()
            self.expect("mark", ")")
            return condition
        name = self.field()
        if self.keyword("like"):
            pattern = self.expect("regex")
            return lambda line: pattern.search(str(line.get(name, ""))) is not None
        operator = self.expect("mark")
        value = (self.take("string") or self.take("number") or (None, None))[1]
        if value is None:
            raise QueryError(f"`{name} {operator}` is compared with nothing")
        compare = {
            "=": lambda left: left == value,
            "!=": lambda left: left is not None and left != value,
            "<": lambda left: left is not None and left < value,
            ">": lambda left: left is not None and left > value,
        }.get(operator)
        if compare is None:
            raise QueryError(f"unknown operator {operator}")
        return lambda line: compare(line.get(name))

    def stats(self):
        columns = self.listed(self.aggregate)
        groups = self.listed(self.group) if self.keyword("by") else []
        self.made = {name for name, _ in columns + groups}

        def run(lines):
            grouped = {}
            for line in lines:
                grouped.setdefault(tuple(key(line) for _, key in groups), []).append(line)
            return [
                {name: value for (name, _), value in zip(groups, key)}
                | {name: aggregate(members) for name, aggregate in columns}
                for key, members in grouped.items()
            ]

        return run

    def aggregate(self):
        function, name, rank = self.expect("name"), None, None
        self.expect("mark", "(")
        if not self.take("mark", "*"):
            name = self.field()
        if self.take("mark", ","):
            rank = self.expect("number")
        self.expect("mark", ")")

        def run(lines):
            if name is None:
                return len(lines)
            values = sorted(line[name] for line in lines if line.get(name) is not None)
            if function == "count":
                return len(values)
            return values[min(len(values), math.ceil(len(values) * (rank or 100) / 100)) - 1] if values else None

        if function not in ("count", "max", "pct") or (function == "pct") != (rank is not None):
            raise QueryError(f"unknown function {function}")
        shown = f"{function}({name or '*'}{'' if rank is None else f', {rank:g}'})"
        return self.expect("name") if self.keyword("as") else shown, run

    def group(self):
        if not self.keyword("bin"):
            name = self.field()
            return name, lambda line: line.get(name)
        self.expect("mark", "(")
        width = self.expect("duration")
        self.expect("mark", ")")
        # As CloudWatch names it.
        return f"bin({width // 60}m)", lambda line: line["@timestamp"] // width * width

    # Answering

    def run(self, lines):
        for command in self.commands:
            lines = command(lines)
        if self.columns and self.made is None:
            return [{name: line.get(name) for name in self.columns} for line in lines]
        return lines

    def matching(self, lines):
        """The lines that pass the filters before anything is made of them."""
        return [line for line in lines if all(condition(line) for condition in self.conditions)]


def line(text, at=None):
    """A line of the function's log group as Insights has it: its JSON members, or what Lambda's own lines hold."""
    if text.startswith("{"):
        members = json.loads(text)
        moment = datetime.datetime.fromisoformat(members["timestamp"]).timestamp()
        return members | {"@timestamp": moment, "@message": text}
    found = {"@timestamp": at, "@message": text}
    if kind := re.match(r"(START|END|REPORT) RequestId: (\S+)", text):
        found |= {"@type": kind[1], "@requestId": kind[2]}
    for label, value in re.findall(r"(\w+) Duration: ([\d.]+) ms", text):
        found[f"@{label.lower()}Duration"] = float(value)
    return found


def check(text, lines):
    """A query against real lines: it finds some, and they have each field it names."""
    query = Query(text)
    found = query.matching(lines)
    if not found:
        raise QueryError("no real line matches")
    kinds = {(it.get("message"), it.get("@type")) for it in found}
    alike = [it for it in lines if (it.get("message"), it.get("@type")) in kinds]
    unknown = {name for name in query.fields if not any(name in it for it in alike)}
    if unknown:
        raise QueryError(f"no real line has {sorted(unknown)}")
    if not query.run(lines):
        raise QueryError("it answers nothing")
