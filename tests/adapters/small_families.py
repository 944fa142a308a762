"""Small random model folders of every family, and PEFT's adapters on them."""
import pathlib
import sys

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "models" / "families"))
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
    torch.manual_seed(seed)
    config = LoraConfig(r=r, lora_alpha=lora_alpha, task_type="CAUSAL_LM", **targets(family, what), **options)
    model = get_peft_model(base, config)
    if random_b:
        with torch.no_grad():
            for name, tensor in model.named_parameters():
                if "lora_B" in name:
                    tensor.normal_(std=0.2)
    return model.eval()
