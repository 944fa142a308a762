"""Trains from files of a growing number of rows and prints the memory that it takes: constant, whatever their size.

    million_rows.py [--rows 10000 100000 1000000] [--bytes 2000] [--model DIR] [--max-length 64] [--folder DIR]

For each file: its size, the seconds until the first step (reading, tokenising, packing), the same with the tokens of
the cache, and the peaks of RssAnon (what the process itself holds) and VmRSS (with mapped file pages, which the system
may take back at any time)."""
import argparse
import json
import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import time

BIN = pathlib.Path(os.environ["MASBAK_BIN"])
SOURCE = pathlib.Path(os.environ["MASBAK_SOURCE"])
WORDS = ("pump valve tank level pressure filter bearing seal motor drive gauge inlet outlet strainer lube oil check "
         "open close replace inspect torque before after shift report log vibration temperature high low normal alarm "
         "reset خزان مضخة ضغط صمام").split()


def make_file(path, rows, row_bytes, seed=0):
    """JSON Lines of format messages, about `row_bytes` bytes a row, each row another text."""
    chance = random.Random(seed)
    filler = [" ".join(chance.choices(WORDS, k=40)) for _ in range(500)]
    with open(path, "w", encoding="utf-8") as out:
        for row in range(rows):
            question = f"Report {row}?"
            answer = []
            while sum(map(len, answer)) < row_bytes * 0.85 - len(question):
                answer.append(chance.choice(filler))
            messages = [{"role": "user", "content": question},
                        {"role": "assistant", "content": f"{row} " + " ".join(answer)}]
            out.write(json.dumps({"messages": messages}, ensure_ascii=False) + "\n")


def memory_of(process):
    """RssAnon and VmRSS in bytes, 0 when the process is gone."""
    try:
        lines = pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    numbers = {line.split(":")[0]: int(line.split()[1]) << 10 for line in lines if line.endswith(" kB")}
    return numbers.get("RssAnon", 0), numbers.get("VmRSS", 0)


def train(model, data, folder, name, steps=5, max_length=64):
    """One run; {"anon": peak bytes, "rss": peak bytes, "start": seconds to the first step}."""
    run, job = folder / f"{name}.yaml", folder / name
    run.write_text(json.dumps({
        "model": str(model), "dataset": {"train": str(data)}, "adapter": {"r": 4, "target_modules": ["attention"]},
        "training": {"max_steps": steps, "per_device_train_batch_size": 1, "max_length": max_length}}))
    begin = time.monotonic()
    process = subprocess.Popen([BIN / "masbak-worker", "train", run, "--out", job], stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "MASBAK_CACHE": str(folder / "cache")})
    anon = rss = 0
    start = None
    while process.poll() is None:
        now = memory_of(process)
        anon, rss = max(anon, now[0]), max(rss, now[1])
        if start is None and (job / "events.jsonl").exists() and '"step"' in (job / "events.jsonl").read_text():
            start = time.monotonic() - begin
        time.sleep(0.02)
    assert process.returncode == 0, process.stderr.read()
    return {"anon": anon, "rss": rss, "start": start or time.monotonic() - begin}


def tiny_model(folder):
    gguf = SOURCE / "tests/models/checkpoint/golden/tiny-llama.gguf"
    subprocess.run([BIN / "masbak-worker", "adopt", gguf, "--family", "llama", "--out", folder], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return folder


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--bytes", type=int, default=2000)
    parser.add_argument("--model", type=pathlib.Path, help="a model folder; without it a tiny one")
    parser.add_argument("--max-length", type=int, default=64)
    parser.add_argument("--folder", type=pathlib.Path)
    options = parser.parse_args()
    folder = options.folder or pathlib.Path(tempfile.mkdtemp(prefix="masbak-rows-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        model = options.model or tiny_model(folder / "model")
        print("     rows   file MB   start s   again s   RssAnon MB   VmRSS MB")
        for rows in options.rows:
            data = folder / f"{rows}.jsonl"
            make_file(data, rows, options.bytes)
            first, again = (train(model, data, folder, f"{rows}-{name}", max_length=options.max_length)
                            for name in ("first", "again"))
            print(f"{rows:9d} {data.stat().st_size / 1e6:9.0f} {first['start']:9.1f} {again['start']:9.1f} "
                  f"{max(first['anon'], again['anon']) / 1e6:12.0f} {max(first['rss'], again['rss']) / 1e6:10.0f}",
                  flush=True)
            data.unlink()
    finally:
        if not options.folder:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
