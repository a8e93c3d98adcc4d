"""Sends the hooks of WCS through a deployed stack, and checks what answers them and how."""

import hashlib
import hmac
import http.client
import json
import pathlib

import http_api

EVENTS = pathlib.Path(__file__).parent.parent.parent / "events"
SECRET = "of-this-run-only"
# WCS is in the first network; the second address is outside.
SOURCES, ELSEWHERE = "127.0.0.0/16", "127.9.0.1"


def event(name):
    return json.loads((EVENTS / f"{name}.json").read_text())["body"].encode()


def request(port, path, body, secret=SECRET, source="127.0.0.1"):
    """Sends a request as WCS does, signed with the server's key. Returns the signature and the whole response."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60, source_address=(source, 0))
    headers = {"Content-Type": "application/json;charset=UTF-8", "User-Agent": "Java/1.8.0_111"}
    if secret:
        headers["Authorization"] = "WCS " + hmac.new(secret.encode(), body, hashlib.md5).hexdigest()
    connection.request("POST", path, body, headers)
    response = connection.getresponse()
    return headers, response.status, dict(response.getheaders()), response.read()


def send(port, hook, body, path="/rest/my_api", **of_request):
    _, status, _, content = request(port, f"{path}/{hook}", body, **of_request)
    return status, content


def check_function(port):
    """Checks the stack without a backend: all hooks go to the function."""
    call = event("document-permitted")
    assert send(port, "OnCallEvent", call) == (200, call)
    assert send(port, "OnCallEvent", call.replace(b"PPP005", b"PPP006")) == (403, b"")
    status, body = send(port, "connect", event("connect"))
    assert status == 200 and json.loads(body)["restClientConfig"]["OnCallEvent"]["restOnError"] == "FAIL", body
    for unsigned in ({"secret": None}, {"secret": "another"}, {"source": ELSEWHERE}):
        assert send(port, "OnCallEvent", call, **unsigned) == (403, b"")
        assert send(port, "CallStatusEvent", call, **unsigned) == (403, b"")
    # Any path may come before the hook.
    for path in ("/rest/my_api", "/prod/another/path", ""):
        assert send(port, "CallStatusEvent", call, path) == (200, call)
        assert send(port, "call", call.replace(b"PPP005", b"PPP006"), path)[0] == 200, "not gated"
        assert send(port, "OnCallEvent", call.replace(b"PPP005", b"PPP006"), path) == (403, b"")


def check_backend(stack, port, invoke, rehearse):
    """Checks the stack with a backend: gated hooks go to the function, other hooks under the same path to the backend.

    `rehearse` plays a session against the stack's gateway on this port."""
    received = []

    def answer(request, body):
        received.append((request.command, request.path, request.headers, body))
        return 202, {"Content-Type": "text/x-backend", "X-Backend": "yes"}, b"answer of the backend"

    for gated in ("OnCallEvent,call", "OnCallEvent"):
        with http_api.serve(0, answer) as backend:
            routes = stack.routes(BackendUrl=f"http://127.0.0.1:{backend}/my/hooks", GatedHooks=gated)
            with http_api.gateway(0, routes, invoke) as checked:
                check_routes(checked, gated.split(","), received)
    with http_api.serve(0, echo_app) as backend:
        routes = stack.routes(BackendUrl=f"http://127.0.0.1:{backend}")
        with http_api.gateway(port, routes, invoke):
            rehearse()


def echo_app(request, body):
    """A backend that echoes all hooks, and answers `connect` as the book asks of it. It would permit every call."""
    if request.path == "/connect":
        fail = {"clientExclude": "", "restExclude": "", "restOnError": "FAIL", "restPolicy": "NOTIFY", "restOverwrite": ""}
        body = json.dumps(json.loads(body) | {"restClientConfig": {"OnCallEvent": fail, "call": fail}}).encode()
    return 200, {"Content-Type": "application/json"}, body


def check_routes(port, gated, received):
    call = event("document-permitted")
    refused = call.replace(b"PPP005", b"PPP006")
    for hook in gated:
        assert send(port, hook, call, "/hooks") == (200, call)
        assert send(port, hook, refused, "/hooks") == (403, b"")
        assert send(port, f"{hook}?x=y", refused, "/hooks") == (403, b"")
    for path in ("/", "/hooks", "/OnCallEvent", "/rest/my_api/OnCallEvent", "/another/connect", "/hooksx/connect"):
        assert request(port, path, call)[1] == 404, path
    assert received == [], "the backend got a gated hook, or one of another path"
    others = ["connect", "CallStatusEvent?x=y&z=%20+", "StreamKeepAliveEvent", "answer", "onCallEvent", "OnCallEventX"]
    others += [] if "call" in gated else ["call"]
    bodies = [call, refused, b"", b"\x00\xff", b'{"a": 1.0,  "a": "\xc3\xa9"}']
    for hook in others:
        for body in bodies:
            sent, status, headers, content = request(port, f"/hooks/{hook}", body)
            method, path, got, as_received = received.pop()
            assert (method, path, as_received) == ("POST", f"/my/hooks/{hook}", body)
            assert {name: got[name] for name in sent} == sent, got
            assert (status, headers["X-Backend"], headers["Content-Type"]) == (202, "yes", "text/x-backend"), headers
            assert content == b"answer of the backend" and received == []
