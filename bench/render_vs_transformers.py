"""Rendering conversations through chat templates beside transformers: one process each, a compiled template reused on
both sides. What is timed is what a user runs, JSON lines in, JSON lines out: masbak-worker render with the start of its
process, and a Python script with json and render_jinja_template without the start of Python."""

import argparse
import importlib.util
import json
import os
import pathlib
import random
import resource
import subprocess
import sys
import tempfile
import time

WORKER = os.environ.get("MASBAK_WORKER", os.path.join(os.environ.get("MASBAK_BIN", "build/bin"), "masbak-worker"))
TEMPLATES = ["qwen3", "llama3_1", "deepseekv3", "glm4moe", "gptoss"]
WORDS = ("valve pump pressure reads bar the of a is steady قراءة الضغط في الوحدة E-204 PI-101 open close check flow "
         "temperature rising 42 alarm <b> \"quoted\" naïve 设备 👷").split()
TOOLS = [{"type": "function", "function": {"name": f"tool_{i}", "description": "Reads a gauge by its tag.",
                                           "parameters": {
    "type": "object", "properties": {"tag": {"type": "string", "description": "Tag of the gauge"},
                                     "window": {"type": "integer", "default": i}},
                                     "required": ["tag"]}}} for i in range(3)]

PEER = """
import json, sys, time
from transformers.utils.chat_template_utils import render_jinja_template
source = open(sys.argv[1], encoding="utf-8").read()
special = json.loads(sys.argv[2])
begin, begin_cpu = time.perf_counter(), time.process_time()
with open(sys.argv[3], encoding="utf-8") as rows, open(sys.argv[4], "w", encoding="utf-8") as answers:
    for row in rows:
        arguments = json.loads(row)
        texts, _ = render_jinja_template([arguments.pop("messages")], chat_template=source, **special, **arguments)
        answers.write(json.dumps({"text": texts[0]}, ensure_ascii=False) + "\\n")
print(time.perf_counter() - begin, time.process_time() - begin_cpu)
"""


def conversation(draw, text_arguments):
    def text(most):
        return " ".join(draw.choices(WORDS, k=draw.randint(3, most)))

    messages = [{"role": "system", "content": text(20)}] if draw.random() < 0.5 else []
    tools = draw.random() < 0.4
    for turn in range(draw.randint(1, 4)):
        messages.append({"role": "user", "content": text(60)})
        if tools and draw.random() < 0.5:
            identity = f"call{turn:05d}"
            arguments = {"tag": text(3), "window": turn, "limits": [1, 2.5]}
            if text_arguments:
                arguments = json.dumps(arguments)
            messages.append({"role": "assistant", "content": "", "tool_calls": [
                {"id": identity, "type": "function", "function": {"name": "tool_1", "arguments": arguments}}]})
            messages.append({"role": "tool", "tool_call_id": identity, "name": "tool_1", "content": text(10)})
        answer = {"role": "assistant", "content": text(80)}
        if draw.random() < 0.3:
            answer["reasoning_content"] = text(60)
        messages.append(answer)
    row = {"messages": messages, "add_generation_prompt": draw.random() < 0.5}
    if tools:
        row["tools"] = TOOLS
    return row


def children_cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=20000,
                        help="a template; below some thousands the start of the worker shows")
    parser.add_argument("--templates", nargs="*", default=TEMPLATES)
    options = parser.parse_args()
    folder = pathlib.Path(importlib.util.find_spec("trl").submodule_search_locations[0]) / "chat_templates"
    special = {"bos_token": "<s>", "eos_token": "</s>"}
    worst = float("inf")
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        (work / "model").mkdir()
        (work / "model/tokenizer_config.json").write_text(json.dumps(special))
        for template in options.templates:
            source = folder / f"{template}.jinja"
            draw = random.Random(7)
            rows = "".join(json.dumps(conversation(draw, template.startswith("deepseek")), ensure_ascii=False) + "\n"
                           for _ in range(options.conversations))
            (work / "rows.jsonl").write_text(rows, encoding="utf-8")
            (work / "model/chat_template.jinja").write_bytes(source.read_bytes())
            theirs = subprocess.run(
                [sys.executable, "-c", PEER, source, json.dumps(special), work / "rows.jsonl", work / "theirs"],
                check=True, capture_output=True, text=True)
            seconds, cpu = map(float, theirs.stdout.split())
            begin, begin_cpu = time.perf_counter(), children_cpu()
            with open(work / "rows.jsonl", "rb") as stream, open(work / "ours", "wb") as answers:
                subprocess.run([WORKER, "render", work / "model"], stdin=stream, stdout=answers, check=True)
            ours, our_cpu = time.perf_counter() - begin, children_cpu() - begin_cpu
            with open(work / "ours", encoding="utf-8") as left, open(work / "theirs", encoding="utf-8") as right:
                alike = all(json.loads(a) == json.loads(b) for a, b in zip(left, right, strict=True))
            assert alike, f"{template}: the texts differ"
            worst = min(worst, seconds / ours)
            size = len(rows.encode()) / options.conversations
            print(f"{template:12} {size:.0f} bytes: transformers {seconds * 1e6 / options.conversations:7.1f} us, "
                  f"masbak "
                  f"{ours * 1e6 / options.conversations:7.1f} us a conversation: {seconds / ours:5.1f} times as fast "
                  f"({cpu / our_cpu:.1f} by processor time)")
    print(f"rendering: at least {worst:.1f} times as fast as transformers, same texts")


if __name__ == "__main__":
    main()
