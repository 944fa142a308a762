"""Loading the demonstration model (581 MB in bfloat16) beside transformers: each side a process of its own that imports
first and is timed from the call that loads to the logits of one token, so that mapped weights are read too.

usage: load_vs_transformers.py [--repeat 5] [--write docs/performance.md]
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.environ["MASBAK_SOURCE"], "tests", "oracle"))
import masbak_oracle  # noqa: E402

THEIRS = """import sys, time, torch
from transformers import AutoModelForCausalLM
begin = time.perf_counter()
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.bfloat16)
with torch.no_grad():
    model(torch.tensor([[1]]))
print(time.perf_counter() - begin)
"""


def peak_of(command):
    """(standard output, peak resident bytes) of a process."""
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen([str(word) for word in command], stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, command
        out.seek(0)
        return out.read(), usage.ru_maxrss * 1024


def measure_masbak(model, folder):
    tokens = folder / "tokens.json"
    tokens.write_text("[[1]]")
    begin = time.perf_counter()
    _, peak = peak_of([masbak_oracle.WORKER, "logits", model, "--tokens", tokens, "--out", folder / "out.safetensors",
                       "--dtype", "bfloat16"])
    return time.perf_counter() - begin, peak  # the whole process: its start counts against us


def measure_transformers(model):
    text, peak = peak_of([sys.executable, "-c", THEIRS, model])
    return float(text.split()[-1]), peak


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--write", type=pathlib.Path)
    options = parser.parse_args()
    model = masbak_oracle.adopted()
    size = sum(file.stat().st_size for file in model.glob("*.safetensors"))
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.repeat + 1):  # in turn, so that a busy machine slows both; the first fills the cache
            ours.append(measure_masbak(model, pathlib.Path(folder)))
            theirs.append(measure_transformers(model))
    mine, yours = (statistics.median(seconds for seconds, _ in side[1:]) for side in (ours, theirs))
    lines = [
        "## Loading a model", "",
        f"{size / 1e6:.0f} MB in bfloat16, from the page cache, to the logits of one token; median of "
        f"{options.repeat}. Masbak's time is that of the whole process, transformers' begins after its imports.", "",
        "| | seconds | peak resident MB |", "| --- | --- | --- |",
        f"| masbak-worker | {mine:.2f} | {max(peak for _, peak in ours) / 1e6:.0f} |",
        f"| transformers | {yours:.2f} | {max(peak for _, peak in theirs) / 1e6:.0f} |", "",
        f"Masbak loads {yours / mine:.2f} times as fast.", ""]
    print("\n".join(lines))
    if options.write:
        with open(options.write, "a", encoding="utf-8") as out:
            out.write("\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
