"""A run of the worker on one, two and three threads, and twice with one seed: two runs are the same bit for bit, and
the number of threads changes no more than the rounding of sums.

Rounding, stated: in float32 1e-5 of a loss and 1e-4 of an adapter's largest number; in bfloat16, which keeps 8 bits,
2e-2 of a loss."""
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "adapters"))
import small_deepseek as small
from masbak_oracle import WORKER, main

ROOT = tempfile.TemporaryDirectory(prefix="masbak-threads-")
FOLDER = pathlib.Path(ROOT.name)
RUNS = {}


def train(threads, dtype, batch, again=0, **adapter):
    """(losses, adapter file) of six steps; rows are long enough to be divided among the threads."""
    key = (threads, dtype, batch, again, json.dumps(adapter))
    if key in RUNS:
        return RUNS[key]
    model, data, job = FOLDER / "base", FOLDER / "train.jsonl", FOLDER / f"job-{len(RUNS)}"
    if not model.exists():
        small.base_model(model, max_position_embeddings=512)
        generator = torch.Generator().manual_seed(3)
        rows = [torch.randint(0, 160, (length,), generator=generator).tolist() for length in (301, 290, 320, 333) * 3]
        small.write_rows(data, [{"input_ids": row, "labels": row} for row in rows])
    run = FOLDER / "run.yaml"
    run.write_text(json.dumps({
        "model": "base", "dataset": {"train": "train.jsonl", "format": "tokens"},
        "adapter": {"r": 4, "target_modules": ["attention", "experts"], **adapter},
        "training": {"learning_rate": 0.005, "max_steps": 6, "per_device_train_batch_size": batch, "packing": False,
                     "dtype": dtype, "max_length": 512, "save_steps": 1000}}))
    subprocess.run([WORKER, "train", run, "--out", job], check=True, stderr=subprocess.PIPE,
                   env={**os.environ, "OMP_NUM_THREADS": str(threads)})
    events = [json.loads(line) for line in (job / "events.jsonl").read_text().splitlines()]
    losses = [event["loss"] for event in events if event["type"] == "step"]
    RUNS[key] = (losses, job / "adapter" / "adapter_model.safetensors")
    return RUNS[key]


def compare(one, other, of_loss, of_adapter):
    worst = max(abs(a - b) / a for a, b in zip(one[0], other[0], strict=True))
    assert worst < of_loss, (one[0], other[0])
    left, right = load_file(one[1]), load_file(other[1])
    assert left.keys() == right.keys()
    apart = max((left[key].float() - right[key].float()).abs().max().item() for key in left)
    largest = max(tensor.float().abs().max().item() for tensor in left.values())
    print(f"largest difference of a loss {worst:.1e}, of the adapter {apart / largest:.1e}")
    assert of_adapter is None or apart < of_adapter * largest, apart / largest


def test_threads_change_only_rounding():
    for threads in (2, 3):  # batches of four: two threads take two rows each, three threads share every product
        compare(train(1, "float32", 4), train(threads, "float32", 4), 1e-5, 1e-4)
    compare(train(1, "float32", 1), train(2, "float32", 1), 1e-5, 1e-4)


def test_threads_change_only_rounding_in_bfloat16():
    compare(train(1, "bfloat16", 4), train(2, "bfloat16", 4), 2e-2, None)


def test_dropout_is_the_same_on_any_number_of_threads():
    options = {"lora_dropout": 0.2, "target_modules": ["attention"]}  # PEFT has no dropout on fused experts
    compare(train(1, "float32", 4, **options), train(2, "float32", 4, **options), 1e-5, 1e-4)


def test_two_runs_are_bit_identical():
    for threads, dtype, batch in ((2, "float32", 4), (2, "bfloat16", 4), (2, "bfloat16", 1), (3, "bfloat16", 4)):
        first, second = train(threads, dtype, batch), train(threads, dtype, batch, again=1)
        assert first[0] == second[0], (threads, dtype)
        digests = [hashlib.sha256(run[1].read_bytes()).hexdigest() for run in (first, second)]
        assert digests[0] == digests[1], (threads, dtype, batch)


if __name__ == "__main__":
    main(globals())
