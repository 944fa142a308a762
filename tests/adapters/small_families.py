"""Small random model folders of every family, and PEFT's adapters on them."""
import json
import pathlib
import sys

import torch
from peft import LoraConfig
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "models" / "families"))
from masbak_oracle import worker
from small_deepseek import with_lora
from variants import FAMILIES, build

MIXTURES = [name for name in FAMILIES if name not in ("llama", "granite")]
GROUPED = ["q_proj", "k_proj", "v_proj", "o_proj"]
LATENT = ["q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"]


def base_model(family, folder, seed=0, **changes):
    """Writes the folder and returns the model in float32."""
    build(family, changes, seed).save_pretrained(folder)
    return load(folder)


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def attention(family):
    return LATENT if "kv_lora_rank" in FAMILIES[family] else GROUPED


def experts(family):
    module = "block_sparse_moe" if family == "granitemoe" else "mlp"
    return [f"{module}.experts.gate_up_proj", f"{module}.experts.down_proj"]


def targets(family, what):
    """LoraConfig's arguments for what our run files call `attention`, `experts`, or both."""
    chosen = {"target_modules": attention(family) if what in ("attention", "both") else []}
    if what in ("experts", "both"):
        chosen["target_parameters"] = experts(family)
    return chosen


def peft_model(base, family, what, seed=1, random_b=False, r=4, lora_alpha=8, **options):
    config = LoraConfig(r=r, lora_alpha=lora_alpha, task_type="CAUSAL_LM", **targets(family, what), **options)
    return with_lora(base, config, seed, random_b)


def our_logits(folder, token_lists, jobs):
    """[(model, adapter or None)] -> for each its logits of every list of tokens, by one worker that works in folder."""
    tokens = folder / "tokens.json"
    tokens.write_text(json.dumps(token_lists))
    lines, outs = [], []
    for number, (model, adapter) in enumerate(jobs):
        outs.append(folder / f"logits-{number}.safetensors")
        lines.append({"model": str(model), "tokens": str(tokens), "out": str(outs[-1]), "dtype": "float32",
                      **({"adapter": str(adapter)} if adapter else {})})
    worker("logits", "--batch", input="".join(json.dumps(line) + "\n" for line in lines))
    return [[load_file(out)[f"logits.{i}"] for i in range(len(token_lists))] for out in outs]


@torch.no_grad()
def their_logits(model, token_lists):
    return [model(torch.tensor([ids])).logits[0] for ids in token_lists]


def distance(ours, theirs):
    """The largest difference of two lists of logits, relative to the second's standard deviation."""
    return max(((a - b).abs().max() / b.std()).item() for a, b in zip(ours, theirs, strict=True))
