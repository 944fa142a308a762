"""`masbak-worker estimate` beside the measured peak of the run it speaks of (VmHWM, which counts mapped weights).

Run by hand, every run of the table, printed as one: the estimate is to be within 10 % of what is measured and never
more than 3 % below it. It is not yet (up to 57 % above and 30 % below, since loading gives pages back and experts
train by
groups), so that this is no test of CI.
"""
import json
import pathlib
import sys
import tempfile

import torch
from masbak_oracle import worker
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM, LlamaConfig, LlamaForCausalLM

ROOT = tempfile.TemporaryDirectory(prefix="masbak-estimate-")
FOLDER = pathlib.Path(ROOT.name)
MOST_ABOVE, MOST_BELOW = 0.10, 0.03


def deepseek(layers=6, hidden=512, experts=16, vocabulary=32000):
    return DeepseekV3ForCausalLM, DeepseekV3Config(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=4 * hidden, moe_intermediate_size=hidden,
        num_hidden_layers=layers, num_attention_heads=8, num_key_value_heads=8, n_shared_experts=1,
        n_routed_experts=experts, num_experts_per_tok=4, n_group=4, topk_group=2, kv_lora_rank=128, q_lora_rank=192,
        qk_rope_head_dim=32, qk_nope_head_dim=64, v_head_dim=64, first_k_dense_replace=1,
        max_position_embeddings=2048)


def llama(layers=10, hidden=768, vocabulary=32000):
    return LlamaForCausalLM, LlamaConfig(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=4 * hidden, num_hidden_layers=layers,
        num_attention_heads=12, num_key_value_heads=4, max_position_embeddings=2048)


MODELS = {"deepseek": deepseek, "llama": llama}


def model_folder(name, dtype):
    folder = FOLDER / f"{name}-{dtype}"
    if not folder.exists():
        kind, config = MODELS[name]()
        torch.manual_seed(0)
        kind(config).to(getattr(torch, dtype)).save_pretrained(folder)
    return folder


def rows(count, length, vocabulary=32000):
    generator = torch.Generator().manual_seed(length)
    for _ in range(count):
        ids = torch.randint(0, vocabulary, (length,), generator=generator).tolist()
        yield {"input_ids": ids, "labels": ids}


def measure(name, model, stored, dtype, targets, rank=16, batch=2, length=512, **training):
    data = FOLDER / f"rows-{length}.jsonl"
    if not data.exists():
        data.write_text("".join(json.dumps(row) + "\n" for row in rows(16, length)))
    file, job = FOLDER / f"{name}.yaml", FOLDER / name
    file.write_text(json.dumps({
        "model": str(model_folder(model, stored)), "dataset": {"train": str(data), "format": "tokens"},
        "adapter": {"r": rank, "target_modules": targets},
        "training": {"max_steps": 3, "per_device_train_batch_size": batch, "max_length": length, "packing": False,
                     "dtype": dtype, "save_steps": 100, **training}}))
    told = json.loads(worker("estimate", file).stdout)
    worker("train", file, "--out", job)
    result = json.loads((job / "result.json").read_text())
    measured = result["peak_memory_bytes"]
    return told, measured, result


#        name                     model       stored      run         targets
RUNS = [("deepseek-bf16",        "deepseek", "bfloat16", "bfloat16", ["attention"]),
        ("deepseek-f32-all",     "deepseek", "float32",  "float32",  ["all-linear"]),
        ("deepseek-bf16-long",   "deepseek", "bfloat16", "bfloat16", ["attention", "experts"], 16, 2, 1536),
        ("llama-bf16",           "llama",    "bfloat16", "bfloat16", ["all-linear"], 16, 4, 512)]
MORE = [("deepseek-f32",         "deepseek", "float32",  "float32",  ["attention"]),
        ("deepseek-up",          "deepseek", "bfloat16", "float32",  ["attention"]),
        ("deepseek-down",        "deepseek", "float32",  "bfloat16", ["attention"]),
        ("deepseek-rank-128",    "deepseek", "bfloat16", "bfloat16", ["attention", "experts"], 128, 2, 256),
        ("deepseek-batch-8",     "deepseek", "bfloat16", "bfloat16", ["attention"], 16, 8, 512),
        ("deepseek-short",       "deepseek", "bfloat16", "bfloat16", ["all-linear"], 8, 2, 64),
        ("llama-f32",            "llama",    "float32",  "float32",  ["attention"], 8, 2, 1024),
        ("llama-long",           "llama",    "bfloat16", "bfloat16", ["attention"], 64, 2, 1536)]
CHECKPOINTED = [("deepseek-checkpointed", ("deepseek", "bfloat16", "bfloat16", ["attention", "experts"], 16, 2, 1536)),
                ("llama-checkpointed", ("llama", "float32", "float32", ["all-linear"], 16, 4, 1024))]


def check(name, *arguments, **training):
    told, measured, result = measure(name, *arguments, **training)
    off = told["peak_memory_bytes"] / measured - 1
    speed = told["tokens_per_second"] / result["tokens_per_second"]
    print(f"{name:24s} measured {measured / 2**20:8.0f} MiB  estimate {told['peak_memory_bytes'] / 2**20:8.0f} MiB "
          f"({off:+6.1%})  speed told/measured {speed:.2f}", flush=True)
    if "--parts" in sys.argv:
        print({part: round(size / 2**20) for part, size in told["parts"].items()})
    return off


def assert_within(offs):
    bad = {name: off for name, off in offs.items() if off > MOST_ABOVE or off < -MOST_BELOW}
    assert not bad, f"outside -3 % … +10 %: {bad}"


def estimate_is_near_the_measured_peak():
    assert_within({run[0]: check(*run) for run in RUNS[:1] + RUNS[3:]})


def checkpointing_lowers_both():
    name, arguments = CHECKPOINTED[0]
    assert_within({"plain": check("plain", *arguments),
                   name: check(name, *arguments, gradient_checkpointing=True)})
    plain, less = (json.loads((FOLDER / job / "result.json").read_text()) for job in ("plain", name))
    assert less["peak_memory_bytes"] < 0.9 * plain["peak_memory_bytes"], "checkpointing saved nothing"
    assert less["loss"] == plain["loss"], "checkpointing changed the numbers"


def table():
    checkpointing_lowers_both()
    estimate_is_near_the_measured_peak()
    offs = {run[0]: check(*run) for run in RUNS + MORE}
    for name, arguments in CHECKPOINTED:
        offs[name] = check(name, *arguments, gradient_checkpointing=True)
    assert_within(offs)


if __name__ == "__main__":
    table()
