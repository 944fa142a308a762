"""FP8 as DeepSeek publishes it, NF4 and int8, against torch, transformers and bitsandbytes; a model of 671 B
parameters described in seconds."""
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import bitsandbytes.functional as bnb
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.integrations.finegrained_fp8 import Fp8Dequantize

from masbak_oracle import WORKER, main, worker

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import big_folder  # noqa: E402

SCRATCH = tempfile.TemporaryDirectory()
ROOT = pathlib.Path(SCRATCH.name)
SIZES = dict(
    vocab_size=160, hidden_size=256, intermediate_size=384, moe_intermediate_size=128, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=4, n_shared_experts=1, n_routed_experts=8, num_experts_per_tok=3,
    n_group=4, topk_group=2, kv_lora_rank=64, q_lora_rank=96, qk_rope_head_dim=32, qk_nope_head_dim=40, v_head_dim=36,
    first_k_dense_replace=1, max_position_embeddings=64)
IDS = [[3, 1, 4, 1, 5, 9, 2, 6, 5, 35, 89, 79], [7]]


def small_model(folder, seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("deepseek_v3", **SIZES)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.06)
    model.to(dtype).save_pretrained(folder)
    return model


def logits(folder, *options, dtype="float32"):
    tokens, out = ROOT / "ids.json", ROOT / "out.safetensors"
    tokens.write_text(json.dumps(IDS))
    worker("logits", folder, "--tokens", tokens, "--out", out, "--dtype", dtype, *options)
    found = load_file(out)
    return [found[f"logits.{i}"] for i in range(len(IDS))]


def reference(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return [model(torch.tensor([ids])).logits[0] for ids in IDS]


def distance(found, expected):
    return max(((a - b).abs().max() / b.std()).item() for a, b in zip(found, expected))


def is_small(name):
    return "layers." in name and (name.endswith("_proj.weight") or name.endswith("_proj_with_mqa.weight"))


def blocks(weight, scale, size):
    """The product that DeepSeek's own weight_dequant makes, by torch."""
    spread = scale.repeat_interleave(size[0], 0).repeat_interleave(size[1], 1)
    return weight.float() * spread[:weight.shape[0], :weight.shape[1]]


def as_fp8(source, folder, size):
    """The folder with every projection in FP8; returns the weights that it then holds, in float32."""
    folder.mkdir()
    config = json.loads((source / "config.json").read_text())
    config["quantization_config"] = {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
                                     "weight_block_size": list(size)}
    (folder / "config.json").write_text(json.dumps(config))
    stored, whole = {}, {}
    for name, weight in load_file(source / "model.safetensors").items():
        if not is_small(name):
            stored[name] = whole[name] = weight
            continue
        rows, columns = (-(-n // b) for n, b in zip(weight.shape, size))
        scale = torch.rand(rows, columns) * 3e-3 + 1e-5
        spread = scale.repeat_interleave(size[0], 0).repeat_interleave(size[1], 1)[:weight.shape[0], :weight.shape[1]]
        stored[name] = (weight / spread).clamp(-448, 448).to(torch.float8_e4m3fn)
        stored[name + "_scale_inv"] = scale
        whole[name] = blocks(stored[name], scale, size)
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    return stored, whole


def merged_weights(folder, model, name):
    """Every weight widened by Masbak, through a merge with an adapter that changes nothing."""
    adapter = ROOT / f"adapter-{name}"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps(
        {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules": ["o_proj"], "task_type": "CAUSAL_LM"}))
    hidden, inner = SIZES["hidden_size"], SIZES["num_attention_heads"] * SIZES["v_head_dim"]
    zeros = {}
    for layer in range(SIZES["num_hidden_layers"]):
        key = f"base_model.model.model.layers.{layer}.self_attn.o_proj"
        zeros[f"{key}.lora_A.weight"] = torch.zeros(1, inner)
        zeros[f"{key}.lora_B.weight"] = torch.zeros(hidden, 1)
    save_file(zeros, adapter / "adapter_model.safetensors")
    worker("merge", folder, adapter, "--out", ROOT / f"merged-{name}")
    return load_file(ROOT / f"merged-{name}" / "model.safetensors")


def test_fp8_is_torchs_bit_by_bit():
    small_model(ROOT / "plain")
    for size in ((128, 128), (64, 32)):
        name = f"fp8-{size[0]}"
        stored, whole = as_fp8(ROOT / "plain", ROOT / name, size)
        found = merged_weights(ROOT / name, None, name)
        assert set(found) == set(whole)
        for key, weight in whole.items():
            assert torch.equal(found[key], weight), key
        for key in (key for key in whole if key + "_scale_inv" in stored):
            if all(n % b == 0 for n, b in zip(stored[key].shape, size)):  # what transformers itself can read
                theirs = Fp8Dequantize(None)._dequantize_one(stored[key], stored[key + "_scale_inv"], torch.float32)
                assert torch.equal(found[key], theirs), key
        expected = reference(ROOT / f"merged-{name}")
        for options in ((), ("--steps",)):
            away = distance(logits(ROOT / name, *options), expected)
            print(f"   fp8 {size} {options}: {away:.1e} of the logits' deviation")
            assert away < 2e-4


def test_damaged_scales_are_named():
    stored = load_file(ROOT / "fp8-128" / "model.safetensors")
    bad = ROOT / "bad"
    bad.mkdir()
    (bad / "config.json").write_text((ROOT / "fp8-128" / "config.json").read_text())
    key = "model.layers.1.mlp.experts.3.up_proj.weight"

    def refused(word, **changes):
        save_file({**stored, **changes}, bad / "model.safetensors", metadata={"format": "pt"})
        done = worker("logits", bad, "--tokens", ROOT / "ids.json", "--out", ROOT / "no", check=False)
        assert done.returncode == 2 and key in done.stderr and word in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1

    scale = stored[key + "_scale_inv"].clone()
    for value in (float("nan"), float("inf")):
        scale[0, 1] = value
        refused("no finite number", **{key + "_scale_inv": scale})
    codes = stored[key].view(torch.uint8).clone()
    codes[5, 7] = 0xff
    refused("not a number", **{key: codes.view(torch.float8_e4m3fn)})
    refused("does not fit", **{key + "_scale_inv": torch.ones(3, 3)})
    del stored[key + "_scale_inv"]
    refused("lack")


def by_hand(packed, parts, offset):
    """The numbers of an NF4 tensor by the scheme's definition: blocks of 64 in the order of the rows."""
    nested = parts["nested_absmax"].repeat_interleave(256)[:parts["absmax"].numel()]
    absmax = parts["nested_quant_map"][parts["absmax"].long()] * nested + offset
    codes = torch.stack([packed.flatten() >> 4, packed.flatten() & 15], 1).flatten().long()
    return parts["quant_map"][codes] * absmax.repeat_interleave(64)[:codes.numel()]


def test_nf4_is_bitsandbytes():
    small_model(ROOT / "bf16", seed=1, dtype=torch.bfloat16)
    print("  ", worker("quantize", ROOT / "bf16", "--to", "nf4", "--out", ROOT / "nf4").stdout.strip())
    plain, stored = load_file(ROOT / "bf16" / "model.safetensors"), load_file(ROOT / "nf4" / "model.safetensors")
    found = merged_weights(ROOT / "nf4", None, "nf4")
    codes = different = 0
    for key, weight in plain.items():
        if not is_small(key):
            assert torch.equal(stored[key], weight), key
            continue
        packed, state = bnb.quantize_4bit(weight.float(), blocksize=64, compress_statistics=True, quant_type="nf4")
        for part, theirs in state.as_dict(packed=True).items():
            if part in ("quant_map", "nested_quant_map"):
                assert torch.allclose(stored[f"{key}.{part}"], theirs, atol=1e-7), part
        codes += packed.numel()
        different += (stored[key] != packed).sum().item()
        # bitsandbytes reads our file, and makes of it what we make
        parts = {part[len(key) + 1:]: value for part, value in stored.items() if part.startswith(key + ".")}
        read = bnb.QuantState.from_dict(dict(parts), device="cpu")
        ours = by_hand(stored[key], parts, read.offset).view(weight.shape)
        assert torch.equal(found[key], ours.to(found[key].dtype)), key
        # bitsandbytes 0.50.2 counts blocks by rows on a CPU, right only where these are whole blocks
        if weight.shape[1] % 64:
            continue
        assert torch.equal(found[key], bnb.dequantize_4bit(stored[key], read)), key
        theirs = bnb.dequantize_4bit(packed, state)
        mine, yours = (ours.float() - weight.float()).norm(), (theirs.float() - weight.float()).norm()
        assert mine <= 1.001 * yours, key
    print(f"   {different} of {codes} bytes of codes differ from bitsandbytes'")
    assert different <= 1e-4 * codes
    expected = reference(ROOT / "merged-nf4")
    assert distance(logits(ROOT / "nf4", dtype="bfloat16"), expected) < 0.2


def test_int8_is_within_half_a_step():
    worker("quantize", ROOT / "plain", "--to", "int8", "--out", ROOT / "int8")
    plain, found = load_file(ROOT / "plain" / "model.safetensors"), merged_weights(ROOT / "int8", None, "int8")
    for key, weight in plain.items():
        step = weight.abs().amax(-1, keepdim=True) / 127 if is_small(key) else 0 * weight
        assert ((found[key] - weight).abs() <= 0.5001 * step + 1e-9).all(), key
    for options in ((), ("--steps",)):
        assert distance(logits(ROOT / "int8", *options), reference(ROOT / "merged-int8")) < 2e-4


def test_fp8_quantises_to_nf4_and_small_models_not_again():
    worker("quantize", ROOT / "fp8-128", "--to", "nf4", "--out", ROOT / "from-fp8")
    assert json.loads(worker("inspect", ROOT / "from-fp8").stdout)["dtype"] == "nf4"
    done = worker("quantize", ROOT / "nf4", "--to", "int8", "--out", ROOT / "twice", check=False)
    assert done.returncode == 2 and "quantised already" in done.stderr and not (ROOT / "twice").exists()


def test_qlora_learns():
    rows = [{"input_ids": ids, "labels": ids} for ids in (IDS[0], IDS[0][::-1], [9, 8, 7, 6, 5, 4])]
    (ROOT / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    losses = {}
    for base in ("nf4", "merged-nf4"):
        run = ROOT / f"{base}.yaml"
        run.write_text(json.dumps({
            "model": str(ROOT / base), "dataset": {"train": str(ROOT / "rows.jsonl"), "format": "tokens"},
            "adapter": {"r": 4, "lora_alpha": 8, "target_modules": ["attention", "experts", "shared_experts"]},
            "training": {"max_steps": 12, "learning_rate": 1e-2, "per_device_train_batch_size": 3, "max_length": 32,
                         "dtype": "float32", "seed": 1, "warmup_ratio": 0.0, "lr_scheduler_type": "constant"}}))
        worker("train", run, "--out", ROOT / f"job-{base}")
        events = [json.loads(line) for line in (ROOT / f"job-{base}" / "events.jsonl").read_text().splitlines()]
        losses[base] = [event["loss"] for event in events if event["type"] == "step"]
    print("   loss", losses["nf4"][0], "to", losses["nf4"][-1])
    assert losses["nf4"][-1] < 0.7 * losses["nf4"][0]
    # The base with its weights widened: in bfloat16 in the file, so the first steps agree up to that rounding.
    assert all(abs(a - b) < 0.02 * b for a, b in zip(losses["nf4"][:3], losses["merged-nf4"][:3])), losses


def test_671_billion_parameters():
    big_folder.write(ROOT / "big")
    (ROOT / "big.yaml").write_text(json.dumps({"model": str(ROOT / "big"), "dataset": {"train": "rows.jsonl"}}))
    for command in (["inspect", ROOT / "big"], ["plan", ROOT / "big.yaml"]):
        begin = time.monotonic()
        done = subprocess.run(["/usr/bin/env", "python3", "-c", MEASURE, WORKER, *command], capture_output=True,
                              text=True)
        assert done.returncode == 0, done.stderr
        peak = int(done.stderr.strip().splitlines()[-1])
        print(f"   {command[0]}: {time.monotonic() - begin:.1f} s, {peak / 1e6:.2f} GB")
        assert peak < 1_000_000
        if command[0] == "inspect":
            found = json.loads(done.stdout)
            assert found["family"] == "deepseek_v3" and 670e9 < found["parameters"] < 672e9
            assert found["dtype"] == "float8_e4m3fn" and found["digest"] is None and any(
                "--digest" in note for note in found["notes"])
        else:
            assert json.loads(done.stdout)["trainable_parameters"] > 0


MEASURE = """import resource, subprocess, sys
done = subprocess.run(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(done.returncode)"""

if __name__ == "__main__":
    main(globals())
