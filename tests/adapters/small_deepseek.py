"""A small random DeepSeek-V3 model folder, and PEFT's adapters on it: shared by the adapter and training tests."""
import json

import torch
from peft import LoraConfig, get_peft_model
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

CONFIG = dict(
    vocab_size=160, hidden_size=48, intermediate_size=80, moe_intermediate_size=24, num_hidden_layers=3,
    num_attention_heads=4, num_key_value_heads=4, n_shared_experts=1, n_routed_experts=8, num_experts_per_tok=3,
    n_group=4, topk_group=2, kv_lora_rank=20, q_lora_rank=28, qk_rope_head_dim=12, qk_nope_head_dim=18, v_head_dim=14,
    first_k_dense_replace=1, max_position_embeddings=64, rms_norm_eps=1e-5, routed_scaling_factor=2.5)
ATTENTION = ["q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"]
EXPERTS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
SHARED = [f"shared_experts.{name}.weight" for name in ("gate_proj", "up_proj", "down_proj")]
DENSE = [f"mlp.{name}.weight" for name in ("gate_proj", "up_proj", "down_proj")]
ROUTER = ["mlp.gate.weight"]

# What is trained: PEFT's targets, and ours for the same places.
TARGETS = {
    "attention": (dict(target_modules=ATTENTION), ["attention"]),
    "experts": (dict(target_modules=[], target_parameters=EXPERTS), ["experts"]),
    "everything": (dict(target_modules=ATTENTION, target_parameters=EXPERTS + SHARED + DENSE + ROUTER), ["all-linear"]),
}


def base_model(folder, seed=0, **changes):
    """Writes the folder once and returns the model in float32."""
    torch.manual_seed(seed)
    model = DeepseekV3ForCausalLM(DeepseekV3Config(**{**CONFIG, **changes}))
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            tensor.copy_(1 + 0.2 * torch.randn_like(tensor) if "norm" in name else
                         torch.randn_like(tensor) / tensor.shape[-1] ** 0.5)
    model.save_pretrained(folder)
    return DeepseekV3ForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def with_lora(base, config, seed, random_b):
    """PEFT's model with a start of its own by the seed; B is zero unless random_b."""
    torch.manual_seed(seed)
    model = get_peft_model(base, config)
    if random_b:
        with torch.no_grad():
            for name, tensor in model.named_parameters():
                if "lora_B" in name:
                    tensor.normal_(std=0.2)
    return model.eval()


def peft_model(base, targets, seed=1, random_b=False, r=4, lora_alpha=8, **options):
    config = LoraConfig(r=r, lora_alpha=lora_alpha, task_type="CAUSAL_LM", **TARGETS[targets][0], **options)
    return with_lora(base, config, seed, random_b)


def random_rows(count, seed, longest=20, vocabulary=CONFIG["vocab_size"]):
    """Rows of format `tokens`: random ids, the first few without a label."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(count):
        length = int(torch.randint(6, longest, (1,), generator=generator))
        ids = torch.randint(0, vocabulary, (length,), generator=generator).tolist()
        hidden = int(torch.randint(0, 4, (1,), generator=generator))
        rows.append({"input_ids": ids, "labels": [-100] * hidden + ids[hidden:]})
    return rows


def write_rows(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
