"""A folder with the real shape of DeepSeek-V3: 671 B parameters in FP8 with the layer of multi-token prediction, 163
shards as sparse files. Takes no space on the disk.

usage: tests/models/checkpoint/big_folder.py DIR
"""
import json
import pathlib
import struct
import sys

CONFIG = {
    "architectures": ["DeepseekV3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
    "auto_map": {"AutoConfig": "configuration_deepseek.DeepseekV3Config",
                 "AutoModel": "modeling_deepseek.DeepseekV3Model",
                 "AutoModelForCausalLM": "modeling_deepseek.DeepseekV3ForCausalLM"},
    "bos_token_id": 0, "eos_token_id": 1, "ep_size": 1, "first_k_dense_replace": 3, "hidden_act": "silu",
    "hidden_size": 7168, "initializer_range": 0.02, "intermediate_size": 18432, "kv_lora_rank": 512,
    "max_position_embeddings": 163840, "model_type": "deepseek_v3", "moe_intermediate_size": 2048,
    "moe_layer_freq": 1, "n_group": 8, "n_routed_experts": 256, "n_shared_experts": 1, "norm_topk_prob": True,
    "num_attention_heads": 128, "num_experts_per_tok": 8, "num_hidden_layers": 61, "num_key_value_heads": 128,
    "num_nextn_predict_layers": 1, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
    "quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
                            "weight_block_size": [128, 128]},
    "rms_norm_eps": 1e-06,
    "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0,
                     "original_max_position_embeddings": 4096, "type": "yarn"},
    "rope_theta": 10000, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "tie_word_embeddings": False,
    "topk_group": 4, "topk_method": "noaux_tc", "torch_dtype": "bfloat16", "transformers_version": "4.33.1",
    "use_cache": True, "v_head_dim": 128, "vocab_size": 129280}
SHARDS = 163
BYTES = {"BF16": 2, "F32": 4, "F8_E4M3": 1}


def tensors():
    """(name, dtype, shape) of every tensor, in the order of the layers."""
    c = CONFIG
    hidden, heads = c["hidden_size"], c["num_attention_heads"]

    def fp8(name, rows, columns):
        yield f"{name}.weight", "F8_E4M3", [rows, columns]
        yield f"{name}.weight_scale_inv", "F32", [-(-rows // 128), -(-columns // 128)]

    def mlp(name, inner):
        yield from fp8(f"{name}.gate_proj", inner, hidden)
        yield from fp8(f"{name}.up_proj", inner, hidden)
        yield from fp8(f"{name}.down_proj", hidden, inner)

    yield "model.embed_tokens.weight", "BF16", [c["vocab_size"], hidden]
    for i in range(c["num_hidden_layers"] + 1):
        layer, self = f"model.layers.{i}", f"model.layers.{i}.self_attn"
        yield f"{layer}.input_layernorm.weight", "BF16", [hidden]
        yield f"{layer}.post_attention_layernorm.weight", "BF16", [hidden]
        yield f"{self}.q_a_layernorm.weight", "BF16", [c["q_lora_rank"]]
        yield f"{self}.kv_a_layernorm.weight", "BF16", [c["kv_lora_rank"]]
        yield from fp8(f"{self}.q_a_proj", c["q_lora_rank"], hidden)
        yield from fp8(f"{self}.q_b_proj", heads * 192, c["q_lora_rank"])
        yield from fp8(f"{self}.kv_a_proj_with_mqa", 576, hidden)
        yield from fp8(f"{self}.kv_b_proj", heads * 256, c["kv_lora_rank"])
        yield from fp8(f"{self}.o_proj", hidden, heads * 128)
        if i < c["first_k_dense_replace"]:
            yield from mlp(f"{layer}.mlp", c["intermediate_size"])
        else:
            yield f"{layer}.mlp.gate.weight", "BF16", [c["n_routed_experts"], hidden]
            yield f"{layer}.mlp.gate.e_score_correction_bias", "F32", [c["n_routed_experts"]]
            yield from mlp(f"{layer}.mlp.shared_experts", c["moe_intermediate_size"])
            for e in range(c["n_routed_experts"]):
                yield from mlp(f"{layer}.mlp.experts.{e}", c["moe_intermediate_size"])
        if i == c["num_hidden_layers"]:
            yield f"{layer}.embed_tokens.weight", "BF16", [c["vocab_size"], hidden]
            yield f"{layer}.enorm.weight", "BF16", [hidden]
            yield f"{layer}.hnorm.weight", "BF16", [hidden]
            yield f"{layer}.eh_proj.weight", "BF16", [hidden, 2 * hidden]
            yield f"{layer}.shared_head.norm.weight", "BF16", [hidden]
            yield f"{layer}.shared_head.head.weight", "BF16", [c["vocab_size"], hidden]
    yield "model.norm.weight", "BF16", [hidden]
    yield "lm_head.weight", "BF16", [c["vocab_size"], hidden]


def size_of(dtype, shape):
    total = BYTES[dtype]
    for size in shape:
        total *= size
    return total


def write(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2))
    every = list(tensors())
    total = sum(size_of(dtype, shape) for _, dtype, shape in every)
    shards, filled = [[]], 0
    for tensor in every:
        if filled >= total / SHARDS * len(shards) and len(shards) < SHARDS:
            shards.append([])
        shards[-1].append(tensor)
        filled += size_of(tensor[1], tensor[2])
    weight_map = {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05}-of-{len(shards):06}.safetensors"
        header, offset = {}, 0
        for name, dtype, shape in shard:
            end = offset + size_of(dtype, shape)
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, end]}
            weight_map[name] = file
            offset = end
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(folder / file, "wb") as out:
            out.write(struct.pack("<Q", len(text)) + text)
            out.truncate(8 + len(text) + offset)
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=2))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write(sys.argv[1])
