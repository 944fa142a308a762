"""Small random models of every family and variant, built with transformers."""
import itertools

import torch
from transformers import AutoConfig, AutoModelForCausalLM

torch.set_num_threads(1)  # models this small only wait for a second thread

BASE = dict(
    vocab_size=157, hidden_size=48, intermediate_size=40, num_hidden_layers=3, num_attention_heads=6,
    num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5)
LATENT = dict(
    vocab_size=160, hidden_size=48, intermediate_size=80, moe_intermediate_size=24, num_hidden_layers=3,
    num_attention_heads=4, num_key_value_heads=4, n_shared_experts=1, n_routed_experts=8, num_experts_per_tok=3,
    n_group=4, topk_group=2, kv_lora_rank=20, q_lora_rank=28, qk_rope_head_dim=12, qk_nope_head_dim=18, v_head_dim=14,
    first_k_dense_replace=1, max_position_embeddings=64, rms_norm_eps=1e-5, routed_scaling_factor=2.5)
MULTIPLIERS = dict(embedding_multiplier=3.5, residual_multiplier=0.4, attention_multiplier=0.2, logits_scaling=1.7)
GLM = {k: v for k, v in LATENT.items() if k != "first_k_dense_replace"}

FAMILIES = {
    "llama": BASE,
    "granite": {**BASE, **MULTIPLIERS},
    "granitemoe": {**BASE, **MULTIPLIERS, "num_local_experts": 6, "num_experts_per_tok": 2},
    "mixtral": {**BASE, "num_local_experts": 5, "num_experts_per_tok": 2},
    "qwen3_moe": {**BASE, "num_experts": 7, "num_experts_per_tok": 3, "moe_intermediate_size": 24, "head_dim": 16},
    "olmoe": {**BASE, "num_experts": 8, "num_experts_per_tok": 3},
    "deepseek_v2": {**LATENT, "topk_method": "greedy", "n_shared_experts": 2, "n_group": None, "topk_group": None},
    "deepseek_v3": LATENT,
    "glm4_moe_lite": {**GLM, "n_group": 1, "topk_group": 1},
}


def longrope(count, original):
    generator = torch.Generator().manual_seed(7)
    short, long = (torch.rand(2, count, generator=generator) * 3 + 1).tolist()
    return {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": short, "long_factor": long,
            "original_max_position_embeddings": original}


YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32,
        "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 0.7}
PLAIN_YARN = {k: v for k, v in YARN.items() if "mscale" not in k}
KIMI_YARN = {**YARN, "beta_fast": 1.0, "beta_slow": 1.0, "mscale_all_dim": 1.0}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 5000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32}
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.5}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
WIDE = {"max_position_embeddings": 128}


def rope(parameters, **more):
    return {"rope_parameters": parameters, **more}


VARIANTS = {
    "llama": {
        "plain": {},
        "multi_head": {"num_key_value_heads": 6, "attention_bias": True, "mlp_bias": True},
        "one_key_head": {"num_key_value_heads": 1, "num_hidden_layers": 1},
        "head_size": {"head_dim": 22, "tie_word_embeddings": True},
        "linear": rope(LINEAR),
        "dynamic": rope(DYNAMIC),
        "yarn": rope(PLAIN_YARN, **WIDE),
        "yarn_untruncated": rope({**YARN, "truncate": False, "attention_factor": 1.3}, **WIDE),
        "longrope": rope(longrope(4, 32), **WIDE),
        "llama3": rope(LLAMA3, **WIDE),
    },
    "granite": {
        "plain": {},
        "bias_tied": {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True, "num_key_value_heads": 3},
        "head_size": {"head_dim": 14},
        "yarn": rope(YARN, **WIDE),
        "dynamic": rope(DYNAMIC),
    },
    "granitemoe": {
        "plain": {},
        "bias_tied": {"attention_bias": True, "tie_word_embeddings": True, "num_key_value_heads": 1},
        "all_experts": {"num_local_experts": 4, "num_experts_per_tok": 4},
        "one_expert": {"num_local_experts": 1, "num_experts_per_tok": 1},
        "longrope": rope(longrope(4, 32), **WIDE),
    },
    "mixtral": {
        "plain": {},
        "window": {"sliding_window": 9},
        "window_of_one": {"sliding_window": 1, "num_key_value_heads": 6},
        "window_wide": {"sliding_window": 41, "head_dim": 10, "tie_word_embeddings": True},
        "one_expert": {"num_local_experts": 1, "num_experts_per_tok": 1},
        "all_experts": {"num_experts_per_tok": 5, "num_key_value_heads": 1},
        "llama3": rope(LLAMA3, **WIDE),
        "dynamic_window": rope(DYNAMIC, sliding_window=16, head_dim=8),
    },
    "qwen3_moe": {
        "plain": {},
        "normalised": {"norm_topk_prob": True, "attention_bias": True, "tie_word_embeddings": True},
        "sparse_step": {"decoder_sparse_step": 2, "num_hidden_layers": 4},
        "dense_layers": {"mlp_only_layers": [0, 2]},
        "all_dense": {"mlp_only_layers": [0, 1, 2]},
        "window": {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1},
        "window_off": {"use_sliding_window": False, "sliding_window": 7},
        "one_key_head": {"num_key_value_heads": 1, "head_dim": 6, "num_experts_per_tok": 7},
        "yarn": rope(PLAIN_YARN, **WIDE),
        "linear": rope(LINEAR),
    },
    "olmoe": {
        "plain": {},
        "clipped": {"clip_qkv": 0.7, "num_key_value_heads": 6},
        "normalised": {"norm_topk_prob": True, "attention_bias": True, "tie_word_embeddings": True},
        "all_experts": {"num_experts_per_tok": 8, "clip_qkv": 0.3},
        "dynamic": rope(DYNAMIC),
        "longrope": rope(longrope(4, 32), **WIDE),
    },
    "deepseek_v2": {
        "plain": {},
        "lite": {"q_lora_rank": None, "first_k_dense_replace": 1},
        "group_limited": {"topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 2},
        "one_of_four": {"topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 1,
                        "num_experts_per_tok": 2},
        "groups_of_one": {"topk_method": "group_limited_greedy", "n_group": 8, "topk_group": 3},
        "bias": {"attention_bias": True, "mlp_bias": True, "n_shared_experts": 3},
        "no_dense": {"first_k_dense_replace": 0, "tie_word_embeddings": True, "num_experts_per_tok": 8},
        "all_dense": {"first_k_dense_replace": 3},
        "yarn": rope({**YARN, "mscale": 0.707, "mscale_all_dim": 0.707}, **WIDE),
        "linear": rope(LINEAR),
    },
    "deepseek_v3": {
        "plain": {},
        "plain_queries": {"q_lora_rank": None},
        "halves": {"rope_interleave": False, "q_lora_rank": None},
        "bias": {"attention_bias": True},
        "one_group": {"n_group": 1, "topk_group": 1, "norm_topk_prob": False},
        "moonlight": {"n_group": 1, "topk_group": 1, "q_lora_rank": None, "n_shared_experts": 2,
                      "routed_scaling_factor": 2.446},
        "kimi_k2": {"n_group": 1, "topk_group": 1, **rope(KIMI_YARN, **WIDE)},
        "all_groups": {"n_group": 2, "topk_group": 2, "n_shared_experts": 3},
        "yarn": rope(YARN, **WIDE),
        "dynamic": rope(DYNAMIC),
        "longrope": rope(longrope(6, 32), **WIDE, rope_interleave=False),
        "tied": {"tie_word_embeddings": True, "first_k_dense_replace": 0},
        "wide_values": {"v_head_dim": 39, "qk_nope_head_dim": 17, "first_k_dense_replace": 2},
        "all_dense": {"first_k_dense_replace": 3},
        "all_experts": {"n_group": 1, "topk_group": 1, "num_experts_per_tok": 8},
    },
    "glm4_moe_lite": {
        "plain": {},
        "groups": {"n_group": 4, "topk_group": 2, "n_shared_experts": 2},
        "layer_types": {"mlp_layer_types": ["sparse", "dense", "sparse"], "q_lora_rank": None},
        "halves_bias": {"rope_interleave": False, "attention_bias": True, "tie_word_embeddings": True},
        "yarn": rope(YARN, **WIDE),
    },
}


def depends_on_length(changes):
    """Whether angles depend on the length of the sequence: then a prompt and its steps are not the same function."""
    return changes.get("rope_parameters", {}).get("rope_type") in ("dynamic", "longrope")


def build(family, changes, seed):
    torch.manual_seed(seed)
    config = AutoConfig.for_model(family, **{**FAMILIES[family], **changes})
    model = AutoModelForCausalLM.from_config(config)
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
