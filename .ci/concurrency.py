"""Calls at once under `cargo lambda watch --concurrency 8`, which starts up to 8 processes that take 8 calls each: every
answer is compared with its call, and every decision is one whole line. Takes callgatectl, for a table with the samples."""

import collections
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from ports import free_port, listens

ROOT = pathlib.Path(__file__).parent.parent
CALLS, AT_ONCE = 4000, 8


def call(port, n):
    permitted = n % 2 == 0
    caller, callee = (f"+7{n:010}", "+74951234567") if permitted else ("PPP009", "PPP006")
    body = json.dumps({"appKey": "defaultApp", "callId": f"call-{n}", "caller": caller, "callee": callee}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/lambda-url/callgate/x/OnCallEvent", body)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = (response.status, response.read())
    except urllib.error.HTTPError as error:
        answer = (error.code, error.read())
    return answer == ((200, body) if permitted else (403, b"")) or print(f"call {n}: {answer}")


def main(tool):
    subprocess.run(["cargo", "build", "--package", "callgate"], cwd=ROOT, check=True)
    store, lambdas = free_port(), free_port()
    credentials = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "eu-central-1"}
    table = {"TABLE_NAME": "callgate", "AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{store}", "STORE_DEADLINE_MS": "10000"}
    serve = [tool, "serve", "--listen", "127.0.0.1:0", "--store-listen", f"127.0.0.1:{store}"]
    watch = ["cargo", "lambda", "watch", "--ignore-changes", "--invoke-port", str(lambdas), "--concurrency", str(AT_ONCE)]
    log, processes = tempfile.TemporaryFile("w+"), [subprocess.Popen(serve, stdout=subprocess.DEVNULL)]
    try:
        processes.append(subprocess.Popen(watch, cwd=ROOT, env=os.environ | credentials | table, stdout=log))
        while not (listens(store) and listens(lambdas)):
            time.sleep(0.2)
        with concurrent.futures.ThreadPoolExecutor(4 * AT_ONCE) as pool:
            right = sum(pool.map(lambda n: call(lambdas, n) is True, range(CALLS)))
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(timeout=30)
    log.seek(0)
    lines = [json.loads(line) for line in log if '"message"' in line]
    calls = collections.Counter(line["call_id"] for line in lines if line["message"] == "decision")
    cold = sum(line.get("cold_start", False) for line in lines)
    print(f"{right} of {CALLS} answers right, {len(calls)} decisions logged, {cold} process(es)")
    return right < CALLS or calls != collections.Counter(f"call-{n}" for n in range(CALLS))


sys.exit(main(sys.argv[1]))
