"""masbak-worker adopt against transformers, which reads the same GGUF by itself: the logits of the dense model, of the
model adopted as llama and of the one rewritten as DeepSeek-V3; the tokenizer; and an answer in bfloat16."""
import os

import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

import masbak_oracle as oracle

QUESTION = [{"role": "user", "content": "What is a heat exchanger used for?"}]
TEXTS = ["Pump P-1203A: 45.7 bar at 12:30, 3x 1/2\" bolts.", "مضخة التغذية تعمل عند ٤٥ بار.",
         "  two  blanks\n\n\tand lines ",
         "naïve café — “quoted” … 𝛼 + 🙂", "<|im_start|>user\nHello<|im_end|>\n", "def f(x):\n    return x**2  # 2024"]
LARGEST_DIFFERENCE = 1e-3


def dense():
    folder, name = os.path.split(oracle.smollm2_gguf())
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    # transformers leaves out the rule that "smollm" in tokenizer.ggml.pre stands for: each digit, of any script,
    # by itself.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return model.eval(), tokenizer


MODEL, TOKENIZER = dense()


def prompts():
    texts = TEXTS + [TOKENIZER.apply_chat_template(QUESTION, tokenize=False, add_generation_prompt=True)]
    return [TOKENIZER(text, return_tensors="pt").input_ids for text in texts]


def compare_logits(folder):
    adopted = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    largest = 0.0
    with torch.no_grad():
        for ids in prompts():
            expected, found = MODEL(ids).logits, adopted(ids).logits
            assert torch.equal(expected.argmax(-1), found.argmax(-1)), "another next token"
            largest = max(largest, float((expected - found).abs().max()))
    print(f"{folder.name}: largest logit difference {largest:.2e}")
    assert largest <= LARGEST_DIFFERENCE, largest


def test_as_llama_the_logits_are_the_same():
    compare_logits(oracle.adopted("llama", "float32"))


def test_as_deepseek_the_logits_are_the_same():
    compare_logits(oracle.adopted("deepseek_v3", "float32"))


def test_every_weight_is_in_its_place():
    _, report = AutoModelForCausalLM.from_pretrained(oracle.adopted("deepseek_v3", "float32"), output_loading_info=True)
    assert not any(report.values()), report


def test_the_tokenizer_is_the_same():
    mine = AutoTokenizer.from_pretrained(oracle.adopted())
    for text in TEXTS:
        assert mine(text).input_ids == TOKENIZER(text).input_ids, text
        assert mine.decode(mine(text).input_ids) == text
    for prompt in (True, False):
        arguments = dict(tokenize=False, add_generation_prompt=prompt)
        assert mine.apply_chat_template(QUESTION, **arguments) == TOKENIZER.apply_chat_template(QUESTION, **arguments)
    for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
        assert getattr(mine, name) == getattr(TOKENIZER, name), name
    assert mine.get_vocab() == TOKENIZER.get_vocab()


def test_an_answer_in_bfloat16_is_sensible():
    folder = oracle.adopted()
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.dtype == torch.bfloat16
    ids = tokenizer(tokenizer.apply_chat_template(QUESTION, tokenize=False, add_generation_prompt=True),
                    return_tensors="pt").input_ids
    answer = tokenizer.decode(model.generate(ids, max_new_tokens=40, do_sample=False)[0, ids.shape[1]:])
    print(answer)
    assert "heat exchanger is a" in answer and "transfer" in answer, answer


if __name__ == "__main__":
    oracle.main(globals())
