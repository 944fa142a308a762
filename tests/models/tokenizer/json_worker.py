"""Runs masbak-worker with JSON lines. MASBAK_BIN is its folder, MASBAK_WORKER another program to take instead."""

import json
import os
import subprocess

WORKER = os.environ.get("MASBAK_WORKER", os.path.join(os.environ.get("MASBAK_BIN", "build/bin"), "masbak-worker"))


def run(arguments, rows):
    """The finished process for these rows, and what it answered."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    done = subprocess.run([WORKER, *map(str, arguments)], input=lines.encode(), capture_output=True, check=False)
    # Not splitlines: U+2028 may stand in an answer.
    return done, [json.loads(line) for line in done.stdout.decode().split("\n") if line]


def answers(arguments, rows):
    """One answer a row; anything else is a failure."""
    done, got = run(arguments, rows)
    assert done.returncode == 0, done.stderr.decode()
    assert len(got) == len(rows), (len(got), len(rows))
    return got
