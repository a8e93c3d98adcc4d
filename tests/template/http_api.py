"""An HTTP API of API Gateway on this machine, with the routes of the translated template.

API Gateway Developer Guide: "Create routes for HTTP APIs", "Create AWS Lambda proxy integrations for HTTP APIs" and "Create HTTP
proxy integrations for HTTP APIs".
"""

import contextlib
import http.client
import http.server
import json
import os
import threading
import urllib.parse

from translations import Stack

NOT_FOUND = 404, {"Content-Type": "application/json"}, b'{"message":"Not Found"}'
# What is between two neighbours only, and what the server here adds itself.
OF_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


class Server(http.server.BaseHTTPRequestHandler):
    """Answers every request, whatever its method, with the status, headers and body that `answer` returns."""

    protocol_version = "HTTP/1.1"
    # Headers and body are written one after the other, and the second write would wait for an acknowledgement.
    disable_nagle_algorithm = True
    log_message = lambda *_: None  # noqa: E731

    def do_POST(self):
        status, headers, content = self.answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in OF_CONNECTION:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST


class Threads(http.server.ThreadingHTTPServer):
    request_queue_size = 64  # many clients may connect at once


@contextlib.contextmanager
def serve(port, answer):
    """Serves on this port, or on a free one, and returns it."""
    handler = type("Handler", (Server,), {"answer": answer})
    with Threads(("127.0.0.1", port), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def routes(template, values):
    """The integration of each route that a translated template creates with these values, by its route key."""
    stack = Stack(template, values)
    created = {"Route": {}, "Integration": {}}
    for name, resource in stack.resources.items():
        kind = resource["Type"].removeprefix("AWS::ApiGatewayV2::")
        if kind in created:
            created[kind][name] = stack.resolve(resource["Properties"])
    integrations = created["Integration"]
    return {it["RouteKey"]: integrations[it["Target"].removeprefix("integrations/")] for it in created["Route"].values()}


def find(routes, method, path):
    """The key of the route for a request, and what `{proxy}` is there. A full match wins, then the longest path before it."""
    for candidate in (f"{method} {path}", f"ANY {path}"):
        if candidate in routes:
            return candidate, None
    greedy = [it for it in routes if it.endswith("/{proxy+}") and it.split(" ")[0] in (method, "ANY")]
    prefixes = [(it.split(" ")[1].removesuffix("{proxy+}"), it) for it in greedy]
    matching = [(prefix, it) for prefix, it in prefixes if path.startswith(prefix) and path != prefix]
    prefix, key = max(matching, default=("", None))
    return key, path.removeprefix(prefix)


def gateway(port, routes, invoke):
    """Serves these routes. `invoke` calls the function."""

    def answer(request, body):
        path, _, query = request.path.partition("?")
        key, proxy = find(routes, request.command, path)
        if key is None:
            return NOT_FOUND
        integration = routes[key]
        if integration["IntegrationType"] == "HTTP_PROXY":
            url = integration["IntegrationUri"].replace("{proxy}", proxy) + (f"?{query}" if query else "")
            return forward(request, url, body, integration["TimeoutInMillis"] / 1000)
        assert (integration["IntegrationType"], integration["PayloadFormatVersion"]) == ("AWS_PROXY", "2.0"), integration
        response = invoke({
            "version": "2.0",
            "routeKey": key,
            "rawPath": path,
            "rawQueryString": query,
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "requestContext": {
                "domainName": request.headers.get("Host", ""),
                "http": {
                    "method": request.command,
                    "path": path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": request.client_address[0],
                    "userAgent": request.headers.get("User-Agent", ""),
                },
                "requestId": os.urandom(9).hex(),
                "stage": "$default",
            },
            "body": body.decode(),
            "isBase64Encoded": False,
        })
        return response["statusCode"], response["headers"], response.get("body", "").encode()

    return serve(port, answer)


def forward(request, url, body, timeout):
    target = urllib.parse.urlsplit(url)
    headers = {name: it for name, it in request.headers.items() if name.lower() not in OF_CONNECTION}
    headers |= {"Host": target.netloc, "Forwarded": f"for={request.client_address[0]}"}
    connection = http.client.HTTPConnection(target.netloc, timeout=timeout)
    with contextlib.closing(connection):
        connection.request(request.command, urllib.parse.urlunsplit(("", "", *target[2:])), body, headers)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
