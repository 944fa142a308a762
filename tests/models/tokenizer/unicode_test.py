"""Every code point through what a tokenizer asks of it, beside Hugging Face's tokenizers: categories and scripts in
patterns (run as class patterns and in PCRE2), digits, punctuation, white space, normal forms, lower case, accents."""

import itertools
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from json_worker import answers  # noqa: E402
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers  # noqa: E402
from charsmap import nmt_nfkc  # noqa: E402

CATEGORIES = "L M N P S Z C Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Cc Cf Cn Co".split()
SCRIPTS = "Han Hiragana Katakana Hangul Latin Greek Hebrew Thai".split()
POINTS = [c for c in itertools.chain(range(0x32400), range(0xE0000, 0xE0200), range(0x32400, 0x110000, 4093))
          if not 0xD800 <= c <= 0xDFFF]


def texts(separator):
    return [separator + separator.join(map(chr, POINTS[at:at + 2000])) + separator
            for at in range(0, len(POINTS), 2000)]


def marking(pre_tokenizer=None, normalizer=None):
    """A tokenizer that shows each piece by a mark before it, and its bytes."""
    vocabulary = {"▁": 0, **{f"<0x{byte:02X}>": byte + 1 for byte in range(256)}}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True))
    steps = [pre_tokenizer] if pre_tokenizer else []
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*steps, pre_tokenizers.Metaspace(split=False)])
    if normalizer:
        tokenizer.normalizer = normalizer
    return tokenizer


def split(expression):
    return marking(pre_tokenizers.Split(Regex(expression), "isolated"))


def cases():
    for name in CATEGORIES + SCRIPTS:
        yield rf"\p{{{name}}}", split(rf"\p{{{name}}}+"), "a"
        if len(name) != 2:
            yield rf"\p{{{name}}} in PCRE2", split(rf"(?<!\x{{0}})\p{{{name}}}+"), "a"
    for expression in (r"\s", r"\w", r"\d", r"\h", r"\S", r"\W", r"[^\s\p{L}\p{N}]", r"[\p{L}&&[^\p{Han}]]",
                       "(?i:[a-z])", "(?i:k|s)"):
        separator = "Q" if expression in (r"\s", r"\W", r"\d", r"\h", r"[^\s\p{L}\p{N}]") else "!"
        separator = " " if expression == r"\S" else separator
        yield expression, split(expression), separator
        yield expression + " in PCRE2", split(rf"(?<!\x{{0}}){expression}"), separator
    for name, pre_tokenizer in (("Digits", pre_tokenizers.Digits(True)), ("Punctuation", pre_tokenizers.Punctuation()),
                                ("Whitespace", pre_tokenizers.Whitespace()),
                                ("WhitespaceSplit", pre_tokenizers.WhitespaceSplit()),
                                ("BertPreTokenizer", pre_tokenizers.BertPreTokenizer()),
                                ("UnicodeScripts", pre_tokenizers.UnicodeScripts())):
        yield name, marking(pre_tokenizer), "a"
    for name, normalizer in (
            ("NFC", normalizers.NFC()), ("NFD", normalizers.NFD()), ("NFKC", normalizers.NFKC()),
            ("NFKD", normalizers.NFKD()), ("Lowercase", normalizers.Lowercase()), ("Nmt", normalizers.Nmt()),
            ("StripAccents", normalizers.StripAccents()), ("BertNormalizer", normalizers.BertNormalizer()),
            ("Precompiled", normalizers.Precompiled(nmt_nfkc()))):
        yield name, marking(normalizer=normalizer), "a"
        yield name + " of neighbours", marking(normalizer=normalizer), ""


def main():
    wrong = 0
    for name, tokenizer, separator in cases():
        rows = texts(separator)
        with tempfile.TemporaryDirectory() as folder:
            tokenizer.save(f"{folder}/tokenizer.json")
            got = answers(["tokenize", folder], [{"text": text} for text in rows])
        for text, expected, answer in zip(rows, tokenizer.encode_batch(rows), got):
            if expected.ids != answer["ids"]:
                wrong += 1
                at = next(i for i, pair in enumerate(itertools.zip_longest(expected.ids, answer["ids"]))
                          if pair[0] != pair[1])
                here = expected.offsets[min(at, len(expected.offsets) - 1)][0]
                print(name, "differs near", [hex(ord(c)) for c in text[max(here - 2, 0):here + 3]])
    print(f"{len(POINTS)} code points, {wrong} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
