"""What is trained in the comparison with PEFT: the models, their tokens, and the arithmetic of a step.

A case is a model folder, rows of token ids and a LoRA. Both sides start from the same adapter folder, which PEFT
writes.
"""
import json
import pathlib
import sys
import os

sys.path.insert(0, os.path.join(os.environ["MASBAK_SOURCE"], "tests", "oracle"))
import masbak_oracle  # noqa: E402

MLA = ["q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"]
DEMO_LINEARS = ["q_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"]
EXPERTS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]


class Case:
    """One training run: `rows` of `length` tokens a step, all of them learnt."""

    def __init__(self, name, model, linears, parameters, rows, length, steps):
        self.name, self.model, self.linears, self.parameters = name, pathlib.Path(model), linears, parameters
        self.rows, self.length, self.steps = rows, length, steps

    @property
    def tokens_a_step(self):
        return self.rows * self.length

    def flops_a_token(self, rank=16):
        """Floating point operations that the step needs for one token: forward and the gradient of the activations
        (2 · 2 a weight in use), LoRA's products with the gradient of their factors (6 a weight), and attention's two
        products forward and four backward over half of the square. What a side recomputes does not count."""
        config = json.loads((self.model / "config.json").read_text())
        hidden, heads, layers = config["hidden_size"], config["num_attention_heads"], config["num_hidden_layers"]
        query = config["qk_nope_head_dim"] + config["qk_rope_head_dim"]
        value, latent = config["v_head_dim"], config["kv_lora_rank"]
        shapes = {"kv_a_proj_with_mqa": (hidden, latent + config["qk_rope_head_dim"]),
                  "kv_b_proj": (latent, heads * (config["qk_nope_head_dim"] + value)),
                  "o_proj": (heads * value, hidden)}
        if config.get("q_lora_rank"):
            shapes["q_a_proj"] = (hidden, config["q_lora_rank"])
            shapes["q_b_proj"] = (config["q_lora_rank"], heads * query)
        else:
            shapes["q_proj"] = (hidden, heads * query)
        inner, chosen = config["moe_intermediate_size"], config["num_experts_per_tok"]
        dense = min(config["first_k_dense_replace"], layers)
        attention = sum(a * b for a, b in shapes.values())
        experts = 3 * hidden * inner
        weights = layers * attention + dense * 3 * hidden * config["intermediate_size"]
        weights += (layers - dense) * (chosen + config["n_shared_experts"]) * experts
        weights += hidden * config["vocab_size"]
        lora = layers * rank * sum(sum(shapes[name]) for name in self.linears if name in shapes)
        if self.parameters:
            lora += (layers - dense) * chosen * rank * ((hidden + 2 * inner) + (inner + hidden))
        scores = layers * heads * (query + value) * self.length / 2
        return 4 * weights + 6 * lora + 6 * scores

    def write_tokens(self, file):
        ids = self.text_ids() if (self.model / "tokenizer.json").exists() else self.random_ids()
        with open(file, "w") as out:
            for begin in range(0, self.rows * self.steps * self.length, self.length):
                row = ids[begin:begin + self.length]
                out.write(json.dumps({"input_ids": row, "labels": row}) + "\n")

    def random_ids(self):
        """A skewed distribution, as words have: the loss falls from the first steps on."""
        import torch

        vocabulary = json.loads((self.model / "config.json").read_text())["vocab_size"]
        draws = torch.rand(self.rows * self.steps * self.length, generator=torch.Generator().manual_seed(7)) ** 3
        return (draws * (vocabulary - 1)).long().tolist()

    def text_ids(self):
        """The example's conversations one after another, as often as it takes."""
        from transformers import AutoTokenizer

        source = pathlib.Path(os.environ["MASBAK_SOURCE"]) / "examples" / "refinery" / "train.jsonl"
        text = "\n".join(message["content"] for line in source.read_text(encoding="utf-8").splitlines()
                         for message in json.loads(line)["messages"])
        ids = AutoTokenizer.from_pretrained(self.model)(text)["input_ids"]
        return ids * (self.rows * self.steps * self.length // len(ids) + 1)


def random_model(folder, *, layers=8, experts=32, vocabulary=32768, positions=8192):
    """A random DeepSeek-V3 in bfloat16; as it stands 133 M parameters."""
    import torch
    from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

    torch.manual_seed(0)
    config = DeepseekV3Config(
        vocab_size=vocabulary, hidden_size=512, intermediate_size=1024, moe_intermediate_size=256,
        num_hidden_layers=layers, num_attention_heads=8, num_key_value_heads=8, n_shared_experts=1,
        n_routed_experts=experts, num_experts_per_tok=4, n_group=1, topk_group=1, q_lora_rank=256, kv_lora_rank=128,
        qk_nope_head_dim=64, qk_rope_head_dim=32, v_head_dim=64, first_k_dense_replace=0,
        max_position_embeddings=positions)
    DeepseekV3ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


def mla_case(folder, *, rows=2, length=1024, steps=8, **sizes):
    """LoRA on the MLA projections of a random DeepSeek-V3."""
    return Case("DeepSeek-V3 of 133 M, LoRA on MLA", random_model(folder, **sizes), MLA, [], rows, length, steps)


def demo_case(rows=2, length=512, steps=8):
    """LoRA on attention and on every routed expert of the demonstration model."""
    return Case("demonstration model of 290 M, LoRA on MLA and experts", masbak_oracle.adopted(), DEMO_LINEARS, EXPERTS,
                rows, length, steps)
