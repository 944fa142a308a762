"""Makes tiny-llama.gguf, a llama model of two layers with random weights in every element type that the reader
knows, and tiny-llama.json: for each tensor the SHA-256 of its float32 bytes as the gguf package dequantises it,
and the metadata as it reads them.

usage: <oracle python> make_tiny_gguf.py   (writes beside itself)
"""
import hashlib
import json
import pathlib

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T

HERE = pathlib.Path(__file__).parent
HIDDEN, NEURONS, HEADS, GROUPS, SIZE, LAYERS, VOCABULARY = 32, 96, 4, 2, 8, 2, 272


def byte_letters():
    """The visible letter that stands for each byte in byte-level BPE."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in plain}
    for number, byte in enumerate(byte for byte in range(256) if byte not in letters):
        letters[byte] = chr(256 + number)
    return [letters[byte] for byte in range(256)]


def tokenizer():
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    merges = ["Ġ t", "h e", "Ġt he", "i n", "e r", "Ġ a", "n d", "Ġa nd", "o n", "r e", "Ġ p", "Ġp u", "m p"]
    tokens = special + byte_letters() + [merge.replace(" ", "") for merge in merges]
    assert len(tokens) == VOCABULARY, len(tokens)
    return tokens, [3] * len(special) + [1] * (VOCABULARY - len(special)), merges


def main():
    random = np.random.default_rng(0)
    path = HERE / "tiny-llama.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Tiny llama for tests")
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(NEURONS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(GROUPS)
    writer.add_rope_dimension_count(SIZE)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    V = gguf.GGUFValueType
    for name, number, kind in [("uint8", 200, V.UINT8), ("int8", -100, V.INT8), ("uint16", 60000, V.UINT16),
                               ("int16", -30000, V.INT16), ("uint32", 4000000000, V.UINT32), ("int32", -5, V.INT32),
                               ("uint64", 1 << 62, V.UINT64), ("int64", -(1 << 62), V.INT64),
                               ("float32", 0.5, V.FLOAT32), ("float64", 0.1, V.FLOAT64), ("bool", True, V.BOOL),
                               ("text", "مسبك", V.STRING)]:
        writer.add_key_value(f"test.{name}", number, kind)
    writer.add_array("test.numbers", [1.5, 2.5])
    tokens, types, merges = tokenizer()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template("{% for m in messages %}"
                             "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
                             "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
    expected = {}

    def add(name, shape, kind, mean=0.0):
        numbers = (mean + 0.3 * random.standard_normal(shape)).astype(np.float32)
        data = gguf.quants.quantize(numbers, kind)
        writer.add_tensor(name, data, raw_dtype=kind)
        restored = np.ascontiguousarray(gguf.quants.dequantize(data, kind), dtype=np.float32)
        expected[name] = {"type": kind.name, "shape": list(shape),
                          "sha256": hashlib.sha256(restored.tobytes()).hexdigest(),
                          "first": [float(x) for x in restored.ravel()[:2]]}

    add("token_embd.weight", (VOCABULARY, HIDDEN), T.Q8_0)
    add("output_norm.weight", (HIDDEN,), T.F32, 1.0)
    for n, (attention, dense) in enumerate([(T.Q4_0, T.Q4_1), (T.F16, T.BF16)]):
        add(f"blk.{n}.attn_norm.weight", (HIDDEN,), T.F32, 1.0)
        add(f"blk.{n}.ffn_norm.weight", (HIDDEN,), T.F32, 1.0)
        add(f"blk.{n}.attn_q.weight", (HEADS * SIZE, HIDDEN), attention)
        add(f"blk.{n}.attn_k.weight", (GROUPS * SIZE, HIDDEN), attention)
        add(f"blk.{n}.attn_v.weight", (GROUPS * SIZE, HIDDEN), attention)
        add(f"blk.{n}.attn_output.weight", (HIDDEN, HEADS * SIZE), attention)
        add(f"blk.{n}.ffn_gate.weight", (NEURONS, HIDDEN), dense)
        add(f"blk.{n}.ffn_up.weight", (NEURONS, HIDDEN), dense)
        add(f"blk.{n}.ffn_down.weight", (HIDDEN, NEURONS), dense)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    metadata = {key: field.contents() for key, field in gguf.GGUFReader(path).fields.items() if key.startswith("test.")}
    (HERE / "tiny-llama.json").write_text(json.dumps({"metadata": metadata, "tensors": expected}, indent=1) + "\n")


if __name__ == "__main__":
    main()
