"""Memory while a sharded model is loaded: its resident pages, those of its own (anonymous) and those of mapped files,
sampled until the logits of one token are there. What is allowed is the weights as they are computed with, one shard,
and what the program itself takes (measured on `masbak-worker inspect`).

The demonstration model (581 MB in bfloat16) in shards of about 100 MB: as it is, which is mapped; computed in float32
and stored in float16, which is converted; and with one file a tensor for each expert, which is put together.

usage: load_memory.py [--write docs/performance.md]
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import torch
from safetensors.torch import load_file, save_file

sys.path.insert(0, os.path.join(os.environ["MASBAK_SOURCE"], "tests", "oracle"))
import masbak_oracle  # noqa: E402

SHARD = 100_000_000
FIELDS = ("VmHWM", "VmRSS", "RssAnon", "RssFile")


def shards(source, folder, change):
    """A copy of the model in shards, each tensor changed by `change` (name, tensor) -> [(name, tensor)]."""
    folder.mkdir()
    for file in source.iterdir():
        if file.suffix != ".safetensors" and file.name != "model.safetensors.index.json":
            shutil.copy(file, folder)
    state = [pair for file in sorted(source.glob("*.safetensors")) for name, tensor in load_file(file).items()
             for pair in change(name, tensor)]
    parts, size = [{}], 0
    for name, tensor in state:
        if size > 0 and size + tensor.nbytes > SHARD:
            parts.append({})
            size = 0
        parts[-1][name] = tensor.contiguous()
        size += tensor.nbytes
    index = {}
    for number, part in enumerate(parts, 1):
        file = f"model-{number:05}-of-{len(parts):05}.safetensors"
        save_file(part, folder / file, metadata={"format": "pt"})
        index.update(dict.fromkeys(part, file))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))


def status(pid):
    """The fields of /proc/PID/status in bytes; nothing once the process is gone."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {key: int(value.split()[0]) * 1024 for key, _, value in (line.partition(":") for line in lines)
            if key in FIELDS}


def watch(command):
    """Samples (seconds, fields) of a process, every 5 ms."""
    begin, samples = time.monotonic(), []
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
    while process.poll() is None:
        if found := status(process.pid):
            if len(found) == len(FIELDS):
                samples.append((time.monotonic() - begin, found))
        time.sleep(0.005)
    assert process.returncode == 0, command
    return samples


def peak(samples, field):
    return max(found[field] for _, found in samples)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", type=pathlib.Path)
    options = parser.parse_args()
    source = masbak_oracle.adopted()

    def experts_apart(name, tensor):
        stem, _, last = name.rpartition(".")
        if not stem.endswith(".experts"):
            return [(name, tensor)]
        if last == "down_proj":
            return [(f"{stem}.{i}.down_proj.weight", part) for i, part in enumerate(tensor)]
        return [(f"{stem}.{i}.{half}_proj.weight", part) for i, both in enumerate(tensor)
                for half, part in zip(("gate", "up"), both.chunk(2))]

    lines = ["## Memory while loading", "",
             "MB, in shards of about 100 MB; sampled every 5 ms until the logits of one token. Allowed: the weights as "
             "they are computed with, one shard, and the program.", "",
             "| stored, computed | weights | shard | program | allowed | peak | own pages | of files |",
             "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    story = []
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        tokens = work / "tokens.json"
        tokens.write_text("[[1]]")
        shards(source, work / "bfloat16", lambda name, tensor: [(name, tensor)])
        shards(source, work / "float16", lambda name, tensor: [(name, tensor.to(torch.float16))])
        shards(source, work / "experts apart", experts_apart)
        program = peak(watch([masbak_oracle.WORKER, "inspect", work / "bfloat16"]), "VmHWM")
        for folder, dtype, size in (("bfloat16", "bfloat16", 2), ("bfloat16", "float32", 4),
                                    ("float16", "float32", 4), ("experts apart", "bfloat16", 2)):
            files = [file.stat().st_size for file in (work / folder).glob("*.safetensors")]
            samples = watch([masbak_oracle.WORKER, "logits", work / folder, "--tokens", tokens, "--out",
                             work / "out.safetensors", "--dtype", dtype])
            weights = sum(files) * size // 2
            allowed = weights + max(files) + program
            top = peak(samples, "VmHWM")
            lines.append(f"| {folder}, {dtype} | {weights / 1e6:.0f} | {max(files) / 1e6:.0f} | {program / 1e6:.0f} | "
                         f"{allowed / 1e6:.0f} | **{top / 1e6:.0f}** | {peak(samples, 'RssAnon') / 1e6:.0f} | "
                         f"{peak(samples, 'RssFile') / 1e6:.0f} |")
            at = [samples[len(samples) * i // 8] for i in range(8)] + [samples[-1]]
            story.append(f"{folder}, {dtype}: " + ", ".join(
                f"{seconds:.2f} s {found['RssAnon'] / 1e6:.0f}+{found['RssFile'] / 1e6:.0f}" for seconds, found in at))
            if top > allowed:
                print(f"{folder}, {dtype}: {top / 1e6:.0f} MB are more than the {allowed / 1e6:.0f} allowed")
    print("\n".join(lines + [""] + story))
    if options.write:
        with open(options.write, "a", encoding="utf-8") as out:
            out.write("\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
