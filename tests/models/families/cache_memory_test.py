"""The memory that a prompt leaves in the cache of a model with latent attention, measured on the process."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from masbak_oracle import WORKER, worker
from variants import build

LATENT, ROPE, LAYERS = 1024, 64, 24


def write_tokenizer(folder):
    """One token a byte: `generate` answers with text."""
    bytes_of = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({byte: i for i, byte in enumerate(bytes_of)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))


# A process of its own: the peak of a child counts what its parent held when it was started. Large blocks come from the
# system and go back to it one by one, so that the peak is of what lived, not of what the heap kept: that varied by a
# sixth with the folder and the day.
MEASURE = """
import os, resource, subprocess, sys
environment = {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=65536"}
subprocess.run(sys.argv[1:], input=sys.stdin.read(), text=True, check=True, stdout=subprocess.DEVNULL, env=environment)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_bytes(folder, tokens):
    """Of a process that reads a prompt of so many tokens and answers with one."""
    prompt = json.dumps({"ids": [i % 100 for i in range(tokens)]}) + "\n"
    command = [sys.executable, "-c", MEASURE, WORKER, "generate", folder, "--max-tokens", "1"]
    return int(subprocess.run(command, input=prompt, text=True, check=True, stdout=subprocess.PIPE).stdout) * 1024


class CacheMemory(unittest.TestCase):
    def test_a_token_costs_one_latent_and_one_rotary_key_a_layer(self):
        sizes = dict(kv_lora_rank=LATENT, qk_rope_head_dim=ROPE, num_hidden_layers=LAYERS, num_attention_heads=1,
                     num_key_value_heads=1, qk_nope_head_dim=4, v_head_dim=4, hidden_size=16, q_lora_rank=None,
                     first_k_dense_replace=LAYERS, vocab_size=256, max_position_embeddings=4096)
        with tempfile.TemporaryDirectory() as scratch:
            folder = pathlib.Path(scratch)
            build("deepseek_v3", sizes, 0).save_pretrained(folder)
            write_tokenizer(folder)
            token = json.loads(worker("inspect", folder).stdout)["kv_cache_bytes_per_token"]
            self.assertEqual(token, LAYERS * (LATENT + ROPE) * 4)
            # Capacities double: these lengths fill them.
            short, long = 1024, 4096 - 1
            measured = (peak_bytes(folder, long) - peak_bytes(folder, short)) / (4096 - short)
            print(f"{measured:.0f} bytes a token measured, {token} expected")
            self.assertGreater(measured / token, 0.97)
            self.assertLess(measured / token, 1.05)


if __name__ == "__main__":
    unittest.main()
