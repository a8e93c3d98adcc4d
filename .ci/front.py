"""What stands before the function in AWS: Lambda, by its own Runtime Interface Emulator, and an HTTP API."""

import http.server
import json
import os
import pathlib
import platform
import re
import subprocess
import tempfile
import threading
import time
import urllib.request

import samcli

import insights
import stack as stacks
from ports import free_port, listens


class Function:
    """The deployed function, in the environment that Lambda would give it."""

    def __init__(self, bootstrap, configuration, credentials, endpoint):
        architecture = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
        emulator = pathlib.Path(samcli.__file__).parent / f"local/rapid/aws-lambda-rie-{architecture}"
        invoke, runtime = free_port(), free_port()
        self.url = f"http://127.0.0.1:{invoke}/2015-03-31/functions/function/invocations"
        variables = {name: str(value) for name, value in configuration["Environment"]["Variables"].items()}
        environment = variables | {
            "AWS_REGION": stacks.REGION,
            "AWS_ACCESS_KEY_ID": credentials["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": credentials["aws_secret_access_key"],
            "AWS_SESSION_TOKEN": credentials["aws_session_token"],
            "AWS_LAMBDA_FUNCTION_NAME": configuration["FunctionName"],
            "AWS_LAMBDA_FUNCTION_VERSION": configuration["Version"],
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(configuration["MemorySize"]),
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(configuration["Timeout"]),
            # The one thing that is not as in AWS: where DynamoDB is.
            "AWS_ENDPOINT_URL": endpoint,
        }
        self.log = tempfile.NamedTemporaryFile("w+")
        self.process = subprocess.Popen(
            [
                emulator,
                *("--runtime-interface-emulator-address", f"127.0.0.1:{invoke}"),
                *("--runtime-api-address", f"127.0.0.1:{runtime}"),
                bootstrap,
            ],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        for _ in range(300):
            if listens(invoke):
                return
            time.sleep(0.1)
        raise TimeoutError("the Runtime Interface Emulator does not listen")

    def invoke(self, event):
        request = urllib.request.Request(self.url, json.dumps(event).encode())
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    def lines(self):
        """The log group as Logs Insights sees it; without what the emulator says of itself."""
        at, lines = time.time(), []
        for text in pathlib.Path(self.log.name).read_text().splitlines():
            if text.startswith("{"):
                lines.append(insights.line(text))
            elif re.match("(START|END|REPORT) ", text):
                lines.append(insights.line(text, at))
        return lines

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.log.close()


class Gateway:
    """An HTTP API with the template's one route: HTTP becomes payload 2.0, and the answer HTTP again."""

    def __init__(self, stack, function, port):
        (api,) = stack.properties("AWS::ApiGatewayV2::Api").values()
        ((path, methods),) = api["Body"]["paths"].items()
        ((method, route),) = methods.items()
        integration = route["x-amazon-apigateway-integration"]
        assert (path, method) == ("/{proxy+}", "x-amazon-apigateway-any-method"), "the front knows this route only"
        assert integration["payloadFormatVersion"] == "2.0" and integration["type"] == "aws_proxy"
        assert integration["uri"].endswith(":function:callgate:live/invocations"), integration["uri"]
        (stage,) = stack.properties("AWS::ApiGatewayV2::Stage").values()
        gateway, self.access_log = self, []
        self.format = stage["AccessLogSettings"]["Format"]

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = function.invoke(event(self, body))
                content = answer.get("body", "").encode()
                self.send_response(answer["statusCode"])
                for name, value in answer["headers"].items():
                    if name.lower() != "content-length":
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                gateway.write_access_log(self, answer["statusCode"])

            do_GET = do_PUT = do_DELETE = do_POST

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def write_access_log(self, request, status):
        """A line in the stage's own format."""
        known = {
            "$context.apiId": "api",
            "$context.status": str(status),
            "$context.path": request.path,
            "$context.httpMethod": request.command,
            "$context.identity.sourceIp": request.client_address[0],
        }
        filled = re.sub(r"\$context\.[\w.]+", lambda name: known.get(name[0], "-"), self.format)
        self.access_log.append(json.loads(filled))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def event(request, body):
    """API Gateway Developer Guide, "Create AWS Lambda proxy integrations for HTTP APIs": payload format 2.0."""
    path, _, query = request.path.partition("?")
    return {
        "version": "2.0",
        "routeKey": "ANY /{proxy+}",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "requestContext": {
            "accountId": stacks.ACCOUNT,
            "apiId": "api",
            "domainName": request.headers.get("Host", ""),
            "http": {
                "method": request.command,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.client_address[0],
                "userAgent": request.headers.get("User-Agent", ""),
            },
            "requestId": os.urandom(9).hex(),
            "routeKey": "ANY /{proxy+}",
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime()),
            "timeEpoch": int(time.time() * 1000),
        },
        "body": body.decode(),
        "isBase64Encoded": False,
    }
