"""A run that memory will not hold: refused with advice before it starts, and turned into advice when memory runs out
all the same. The limit is that of the process's address space (ulimit -v)."""
import json
import pathlib
import resource
import subprocess
import tempfile

from masbak_oracle import WORKER, main
from transformers import LlamaConfig, LlamaForCausalLM

ROOT = tempfile.TemporaryDirectory(prefix="masbak-limits-")
FOLDER = pathlib.Path(ROOT.name)
MIB = 1 << 20
# Few weights, and what a batch keeps is large: 4 rows of 2,048 tokens need more than 3 GiB.
MODEL = dict(vocab_size=300, hidden_size=64, intermediate_size=4096, num_hidden_layers=8, num_attention_heads=4,
             num_key_value_heads=4, max_position_embeddings=2048)


def run_file(name, **training):
    if not (FOLDER / "base").exists():
        LlamaForCausalLM(LlamaConfig(**MODEL)).save_pretrained(FOLDER / "base")
        rows = [[(7 * i + n) % 300 for i in range(2048)] for n in range(8)]
        (FOLDER / "rows.jsonl").write_text("".join(json.dumps({"input_ids": r, "labels": r}) + "\n" for r in rows))
    file = FOLDER / f"{name}.yaml"
    file.write_text(json.dumps({
        "model": "base", "dataset": {"train": "rows.jsonl", "format": "tokens"},
        "adapter": {"r": 4, "target_modules": ["all-linear"]},
        "training": {"max_steps": 1, "per_device_train_batch_size": 4, "max_length": 2048, "packing": False,
                     "dtype": "float32", **training}}))
    return file


def limited(limit_mib, *arguments):
    """masbak-worker with so much address space."""
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (limit_mib * MIB, limit_mib * MIB))
    return subprocess.run([str(WORKER), *map(str, arguments)], preexec_fn=limit, capture_output=True, text=True)


LIMIT = 3000  # of which the program's libraries take about a third


def result(job):
    return json.loads((job / "result.json").read_text())


def test_the_estimate_knows_the_limit():
    told = limited(LIMIT, "estimate", run_file("told"))
    assert told.returncode == 0, told.stderr
    told = json.loads(told.stdout)
    assert told["available_memory_bytes"] < LIMIT * MIB < told["peak_memory_bytes"] and not told["fits"], told
    assert json.loads(limited(16000, "estimate", FOLDER / "told.yaml").stdout)["fits"]


def test_a_run_that_does_not_fit_is_refused_with_advice():
    job = FOLDER / "refused"
    refused = limited(LIMIT, "train", run_file("refused"), "--out", job)
    assert refused.returncode != 0 and "RESOURCE_EXHAUSTED" in refused.stderr, refused.stderr
    for words in ("GiB are available", "per_device_train_batch_size (now 4)", "max_length (now 2048)",
                  "gradient_checkpointing: auto", "--ignore-memory-estimate"):
        assert words in refused.stderr, (words, refused.stderr)
    failed = result(job)
    assert failed["state"] == "failed" and failed["code"] == "RESOURCE_EXHAUSTED" and failed["step"] == 0, failed


def test_the_advice_helps():
    job = FOLDER / "advised"
    done = limited(LIMIT, "train", run_file("advised", per_device_train_batch_size=1, gradient_checkpointing="auto"),
                   "--out", job)
    assert done.returncode == 0, done.stderr
    assert result(job)["state"] == "finished"


def test_memory_that_runs_out_becomes_advice():
    job = FOLDER / "ran-out"
    failed = limited(LIMIT, "train", run_file("ran-out"), "--out", job, "--ignore-memory-estimate")
    assert failed.returncode == 1 or failed.returncode == 2, failed.returncode
    for words in ("RESOURCE_EXHAUSTED", "memory ran out", "per_device_train_batch_size", "gradient_checkpointing"):
        assert words in failed.stderr, (words, failed.stderr)
    last = json.loads((job / "events.jsonl").read_text().splitlines()[-1])
    assert last["type"] == "failed" and last["code"] == "RESOURCE_EXHAUSTED", last
    assert result(job)["state"] == "failed" and not (job / "adapter").exists()


if __name__ == "__main__":
    main(globals())
