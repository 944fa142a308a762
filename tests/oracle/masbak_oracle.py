"""What the oracle tests share: the built programs and the demonstration models."""
import fcntl
import glob
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

BIN = pathlib.Path(os.environ["MASBAK_BIN"])
SOURCE = pathlib.Path(os.environ["MASBAK_SOURCE"])
CACHE = pathlib.Path(os.environ.get("MASBAK_CACHE") or pathlib.Path.home() / ".cache" / "masbak")
WORKER = BIN / "masbak-worker"


def smollm2_gguf():
    """The GGUF file of SmolLM2-135M-Instruct, which installer/install fetched."""
    found = glob.glob(str(CACHE / "smollm2" / "*.gguf"))
    assert found, "run installer/install first: it fetches SmolLM2"
    return found[0]


def worker(*arguments, input=None, check=True):
    """Runs masbak-worker and returns the finished process (text)."""
    done = subprocess.run([str(WORKER), *map(str, arguments)], input=input, capture_output=True, text=True)
    if check and done.returncode != 0:
        raise AssertionError(f"masbak-worker {arguments} ended with {done.returncode}: {done.stderr}")
    return done


def adopted(family="deepseek_v3", dtype="bfloat16"):
    """The demonstration model, adopted once a build and shared by the tests."""
    folder = BIN.parent / "test-data" / f"smollm2-{family}-{dtype}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            options = ["--experts", 4, "--top-k", 2, "--shared", 768] if family == "deepseek_v3" else []
            worker("adopt", smollm2_gguf(), "--family", family, *options, "--dtype", dtype, "--out", folder)
    return folder


class Served:
    """A running `masbak-worker serve`, ended by its process id on exit."""

    def __init__(self, model, *arguments):
        command = [WORKER, "serve", model, "--listen", "127.0.0.1:0", *arguments]
        self.process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        line = self.process.stdout.readline()
        assert line, "masbak-worker serve ended before it listened"
        self.address = json.loads(line)["listening"]
        return self

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait(60) == 0, "the server did not end cleanly"


def main(namespace):
    """Runs every function test_* of a file and prints what passed; the file fails on the first exception."""
    tests = [(name, value) for name, value in namespace.items() if name.startswith("test_") and callable(value)]
    for name, test in tests:
        begin = time.monotonic()
        test()
        print(f"ok {name} ({time.monotonic() - begin:.1f} s)", flush=True)
    print(f"{len(tests)} passed")
    assert tests, "no test in this file"
