"""Adapters against PEFT: it reads what we write, we read what it writes, and both give the same logits; merging too."""
import json
import pathlib
import sys
import tempfile

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import DeepseekV3ForCausalLM

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import small_deepseek as small
from masbak_oracle import main, worker

TOLERANCE = 1e-3  # of the logits' standard deviation, float32
ROOT = tempfile.TemporaryDirectory(prefix="masbak-peft-")
FOLDER = pathlib.Path(ROOT.name)
TOKENS = [[5, 9, 2, 77, 140, 3, 8], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]]


def our_logits(model, adapter=None):
    tokens, out = FOLDER / "tokens.json", FOLDER / "logits.safetensors"
    tokens.write_text(json.dumps(TOKENS))
    options = ["--adapter", adapter] if adapter else []
    worker("logits", model, "--tokens", tokens, "--out", out, "--dtype", "float32", *options)
    tensors = load_file(out)
    return [tensors[f"logits.{i}"] for i in range(len(TOKENS))]


@torch.no_grad()
def their_logits(model):
    return [model(torch.tensor([ids])).logits[0] for ids in TOKENS]


def assert_close(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        worst = ((a - b).abs().max() / b.std()).item()
        assert worst < TOLERANCE, f"logits differ by {worst} of their standard deviation"


def assert_differ(ours, others):
    assert any((a - b).abs().max() > 0.05 * b.std() for a, b in zip(ours, others)), "the adapter changes nothing"


def our_adapter(model, targets, name, **adapter):
    """An adapter that our trainer wrote, after a few steps at a high rate."""
    rows, run = FOLDER / f"{name}.jsonl", FOLDER / f"{name}.yaml"
    small.write_rows(rows, small.random_rows(8, seed=3))
    config = {"model": str(model), "dataset": {"train": str(rows), "format": "tokens"},
              "adapter": {"r": 4, "lora_alpha": 8, "target_modules": targets, **adapter},
              "training": {"learning_rate": 0.02, "lr_scheduler_type": "constant", "max_steps": 6, "dtype": "float32",
                           "per_device_train_batch_size": 4}}
    run.write_text(json.dumps(config))
    worker("train", run, "--out", FOLDER / name)
    return FOLDER / name / "adapter"


def test_reads_what_peft_writes():
    for targets in small.TARGETS:
        for options in ({}, {"use_rslora": True}):
            folder, adapter = FOLDER / "base", FOLDER / f"peft-{targets}-{len(options)}"
            base = small.base_model(folder)
            plain = their_logits(base)
            model = small.peft_model(base, targets, random_b=True, **options)
            theirs = their_logits(model)
            model.save_pretrained(adapter)
            assert_close(our_logits(folder, adapter), theirs)
            assert_differ(theirs, plain)


def test_peft_reads_what_we_write():
    for targets in (["attention"], ["experts"], ["all-linear"], ["shared_experts", "router"]):
        name = "ours-" + "-".join(targets)
        folder = FOLDER / "base"
        base = small.base_model(folder)
        plain = their_logits(base)
        adapter = our_adapter(folder, targets, name)
        ours = our_logits(folder, adapter)
        assert_differ(ours, plain)
        assert_close(ours, their_logits(PeftModel.from_pretrained(base, adapter).eval()))


def test_merging_gives_the_logits_of_base_and_adapter():
    folder, adapter, out = FOLDER / "base", FOLDER / "to-merge", FOLDER / "merged"
    base = small.base_model(folder)
    small.peft_model(base, "everything", random_b=True).save_pretrained(adapter)
    worker("merge", folder, adapter, "--out", out)
    assert_close(our_logits(out), our_logits(folder, adapter))
    reference = DeepseekV3ForCausalLM.from_pretrained(out, dtype=torch.float32, attn_implementation="eager").eval()
    assert_close(our_logits(out), their_logits(reference))


def test_check_names_a_tensor_too_many():
    folder, adapter = FOLDER / "base", FOLDER / "too-many"
    base = small.base_model(folder)
    small.peft_model(base, "everything").save_pretrained(adapter)
    found = json.loads(worker("check", adapter, "--model", folder).stdout)
    assert len(found["tensors"]) == 2 * (3 * 5 + 3 + 2 * (1 + 2 + 3)), len(found["tensors"])
    config = json.loads((adapter / "adapter_config.json").read_text())
    config["target_modules"] = [name for name in config["target_modules"] if name != "o_proj"]
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    refused = worker("check", adapter, "--model", folder, check=False)
    assert refused.returncode == 2 and "o_proj" in refused.stderr, refused.stderr


if __name__ == "__main__":
    main(globals())
