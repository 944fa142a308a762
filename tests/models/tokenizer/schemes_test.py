"""masbak-worker tokenize beside Hugging Face's tokenizers: a tokenizer trained on the spot for each scheme of BPE."""

import os
import pathlib
import random
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
os.environ["HF_HUB_OFFLINE"] = "1"
import texts  # noqa: E402
from json_worker import answers  # noqa: E402
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers,  # noqa: E402
                        processors, trainers)

TEXTS = 600

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
            r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
MARKED = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+|[\p{Han}]+|\p{N}{1,3}|\s+(?!\S)|\s+|."


def trained(tokenizer, **options):
    trainer = trainers.BpeTrainer(vocab_size=1500, show_progress=False, **options)
    tokenizer.train_from_iterator(texts.SENTENCES * 3, trainer)
    return tokenizer


def byte_level(split=None, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    steps = [pre_tokenizers.Split(Regex(each), "isolated") for each in split or []]
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not split))
    tokenizer.pre_tokenizer = steps[0] if len(steps) == 1 else pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.ByteLevel()
    return trained(tokenizer, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())


def gpt2():
    tokenizer = byte_level()
    tokenizer.add_special_tokens(["<|im_start|>", AddedToken("<|im_end|>", rstrip=True)])
    tokenizer.add_tokens([AddedToken("pressure", single_word=True), AddedToken("...", lstrip=True), "\n\n"])
    tokenizer.post_processor = processors.TemplateProcessing("<|im_start|> $A <|im_end|>", special_tokens=[
        (name, tokenizer.token_to_id(name)) for name in ("<|im_start|>", "<|im_end|>")])
    return tokenizer


def llama3():
    tokenizer = byte_level([LLAMA3], ignore_merges=True)
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(), processors.TemplateProcessing(
        "<|im_start|> $A", special_tokens=[("<|im_start|>", tokenizer.token_to_id("<|im_start|>"))])])
    return tokenizer


def qwen2():
    tokenizer = byte_level([QWEN2])
    tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def deepseek():
    return byte_level([r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK])


def kimi():
    return byte_level([MARKED])


def llama2():
    """SentencePiece's BPE as converted by transformers: no pre-tokenizer, byte fallback."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    specials = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    trained(tokenizer, special_tokens=specials[:3], limit_alphabet=150)
    tokenizer.add_tokens([AddedToken(each, normalized=False) for each in specials[3:]])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    return with_byte_vocabulary(tokenizer)


def with_byte_vocabulary(tokenizer):
    """Moves the byte tokens from the added ones into the model's vocabulary, where byte fallback looks."""
    import json

    data = json.loads(tokenizer.to_str())
    kept = []
    for token in data["added_tokens"]:
        if token["content"].startswith("<0x"):
            data["model"]["vocab"][token["content"]] = token["id"]
        else:
            kept.append(token)
    data["added_tokens"] = kept
    return Tokenizer.from_str(json.dumps(data))


def metaspace(scheme, split=True):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Strip(),
                                                 normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme, split=split)
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme=scheme)
    trained(tokenizer, special_tokens=["<unk>"], limit_alphabet=120)
    tokenizer.add_special_tokens(["<|im_start|>", AddedToken("<|im_end|>", lstrip=True, rstrip=True)])
    return tokenizer


def words():
    """Lower case, cut at spaces, digits and punctuation, with subword marks."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", continuing_subword_prefix="##", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase(),
                                                 normalizers.StripAccents()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(),
                                                       pre_tokenizers.Punctuation("contiguous"),
                                                       pre_tokenizers.Digits(individual_digits=True)])
    return trained(tokenizer, special_tokens=["<unk>"], limit_alphabet=200, continuing_subword_prefix="##",
                   end_of_word_suffix="</w>")


def behaviour(name, invert=False):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.NFKD()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"[\s,]"), name, invert),
                                                       pre_tokenizers.Split("e", name), pre_tokenizers.Digits()])
    trained(tokenizer, special_tokens=["<unk>"], limit_alphabet=200)
    tokenizer.add_tokens([AddedToken("½ value", normalized=True),
                          AddedToken("pressure", normalized=True, single_word=True)])
    return tokenizer


def whitespace():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return trained(tokenizer, special_tokens=["<unk>"], limit_alphabet=200)


SCHEMES = {
    "gpt2": gpt2, "llama3": llama3, "qwen2": qwen2, "deepseek": deepseek, "kimi": kimi, "llama2": llama2,
    "metaspace-always": lambda: metaspace("always"), "metaspace-first": lambda: metaspace("first"),
    "metaspace-never": lambda: metaspace("never", split=False), "words": words, "whitespace": whitespace,
    **{f"split-{name}": lambda name=name: behaviour(name)
       for name in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous")},
    "split-inverted": lambda: behaviour("removed", invert=True),
}


def compare(name, tokenizer, folder):
    tokenizer.save(f"{folder}/tokenizer.json")
    all_texts = texts.all_texts(TEXTS, seed=len(name))
    wrong = 0
    for special in (False, True):
        expected = [tokenizer.encode(text, add_special_tokens=special).ids for text in all_texts]
        options = ["--add-special-tokens"] if special else []
        got = answers(["tokenize", folder, *options], [{"text": text} for text in all_texts])
        for text, ids, answer in zip(all_texts, expected, got):
            if answer["ids"] != ids:
                wrong += 1
                if wrong < 4:
                    print(name, "ids differ for", ascii(text)[:200])
                    print("  expected", ids[:60], "\n  found   ", answer["ids"][:60])
    rng = random.Random(2)
    known = sorted(tokenizer.get_vocab(True).values())
    rows = [ids for ids in expected if ids] + [rng.choices(known, k=rng.randrange(1, 12)) for _ in range(400)]
    for skip in (False, True):
        options = ["--skip-special-tokens"] if skip else []
        got = answers(["tokenize", folder, "--decode", *options], [{"ids": ids} for ids in rows])
        for ids, answer in zip(rows, got):
            text = tokenizer.decode(ids, skip_special_tokens=skip)
            if answer["text"] != text:
                wrong += 1
                if wrong < 4:
                    print(name, "text differs for", ids[:40])
                    print("  expected", ascii(text)[:300], "\n  found   ", ascii(answer["text"])[:300])
    print(f"{name}: {len(all_texts)} texts, {len(rows)} lists of ids, {wrong} differences")
    return wrong


def compare_all(schemes):
    """The exit status: whether any of the schemes named on the command line, or of all, differs."""
    wrong = 0
    for name in sys.argv[1:] or schemes:
        with tempfile.TemporaryDirectory() as folder:
            wrong += compare(name, schemes[name](), folder)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(compare_all(SCHEMES))
