"""Adapters against PEFT: it reads what we write, we read what it writes, and both give the same logits; merging too."""
import json
import pathlib
import sys
import tempfile

import torch
from peft import LoraConfig, PeftModel, get_peft_model
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


# LoraConfig's options by name of the case.
PEFT_OPTIONS = {
    "dora": dict(target_modules=small.ATTENTION, use_dora=True),
    "dora-embedding": dict(target_modules=["q_b_proj", "embed_tokens"], use_dora=True),
    "embedding-and-head": dict(target_modules=["q_b_proj", "embed_tokens", "lm_head"]),
    "whole-copies": dict(target_modules=["o_proj"], modules_to_save=["embed_tokens", "lm_head", "mlp.gate"]),
    "bias-of-b": dict(target_modules=["q_b_proj", "o_proj"], lora_bias=True),
    "layers": dict(target_modules=["o_proj", "q_b_proj"], layers_to_transform=[1, 2], layers_pattern="layers"),
    "patterns": dict(target_modules=["o_proj", "q_b_proj", "kv_b_proj"], exclude_modules=["layers.0.self_attn.o_proj"],
                     rank_pattern={"^model.layers.1.self_attn.o_proj": 7, "o_proj": 3}, alpha_pattern={"q_b_proj": 1}),
}


def test_reads_every_option_of_peft():
    folder = FOLDER / "base"
    for name, options in PEFT_OPTIONS.items():
        base, adapter = small.base_model(folder), FOLDER / f"peft-{name}"
        plain = their_logits(base)
        torch.manual_seed(1)
        model = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", **options)).eval()
        with torch.no_grad():
            for key, tensor in model.named_parameters():
                if tensor.requires_grad:
                    tensor.add_(0.1 * torch.randn_like(tensor))
        theirs = their_logits(model)
        model.save_pretrained(adapter)
        assert_close(our_logits(folder, adapter), theirs)
        assert_differ(theirs, plain)


def test_peft_reads_every_option_of_ours():
    folder = FOLDER / "base"
    for name, options in {
            "dora": dict(use_dora=True), "pissa": dict(init_lora_weights="pissa"),
            "pissa-fast": dict(init_lora_weights="pissa_niter_4", use_rslora=True),
            "whole-copies": dict(modules_to_save=["embed_tokens", "lm_head"]),
            "layers": dict(layers_to_transform=[1], rank_pattern={"o_proj": 6}, alpha_pattern={"q_b_proj": 3}),
            "bias-of-b": dict(target_modules=["q_b_proj", "o_proj"], lora_bias=True)}.items():
        base = small.base_model(folder)
        plain = their_logits(base)
        adapter = our_adapter(folder, options.pop("target_modules", ["attention"]), f"ours-{name}", **options)
        ours = our_logits(folder, adapter)
        assert_differ(ours, plain)
        assert_close(ours, their_logits(PeftModel.from_pretrained(base, adapter).eval()))
    base = small.base_model(folder)
    adapter = our_adapter(folder, ["q_b_proj", "embed_tokens", "lm_head"], "ours-embedding")
    assert_close(our_logits(folder, adapter), their_logits(PeftModel.from_pretrained(base, adapter).eval()))


def test_reads_what_older_versions_of_peft_wrote():
    small.base_model(FOLDER / "base")
    folders = sorted((pathlib.Path(__file__).resolve().parent / "golden").glob("peft-*"))
    assert len(folders) == 3, folders
    for folder in folders:
        theirs = load_file(folder / "logits.safetensors")
        assert_close(our_logits(FOLDER / "base", folder), [theirs[f"logits.{i}"] for i in range(len(TOKENS))])


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


def test_merging_keeps_doras_norms_and_whole_copies():
    folder = FOLDER / "base"
    for name in ("dora", "whole-copies", "embedding-and-head"):
        out = FOLDER / f"merged-{name}"
        worker("merge", folder, FOLDER / f"peft-{name}", "--out", out)
        assert_close(our_logits(out), our_logits(folder, FOLDER / f"peft-{name}"))


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
