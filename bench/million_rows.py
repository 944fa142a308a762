"""Trains from files of a growing number of rows and prints the memory that it takes: constant, whatever their size.

    million_rows.py [--rows 10000 100000 1000000] [--bytes 2000] [--bad 1000] [--steps 5] [--model DIR]
                    [--max-length 64] [--folder DIR]

Each file has a bad row in every `--bad` rows. For each: its size, the seconds until the first step (reading,
tokenising, packing), the same with the tokens of the cache, and the peaks of RssAnon (what the process itself holds)
and VmRSS (with mapped file pages, which the system may take back at any time). Then where the rows are: those trained
on, and those named with line and field in dataset_problems.jsonl, must be all."""
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


# What a bad row is like, one after the other.
BAD_ROWS = ['{"messages": [{"role": "user", "content": "torn', '{"messages": []}', '{"text": 5}', "[]",
            '{"messages": [{"role": "user", "content": "no answer"}]}',
            '{"messages": [{"role": "wizard", "content": "a"}, {"role": "assistant", "content": "b"}]}']


def make_file(path, rows, row_bytes, bad=0, seed=0):
    """JSON Lines of format messages, about `row_bytes` bytes a row, each row another text; the lines of bad ones."""
    chance = random.Random(seed)
    filler = [" ".join(chance.choices(WORDS, k=40)) for _ in range(500)]
    bad_lines = set()
    with open(path, "w", encoding="utf-8") as out:
        for row in range(rows):
            if bad and row % bad == bad - 1:
                bad_lines.add(row + 1)
                out.write(BAD_ROWS[row // bad % len(BAD_ROWS)] + "\n")
                continue
            question = f"Report {row}?"
            answer = []
            while sum(map(len, answer)) < row_bytes * 0.85 - len(question):
                answer.append(chance.choice(filler))
            messages = [{"role": "user", "content": question},
                        {"role": "assistant", "content": f"{row} " + " ".join(answer)}]
            out.write(json.dumps({"messages": messages}, ensure_ascii=False) + "\n")
    return bad_lines


def account(job, rows, bad_lines):
    """Rows in = rows trained on + rows named; the named ones are the bad ones, each once."""
    started = next(json.loads(line) for line in (job / "events.jsonl").open() if '"type":"started"' in line)
    trained = sum(started["rows"].values())
    left_out, cut = [], 0
    if (job / "dataset_problems.jsonl").exists():
        for line in (job / "dataset_problems.jsonl").open():
            note = json.loads(line)
            assert note["message"], note
            if note["kind"] == "truncated":
                cut += 1
            else:
                left_out.append(note["line"])
    assert sorted(left_out) == sorted(bad_lines), "other rows are named than are bad"
    assert rows == trained + len(left_out), f"{rows} rows in, {trained} trained on, {len(left_out)} named"
    return (f"{rows} rows in = {trained} trained on ({cut} of them cut at max_length, which are named) + "
            f"{len(left_out)} bad ones, named")


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
    parser.add_argument("--bad", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=5)
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
            bad_lines = make_file(data, rows, options.bytes, options.bad)
            first, again = (train(model, data, folder, f"{rows}-{name}", options.steps, options.max_length)
                            for name in ("first", "again"))
            print(f"{rows:9d} {data.stat().st_size / 1e6:9.0f} {first['start']:9.1f} {again['start']:9.1f} "
                  f"{max(first['anon'], again['anon']) / 1e6:12.0f} {max(first['rss'], again['rss']) / 1e6:10.0f}",
                  flush=True)
            print("          " + account(folder / f"{rows}-first", rows, bad_lines), flush=True)
            data.unlink()
    finally:
        if not options.folder:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
