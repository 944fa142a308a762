"""Exported GGUF files beside the gguf package (names of tensors and keys, numbers of every type), transformers (which
runs two of the architectures from such a file) and our own adopt."""
import json
import os
import pathlib
import sys
import tempfile

import gguf
import numpy
import torch
from gguf.constants import MODEL_ARCH, MODEL_ARCH_NAMES, MODEL_TENSORS, TENSOR_NAMES
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

import masbak_oracle as oracle
from masbak_oracle import main, worker

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "families"))
from variants import FAMILIES, LLAMA3, PLAIN_YARN, WIDE, YARN, build, longrope, rope

ROOT = tempfile.TemporaryDirectory(prefix="masbak-gguf-")
FOLDER = pathlib.Path(ROOT.name)
ARCHITECTURES = {"llama": "llama", "mixtral": "llama", "granite": "granite", "granitemoe": "granitemoe",
                 "qwen3_moe": "qwen3moe", "olmoe": "olmoe", "deepseek_v2": "deepseek2", "deepseek_v3": "deepseek2",
                 "glm4_moe_lite": "deepseek2"}
# What llama.cpp does in these architectures without being told.
FIXED = {"qwen3_moe": {"norm_topk_prob": True}}
TURNED = ("llama", "granite", "granitemoe")
IDS = [[3, 1, 4, 1, 5, 9, 2, 6, 5, 35, 89, 79], [7]]


def exported(family, kind="f32", name=None, **changes):
    """(transformers' model, the folder, the file)"""
    name = name or family
    folder, file = FOLDER / name, FOLDER / f"{name}-{kind}.gguf"
    model = build(family, {**FIXED.get(family, {}), **changes}, 0)
    model.save_pretrained(folder)
    told = json.loads(worker("export", folder, "--to", "gguf", "--type", kind, "--no-tokenizer", "--out", file).stdout)
    assert told["architecture"] == ARCHITECTURES[family] and told["bytes"] == file.stat().st_size
    return model, folder, file


def numbers(tensor):
    return torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy())


def pairs(rows, heads):
    """llama.cpp's order of the rows of queries and keys, as its converter makes it."""
    return rows.view(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).transpose(1, 2).reshape(rows.shape)


def expected(family, model):
    """The weights by the names that the gguf package maps transformers' names to."""
    config, arch = model.config, ARCHITECTURES[family]
    key = next(a for a, name in MODEL_ARCH_NAMES.items() if name == arch)
    names = gguf.get_tensor_name_map(key, config.num_hidden_layers)
    heads, wanted = config.num_attention_heads, {}
    for name, tensor in model.state_dict().items():
        name = name.replace("block_sparse_moe.experts", "mlp.experts").replace("block_sparse_moe.router", "mlp.gate")
        if name.endswith("experts.gate_up_proj"):
            half = tensor.shape[1] // 2
            for part, rows in (("gate_proj", tensor[:, :half]), ("up_proj", tensor[:, half:])):
                wanted[names.get_name(name.replace("gate_up_proj", part)) + ".weight"] = rows
            continue
        if name.endswith("kv_b_proj.weight"):
            both = tensor.view(heads, -1, config.kv_lora_rank)
            key_part, value_part = both.split([config.qk_nope_head_dim, config.v_head_dim], 1)
            wanted[names.get_name(name.replace("kv_b_proj.weight", "k_b_proj")) + ".weight"] = key_part.transpose(1, 2)
            wanted[names.get_name(name.replace("kv_b_proj.weight", "v_b_proj")) + ".weight"] = value_part
            continue
        if arch in TURNED and (".q_proj." in name or ".k_proj." in name):
            tensor = pairs(tensor, heads if ".q_proj." in name else config.num_key_value_heads)
        stem, dot, kind = name.rpartition(".")
        if name.endswith("e_score_correction_bias"):
            wanted[names.get_name(name.removesuffix("_bias")) + ".bias"] = tensor
        elif kind in ("weight", "bias"):
            wanted[f"{names.get_name(stem)}.{kind}"] = tensor
        else:
            wanted[names.get_name(name) + ".weight"] = tensor
    return key, wanted


def test_every_weight_of_every_family():
    for family in FAMILIES:
        model, _, file = exported(family)
        reader = gguf.GGUFReader(file)
        key, wanted = expected(family, model)
        found = {tensor.name: numbers(tensor) for tensor in reader.tensors}
        assert set(found) == set(wanted), (family, set(found) ^ set(wanted))
        for name, tensor in wanted.items():
            assert torch.equal(found[name], tensor.contiguous().float()), (family, name)
        # Names that a loader of this architecture asks for.
        known = {TENSOR_NAMES[t] for t in MODEL_TENSORS[key]}
        for name in found:
            parts = name.rsplit(".", 1)[0].split(".")
            general = ".".join("{bid}" if part.isdigit() else part for part in parts)
            assert general in known, (family, name)


def test_metadata_are_the_packages_own():
    known = set()
    for group in vars(gguf.Keys).values():
        known |= {value for name, value in vars(group).items() if isinstance(value, str) and not name.startswith("_")} \
            if isinstance(group, type) else set()
    for family in FAMILIES:
        arch = ARCHITECTURES[family]
        reader = gguf.GGUFReader(FOLDER / f"{family}-f32.gguf")
        fields = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
        for name in fields:
            assert name.replace(f"{arch}.", "{arch}.", 1) in known or name.startswith("general."), name
        config = AutoConfig.from_pretrained(FOLDER / family)
        assert fields["general.architecture"] == arch
        assert fields[f"{arch}.block_count"] == config.num_hidden_layers
        assert fields[f"{arch}.vocab_size"] == config.vocab_size
        assert fields[f"{arch}.attention.head_count"] == config.num_attention_heads
        latent = arch == "deepseek2"
        assert fields[f"{arch}.attention.head_count_kv"] == (1 if latent else config.num_key_value_heads)
        if latent:
            assert fields[f"{arch}.attention.key_length"] == config.kv_lora_rank + config.qk_rope_head_dim
            assert fields[f"{arch}.expert_gating_func"] == (1 if family == "deepseek_v2" else 2)
            assert fields[f"{arch}.leading_dense_block_count"] == 1 or family == "deepseek_v2"
        if arch.startswith("granite"):
            assert abs(fields[f"{arch}.logit_scale"] - config.logits_scaling) < 1e-6
            assert abs(fields[f"{arch}.attention.scale"] - config.attention_multiplier) < 1e-6


@torch.no_grad()
def test_transformers_computes_the_same_from_the_file():
    for family, changes in (("llama", {}), ("llama", {"tie_word_embeddings": True, "num_key_value_heads": 6}),
                            ("qwen3_moe", {})):
        model, folder, file = exported(family, name=f"{family}-{len(changes)}", **changes)
        again = AutoModelForCausalLM.from_pretrained(FOLDER, gguf_file=file.name, dtype=torch.float32,
                                                     config=AutoConfig.from_pretrained(folder)).eval()
        for ids in IDS:
            theirs, ours = again(torch.tensor([ids])).logits, model(torch.tensor([ids])).logits
            away = ((theirs - ours).abs().max() / ours.std()).item()
            print(f"   {family}: {away:.1e}")
            assert away < 1e-4


def test_narrow_types_are_ggmls_bit_by_bit():
    wide = {"hidden_size": 64, "intermediate_size": 96, "head_dim": 16}
    for kind, quantised in (("bf16", gguf.GGMLQuantizationType.BF16), ("q8_0", gguf.GGMLQuantizationType.Q8_0)):
        model, _, file = exported("mixtral", kind, name=f"mixtral-{kind}", **wide)
        _, wanted = expected("mixtral", model)
        seen = set()
        for tensor in gguf.GGUFReader(file).tensors:
            plain = wanted[tensor.name].contiguous().float().numpy()
            narrow = plain.ndim > 1 and "ffn_gate_inp" not in tensor.name
            assert tensor.tensor_type == (quantised if narrow else gguf.GGMLQuantizationType.F32), tensor.name
            theirs = gguf.quants.quantize(plain, tensor.tensor_type)
            assert numpy.array_equal(tensor.data.view(numpy.uint8), theirs.view(numpy.uint8)), tensor.name
            seen.add(tensor.tensor_type)
        assert len(seen) == 2


def test_a_model_with_its_tokenizer_comes_back():
    """SmolLM2: exported, read by transformers, and adopted again, it is the same model and tokenizer."""
    folder, file, again = oracle.adopted("llama", "float32"), FOLDER / "smollm2.gguf", FOLDER / "again"
    worker("export", folder, "--type", "f32", "--out", file)
    worker("adopt", file, "--family", "llama", "--dtype", "float32", "--out", again)
    first, second = load_file(folder / "model.safetensors"), load_file(again / "model.safetensors")
    assert set(first) == set(second) and all(torch.equal(first[name], second[name]) for name in first)
    for name in ("tokenizer.json", "config.json"):
        assert json.loads((folder / name).read_text()) == json.loads((again / name).read_text()), name
    fields = gguf.GGUFReader(file).fields
    source = gguf.GGUFReader(oracle.smollm2_gguf()).fields
    for name in source:
        if name.startswith("tokenizer.") and name in fields:
            assert fields[name].contents() == source[name].contents(), name
    assert {"tokenizer.chat_template", "tokenizer.ggml.eos_token_id", "tokenizer.ggml.pre"} <= set(fields)
    theirs = AutoTokenizer.from_pretrained(FOLDER, gguf_file=file.name)
    text = "What is a heat exchanger used for?"
    ours = json.loads(worker("tokenize", folder, input=json.dumps({"text": text})).stdout)["ids"]
    assert theirs(text).input_ids == ours


def test_pieces_of_sentencepiece():
    """A tokenizer with byte fallback: what transformers makes of the file cuts texts as the original does."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    merges, vocabulary = [], list(pieces)
    words = ["▁pump", "▁valve", "▁open", "▁closed", "▁the", "ing"]
    for character in sorted(set("".join(words)) | set("▁abcdefghijklmnopqrstuvwxyz")):
        vocabulary.append(character)
    for word in words:
        for end in range(2, len(word) + 1):
            pair = (word[:end - 1], word[end - 1])
            if pair not in merges:
                merges.append(pair)
            if word[:end] not in vocabulary:
                vocabulary.append(word[:end])
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(vocabulary)}, merges, unk_token="<unk>",
                                     byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    folder, file = FOLDER / "pieces", FOLDER / "pieces.gguf"
    build("mixtral", {"vocab_size": len(vocabulary) + 5}, 0).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}))
    worker("export", folder, "--type", "f32", "--out", file)
    fields = {name: field.contents() for name, field in gguf.GGUFReader(file).fields.items()}
    assert fields["tokenizer.ggml.model"] == "llama" and fields["tokenizer.ggml.add_space_prefix"]
    assert fields["tokenizer.ggml.tokens"] == vocabulary + [f"[PAD{len(vocabulary) + i}]" for i in range(5)]
    assert fields["tokenizer.ggml.token_type"][:4] == [2, 3, 3, 6] and fields["tokenizer.ggml.token_type"][-1] == 5
    assert fields["tokenizer.ggml.add_bos_token"] and not fields["tokenizer.ggml.add_eos_token"]
    # Pieces are made in the order of the merges.
    scores = dict(zip(fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.scores"]))
    made = [left + right for left, right in merges]
    assert all(scores[a] > scores[b] for a, b in zip(made, made[1:]))


def test_what_llama_cpp_computes_otherwise_is_refused_by_name():
    cases = [("qwen3_moe", {"norm_topk_prob": False}, "norm_topk_prob"),
             ("qwen3_moe", {"mlp_only_layers": [0]}, "mlp_only_layers"),
             ("qwen3_moe", rope(LLAMA3, **WIDE), "rope_parameters"),
             ("olmoe", {"norm_topk_prob": True}, "norm_topk_prob"), ("olmoe", {"clip_qkv": 0.7}, "clip_qkv"),
             ("mixtral", {"sliding_window": 9}, "sliding_window"),
             ("llama", rope({"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}), "rope_parameters"),
             ("llama", rope(longrope(4, 32), **WIDE), "rope_parameters"),
             ("deepseek_v2", {"topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 2}, "topk_method"),
             ("deepseek_v3", {"attention_bias": True}, "attention_bias"),
             ("deepseek_v3", rope(YARN, **WIDE), "rope_parameters"),
             ("glm4_moe_lite", {"mlp_layer_types": ["sparse", "dense", "sparse"]}, "mlp_layer_types")]
    for number, (family, changes, field) in enumerate(cases):
        folder, file = FOLDER / f"refused-{number}", FOLDER / "refused.gguf"
        build(family, {**FIXED.get(family, {}), **changes}, 0).save_pretrained(folder)
        done = worker("export", folder, "--no-tokenizer", "--out", file, check=False)
        assert done.returncode != 0 and "UNIMPLEMENTED" in done.stderr and field in done.stderr, (family, done.stderr)
        assert "llama.cpp" in done.stderr and not file.exists()
    for options, word in ((["--type", "q4_0"], "q8_0"), (["--to", "onnx"], "gguf"), ([], "already")):
        taken = FOLDER / "llama-f32.gguf"
        done = worker("export", FOLDER / "llama", "--no-tokenizer", "--out", taken, *options, check=False)
        assert done.returncode == 2 and word in done.stderr, done.stderr


def test_stretched_positions():
    """What is written of each kind that llama.cpp knows."""
    _, _, file = exported("llama", name="llama3", **rope(LLAMA3, **WIDE))
    found = {tensor.name: numbers(tensor) for tensor in gguf.GGUFReader(file).tensors}
    model = build("llama", rope(LLAMA3, **WIDE), 0)
    plain = 5000.0 ** (-torch.arange(0, 8, 2) / 8)
    assert torch.allclose(plain / found["rope_freqs.weight"], model.model.rotary_emb.inv_freq, rtol=1e-6)
    _, _, file = exported("granitemoe", name="yarn", **rope(PLAIN_YARN, **WIDE))
    fields = {name: field.contents() for name, field in gguf.GGUFReader(file).fields.items()}
    assert fields["granitemoe.rope.scaling.type"] == "yarn" and fields["granitemoe.rope.scaling.factor"] == 4
    assert fields["granitemoe.rope.scaling.original_context_length"] == 32


if __name__ == "__main__":
    main(globals())
