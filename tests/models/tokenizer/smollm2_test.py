"""masbak-worker tokenize beside transformers, with the tokenizer of SmolLM2-135M-Instruct.

MASBAK_CACHE is the cache that holds smollm2/*.gguf (exit 77, skipped, if it is not there).
"""

import os
import pathlib
import random
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
os.environ["HF_HUB_OFFLINE"] = "1"
import texts  # noqa: E402
from json_worker import answers  # noqa: E402

TEXTS = 1500


def gguf_file():
    cache = os.environ.get("MASBAK_CACHE")
    root = pathlib.Path(cache) if cache else pathlib.Path.home() / ".cache" / "masbak"
    files = sorted((root / "smollm2").glob("*.gguf"))
    if not files:
        print(f"skipped: no GGUF file under {root}/smollm2")
        sys.exit(77)
    return files[0]


def main():
    from transformers import AutoTokenizer

    gguf = gguf_file()
    tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    all_texts = texts.all_texts(TEXTS)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        got = answers(["tokenize", folder], [{"text": text} for text in all_texts])
        wrong = 0
        expected = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in all_texts]
        for text, ids, answer in zip(all_texts, expected, got):
            if answer["ids"] != ids:
                wrong += 1
                print("ids differ for", ascii(text)[:300], "\n  expected", ids[:40], "\n  found   ", answer["ids"][:40])
        # Random ids as well: they decode to ill-formed bytes, which must be replaced in the same places.
        rng = random.Random(1)
        expected += [[rng.randrange(len(tokenizer)) for _ in range(rng.randrange(1, 20))] for _ in range(500)]
        expected += [[rng.randrange(150, 400) for _ in range(rng.randrange(1, 20))] for _ in range(500)]
        for skip in (False, True):
            arguments = ["tokenize", folder, "--decode"] + (["--skip-special-tokens"] if skip else [])
            decoded = answers(arguments, [{"ids": ids} for ids in expected])
            for ids, answer in zip(expected, decoded):
                text = tokenizer.decode(ids, skip_special_tokens=skip)
                if answer["text"] != text:
                    wrong += 1
                    print("text differs for", ids[:40])
                    print("  expected", ascii(text), "\n  found   ", ascii(answer["text"]))
    print(f"{len(all_texts)} texts and {len(expected)} lists of ids compared, {wrong} differences")
    assert len(all_texts) >= 500
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
