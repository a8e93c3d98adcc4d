"""Draws docs/architecture.svg and docs/call-flow.svg.

    pictures.py [--check]     with --check, only says whether they are what this draws
"""

import pathlib
import sys

from drawing import Drawing

DOCS = pathlib.Path(__file__).parent.parent / "docs"


def architecture():
    drawing = Drawing(1120, 490, "What callgate consists of, and who talks to it")
    drawing.panel(388, 24, 712, 336, "group")
    drawing.text(404, 48, "AWS: one stack, template.yaml", "strong")
    drawing.box(20, 90, 110, 84, "SIP side", "who calls")
    drawing.box(210, 90, 130, 84, "WCS", "Web Call Server")
    drawing.box(210, 270, 130, 70, "Browser", "who is called")
    drawing.box(480, 90, 130, 84, "HTTP API", "API Gateway")
    drawing.box(700, 90, 130, 84, "callgate", "Lambda, Rust")
    drawing.box(950, 90, 130, 84, "Table", "DynamoDB")
    drawing.box(580, 262, 170, 78, "CloudWatch", "log, dashboard, alarms")
    drawing.box(580, 408, 170, 62, "On call", "docs/operations.md")
    drawing.box(935, 408, 160, 62, "callgatectl", "who may call whom")

    def both_ways(left, right, middle, there, back):
        drawing.arrow((left, 120), (right, 120))
        drawing.text(middle, 110, there, "label middle")
        drawing.arrow((right, 150), (left, 150))
        drawing.text(middle, 168, back, "label middle")

    both_ways(130, 210, 170, "INVITE", "or 403")
    # Within the frame, which begins on the way.
    both_ways(340, 480, 434, "OnCallEvent", "200, or 403")
    both_ways(610, 700, 655, "event", "answer")
    both_ways(830, 950, 890, "BatchGetItem", "rules of both")
    drawing.arrow((275, 174), (275, 270))
    drawing.text(285, 227, "rings, if 200", "label")
    drawing.arrow((545, 174), (545, 220), (625, 220), (625, 262))
    drawing.text(535, 240, "access log", "label end")
    drawing.arrow((765, 174), (765, 220), (705, 220), (705, 262))
    drawing.text(776, 224, "one JSON line a call,", "label")
    drawing.text(776, 240, "metrics in it", "label")
    drawing.arrow((665, 340), (665, 408))
    drawing.text(675, 390, "alarms", "label")
    drawing.arrow((1015, 408), (1015, 174))
    drawing.text(1005, 390, "allow, deny, check, doctor", "label end")
    return drawing


def call_flow():
    lanes = {"SIP side": 80, "WCS": 280, "HTTP API": 480, "callgate": 680, "Table": 900}
    drawing = Drawing(1000, 830, "How a call is decided")
    for name, x in lanes.items():
        drawing.line(x, 70, x, 815, "life")
        drawing.box(x - 60, 22, 120, 46, name)

    def says(y, source, target, text, note=""):
        start, end = lanes[source], lanes[target]
        drawing.arrow((start, y), (end, y))
        # Above its arrow, on ground of its own, so that no line runs through the words.
        middle = (start + end) / 2
        drawing.ground(middle, y - 7, text)
        drawing.text(middle, y - 7, text, "label strong middle")
        if note:
            drawing.ground(middle, y + 17, note)
            drawing.text(middle, y + 17, note, "label middle")

    def section(y, height, text):
        drawing.panel(14, y, 972, height, "group")
        drawing.ground(24, y + 5, text, "start")
        drawing.text(24, y + 5, text, "label strong")

    def happens(y, lane, *lines):
        x, width, tall = lanes[lane], 300, 16 + 17 * len(lines)
        drawing.panel(x - width / 2, y, width, tall, "box")
        for number, line in enumerate(lines):
            drawing.text(x, y + 20 + 17 * number, line, "label middle")

    section(92, 104, "once for each session of a browser")
    says(130, "WCS", "callgate", "POST …/connect")
    says(165, "callgate", "WCS", "200: what came, with restClientConfig", "OnCallEvent: restOnError=FAIL, so that a refusal refuses")
    section(220, 360, "for each call")
    says(258, "SIP side", "WCS", "INVITE")
    says(258, "WCS", "HTTP API", "POST …/OnCallEvent")
    says(258, "HTTP API", "callgate", "payload 2.0")
    happens(280, "callgate", "from our WCS? address and signature;", "if not: 403, and nothing is read")
    says(365, "callgate", "Table", "one BatchGetItem")
    says(400, "Table", "callgate", "app, caller, callee, pair")
    happens(420, "callgate", "suspended? a record not understood?", "door 1, the app's · door 2, the caller's", "door 3, the callee's: none denies,", "and at least one allows")
    happens(524, "callgate", "one JSON line in the log")
    section(604, 68, "permitted")
    says(644, "callgate", "WCS", "200, the same bytes", "the browser rings")
    section(692, 112, "refused, or not decided within 1.5 s")
    says(728, "callgate", "WCS", "403, or 503")
    says(728, "WCS", "SIP side", "403 FORBIDDEN")
    for y, text in (
        (766, "With WCS's default, restOnError=LOG, the call would go through here:"),
        (786, "the answer to connect is what prevents that."),
    ):
        drawing.ground(480, y, text)
        drawing.text(480, y, text, "label middle")
    return drawing


def main():
    wrong = []
    for name, drawing in (("architecture", architecture()), ("call-flow", call_flow())):
        path, picture = DOCS / f"{name}.svg", drawing.svg()
        if "--check" not in sys.argv:
            path.write_text(picture)
        elif path.read_text() != picture:
            wrong.append(path.name)
        print(f"{path.name}: {len(picture)} bytes")
    if wrong:
        sys.exit(f"not what .ci/pictures.py draws: {', '.join(wrong)}")


main()
