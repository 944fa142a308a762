"""Small random models of every family and variant against transformers: logits of whole prompts, logits token by token
with the cache, and the refusal of what is not implemented."""
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import torch
from safetensors.torch import load_file, save_file
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM, LlamaConfig, LlamaForCausalLM

WORKER = pathlib.Path(os.environ["MASBAK_BIN"]) / "masbak-worker"
TOLERANCE = 2e-4  # of the logits' standard deviation, float32
SEEDS = (0, 1, 2)
LENGTHS = (1, 5, 40, 70)

DEEPSEEK = dict(
    vocab_size=160, hidden_size=48, intermediate_size=80, moe_intermediate_size=24, num_hidden_layers=3,
    num_attention_heads=4, num_key_value_heads=4, n_shared_experts=1, n_routed_experts=8, num_experts_per_tok=3,
    n_group=4, topk_group=2, kv_lora_rank=20, q_lora_rank=28, qk_rope_head_dim=12, qk_nope_head_dim=18, v_head_dim=14,
    first_k_dense_replace=1, max_position_embeddings=64, rms_norm_eps=1e-5, routed_scaling_factor=2.5)
LLAMA = dict(
    vocab_size=160, hidden_size=48, intermediate_size=72, num_hidden_layers=3, num_attention_heads=6,
    num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5)


def longrope(count, original):
    generator = torch.Generator().manual_seed(7)
    short, long = (torch.rand(2, count, generator=generator) * 3 + 1).tolist()
    return {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": short, "long_factor": long,
            "original_max_position_embeddings": original}


YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32,
        "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 0.7}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 5000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32}
WIDE = {"max_position_embeddings": 128}

VARIANTS = {
    "deepseek": ("deepseek_v3", {}),
    "deepseek_plain_queries": ("deepseek_v3", {"q_lora_rank": None}),
    "deepseek_halves": ("deepseek_v3", {"rope_interleave": False, "q_lora_rank": None}),
    "deepseek_bias": ("deepseek_v3", {"attention_bias": True}),
    "deepseek_one_group": ("deepseek_v3", {"n_group": 1, "topk_group": 1, "norm_topk_prob": False}),
    "deepseek_all_groups": ("deepseek_v3", {"n_group": 2, "topk_group": 2, "n_shared_experts": 3}),
    "deepseek_yarn": ("deepseek_v3", {"rope_parameters": YARN, **WIDE}),
    "deepseek_longrope": ("deepseek_v3", {"rope_parameters": longrope(6, 32), **WIDE, "rope_interleave": False}),
    "deepseek_tied": ("deepseek_v3", {"tie_word_embeddings": True, "first_k_dense_replace": 0}),
    "deepseek_wide_values": ("deepseek_v3", {"v_head_dim": 40, "first_k_dense_replace": 2}),
    "deepseek_all_dense": ("deepseek_v3", {"first_k_dense_replace": 3}),
    "llama": ("llama", {}),
    "llama_multi_head": ("llama", {"num_key_value_heads": 6, "attention_bias": True, "mlp_bias": True}),
    "llama_head_size": ("llama", {"head_dim": 16, "tie_word_embeddings": True}),
    "llama_linear": ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.5}}),
    "llama_dynamic": ("llama", {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}}),
    "llama_yarn": ("llama", {"rope_parameters": {k: v for k, v in YARN.items() if "mscale" not in k}, **WIDE}),
    "llama_longrope": ("llama", {"rope_parameters": longrope(4, 32), **WIDE}),
    "llama3": ("llama", {"rope_parameters": LLAMA3, **WIDE}),
}


def build(family, changes, seed):
    torch.manual_seed(seed)
    if family == "deepseek_v3":
        model = DeepseekV3ForCausalLM(DeepseekV3Config(**{**DEEPSEEK, **changes}))
    else:
        model = LlamaForCausalLM(LlamaConfig(**{**LLAMA, **changes}))
    with torch.no_grad():
        for name, tensor in itertools.chain(model.named_parameters(), model.named_buffers()):
            if "inv_freq" in name:
                continue
            if "norm" in name:
                tensor.copy_(1 + 0.3 * torch.randn_like(tensor))
            elif tensor.dim() == 1:
                tensor.copy_(0.3 * torch.randn_like(tensor))
            else:
                tensor.copy_(torch.randn_like(tensor) * (1.0 if "embed" in name else tensor.shape[-1] ** -0.5))
    return model.eval()


def sequences(model, seed):
    generator = torch.Generator().manual_seed(100 + seed)
    fitting = [n for n in LENGTHS if n <= model.config.max_position_embeddings]
    return [torch.randint(0, model.config.vocab_size, (n,), generator=generator).tolist() for n in fitting]


def worker_logits(folder, ids, *options):
    tokens, out = folder / "tokens.json", folder / "out.safetensors"
    tokens.write_text(json.dumps(ids))
    result = subprocess.run([WORKER, "logits", folder, "--tokens", tokens, "--out", out, *options],
                            capture_output=True, text=True)
    if result.returncode != 0:
        raise AssertionError(result.stderr)
    tensors = load_file(out)
    return [tensors[f"logits.{i}"] for i in range(len(ids))]


class Reference(unittest.TestCase):
    def compare(self, model, folder, ids, *options, stepwise=False):
        worst = 0.0
        for found, sequence in zip(worker_logits(folder, ids, *options), ids):
            with torch.no_grad():
                if stepwise:
                    cache, rows = None, []
                    for token in sequence:
                        step = model(torch.tensor([[token]]), past_key_values=cache, use_cache=True)
                        cache = step.past_key_values
                        rows.append(step.logits[0, -1])
                    wanted = torch.stack(rows)
                else:
                    wanted = model(torch.tensor([sequence])).logits[0]
            worst = max(worst, float((found - wanted).abs().max() / wanted.std()))
        self.assertLess(worst, TOLERANCE)
        return worst

    def test_variants(self):
        for (name, (family, changes)), seed in itertools.product(VARIANTS.items(), SEEDS):
            with self.subTest(variant=name, seed=seed), tempfile.TemporaryDirectory() as folder:
                folder = pathlib.Path(folder)
                model = build(family, changes, seed)
                model.save_pretrained(folder)
                ids = sequences(model, seed)
                whole = self.compare(model, folder, ids)
                # Where angles depend on the length, transformers itself differs between a prompt and its steps.
                steps = self.compare(model, folder, ids[:3], "--steps", stepwise=True)
                print(f"{name} seed {seed}: prompt {whole:.1e}, steps {steps:.1e}", file=sys.stderr)

    def test_older_files(self):
        """rope_scaling with rope_theta beside it, and experts fused on disk."""
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            model = build("deepseek_v3", {"rope_parameters": YARN, **WIDE}, 0)
            model.save_pretrained(folder)
            config = json.loads((folder / "config.json").read_text())
            parameters = config.pop("rope_parameters")
            config["rope_theta"] = parameters.pop("rope_theta")
            parameters["type"] = parameters.pop("rope_type")
            config["rope_scaling"] = parameters
            (folder / "config.json").write_text(json.dumps(config))
            save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors")
            self.compare(model, folder, sequences(model, 0))

    def test_multi_token_prediction_is_left_out(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            model = build("deepseek_v3", {}, 0)
            model.save_pretrained(folder)
            tensors = load_file(folder / "model.safetensors")
            tensors["model.layers.3.eh_proj.weight"] = torch.zeros(4, 4)
            save_file(tensors, folder / "model.safetensors", {"format": "pt"})
            self.compare(model, folder, sequences(model, 0))

    def test_bfloat16_is_as_near_as_the_reference(self):
        for family in ("deepseek_v3", "llama"):
            with self.subTest(family=family), tempfile.TemporaryDirectory() as folder:
                folder = pathlib.Path(folder)
                model = build(family, {}, 0).to(torch.bfloat16)
                model.save_pretrained(folder)
                ids = sequences(model, 0)
                with torch.no_grad():
                    low = [model(torch.tensor([s])).logits[0].float() for s in ids]
                    model = model.float()
                    high = [model(torch.tensor([s])).logits[0] for s in ids]
                found = worker_logits(folder, ids, "--dtype", "bfloat16")
                mean = lambda a: float(torch.cat([(x - y).abs().flatten() for x, y in zip(a, high)]).mean())
                self.assertLess(mean(found), 1.25 * mean(low))

    def test_refusals_name_the_field(self):
        cases = {"hidden_act": "gelu", "topk_method": "greedy", "scoring_func": "softmax", "moe_layer_freq": 2,
                 "num_key_value_heads": 2, "sliding_window": 16, "q_lora_rank": -1, "n_group": 3,
                 "rope_parameters": {"rope_type": "mrope", "rope_theta": 10000.0},
                 "quantization_config": {"quant_method": "fp8"}}
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            build("deepseek_v3", {}, 0).save_pretrained(folder)
            good = json.loads((folder / "config.json").read_text())
            (folder / "tokens.json").write_text("[[1, 2]]")
            for field, value in cases.items():
                (folder / "config.json").write_text(json.dumps({**good, field: value}))
                result = subprocess.run([WORKER, "logits", folder, "--tokens", folder / "tokens.json", "--out",
                                         folder / "out.safetensors"], capture_output=True, text=True)
                with self.subTest(field=field):
                    self.assertEqual(result.returncode, 2, result.stderr)
                    self.assertIn("rope_type" if field == "rope_parameters" else field, result.stderr)
                    self.assertEqual(len(result.stderr.strip().splitlines()), 1)
                    self.assertFalse((folder / "out.safetensors").exists())


if __name__ == "__main__":
    unittest.main()
