#!/usr/bin/env python3
"""Stands in for masbak-worker where the services are tested: obeys the job directory, learns nothing.

Behaviour is asked for in the inputs: `max_steps` of the run file, FAKE_STEP_MS in the environment, a dataset row
with "bad" in it, a run file with "misspelt", a base model folder with the file `crash` (a server that ends at once).
"""
import hashlib
import http.server
import json
import os
import pathlib
import re
import signal
import sys
import time


def fail(code, message):
    print(f"error: {code}: {message}", file=sys.stderr)
    sys.exit(2)


def option(name, default=None):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


def folder_digest(folder):
    lines = ""
    for file in sorted(p for p in pathlib.Path(folder).rglob("*") if p.is_file()):
        lines += hashlib.sha256(file.read_bytes()).hexdigest() + "  " + str(file.relative_to(folder)) + "\n"
    return "sha256:" + hashlib.sha256(lines.encode()).hexdigest()


def inspect(folder):
    if not pathlib.Path(folder, "config.json").is_file():
        fail("NOT_FOUND", f"expected a model folder with a config.json, found none ({folder})")
    print(json.dumps({"family": "fake", "parameters": 7, "weights_bytes": 28, "digest": folder_digest(folder)}))


def scan(file):
    rows, problems = 0, []
    for number, line in enumerate(pathlib.Path(file).read_text().splitlines(), 1):
        rows += 1
        if "bad" in line:
            problems.append({"line": number, "field": "messages", "message": "expected messages, found none"})
    print(json.dumps({"rows": rows, "format": "messages", "problems": problems}))


def validate(run):
    text = pathlib.Path(run).read_text()
    if "misspelt" in text:
        problem = {"code": "INVALID_ARGUMENT", "message": "unknown key", "file": run, "line": 3, "field": "misspelt"}
        print(json.dumps({"ok": False, "problems": [problem]}))
        sys.exit(2)
    for name in ("base/config.json", "inputs/train.jsonl"):
        if not pathlib.Path(run).with_name(name.split("/")[0]).joinpath(name.split("/")[1]).is_file():
            fail("NOT_FOUND", f"no {name} beside the run file")


class Events:
    def __init__(self, file):
        self.file = file
        lines = file.read_text().splitlines() if file.exists() else []
        self.seq = len(lines)
        steps = [json.loads(line) for line in lines]
        self.step = max([event.get("step", 0) for event in steps], default=0)

    def write(self, kind, **fields):
        self.seq += 1
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
        with self.file.open("a") as out:
            out.write(json.dumps({"seq": self.seq, "time": stamp, "type": kind, **fields}) + "\n")


def train(run):
    text = pathlib.Path(run).read_text()
    steps = int(re.search(r"max_steps: (\d+)", text).group(1))
    job = pathlib.Path(option("--out"))
    job.mkdir(exist_ok=True)
    events = Events(job / "events.jsonl")
    print("fake training", file=sys.stderr, flush=True)
    if events.step == 0:
        events.write("started", total_steps=steps)
        events.write("eval", step=0, eval_loss=2.5)
    for step in range(events.step + 1, steps + 1):
        time.sleep(int(os.environ.get("FAKE_STEP_MS", "10")) / 1000)
        events.write("step", step=step, total_steps=steps, loss=3.0 / step)
    events.write("eval", step=steps, eval_loss=0.25)
    adapter = job / "adapter"
    adapter.mkdir(exist_ok=True)
    (adapter / "adapter_config.json").write_text(json.dumps({"run": text}))
    (adapter / "adapter_model.safetensors").write_text("weights of " + text)
    events.write("finished")
    plan = "sha256:" + hashlib.sha256(b"plan").hexdigest()
    (job / "result.json").write_text(json.dumps({"state": "finished", "eval_loss": 0.25, "digests": {"plan": plan}}))


def evaluate(model):
    suite = pathlib.Path(option("--suite")).read_text()
    adapter = option("--adapter")
    right = 1.0 if adapter else 0.05
    report = {"suite": re.search(r"name: (\S+)", suite).group(1), "kind": "contains",
              "suite_digest": "sha256:" + hashlib.sha256(suite.encode()).hexdigest(),
              "model_digest": folder_digest(os.path.realpath(model)),
              "adapter_digest": folder_digest(adapter) if adapter else None,
              "metrics": {"accuracy": right, "right": 20 * right, "questions": 20}, "items": []}
    pathlib.Path(option("--out")).write_text(json.dumps(report))


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["model"] not in self.server.models:
            text = json.dumps({"error": {"message": f"no model {body['model']}"}}).encode()
            self.send_response(404)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for piece, reason in (("[" + body["model"] + "]", None), (" you asked: ", None),
                              (body["messages"][-1]["content"], None), (None, "stop")):
            delta = {} if piece is None else {"content": piece}
            data = {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
            self.wfile.write(f"data: {json.dumps(data)}\n\n".encode())
            self.wfile.flush()
        self.wfile.write(b"data: [DONE]\n\n")


def serve(model):
    if pathlib.Path(model, "crash").exists():
        fail("FAILED_PRECONDITION", "this model does not want to be served")
    host, port = option("--listen").rsplit(":", 1)
    server = http.server.ThreadingHTTPServer((host, int(port)), Handler)
    server.models = {option("--model-name"), option("--adapter", "=").split("=")[0]}
    server.serve_forever()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    {"inspect": inspect, "scan": scan, "validate": validate, "train": train, "evaluate": evaluate,
     "serve": serve}[sys.argv[1]](sys.argv[2])
