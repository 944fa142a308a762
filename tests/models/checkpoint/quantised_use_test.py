"""What is done with quantised models: fused experts and shards, generation and serving, a disk that fills up, and the
estimate of a run on 671 B parameters."""
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time
import urllib.request

import bitsandbytes.functional as bnb
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models

from masbak_oracle import WORKER, Served, main, worker

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import big_folder  # noqa: E402
from quantised_test import IDS, MEASURE, ROOT, SIZES, as_fp8, by_hand, distance, logits, small_model  # noqa: E402

PROMPTS = [[3, 1, 4, 1, 5], [9], [2, 7, 1, 8, 2, 8, 1, 8, 2, 8]]
TOKENS = 12


def fused_shards(model, folder):
    """The model as transformers 5 holds it in memory, experts fused, in three files with an index."""
    folder.mkdir()
    model.config.save_pretrained(folder)
    state = {name: weight.contiguous() for name, weight in model.state_dict().items()}
    index, names = {}, sorted(state)
    for part in range(3):
        file = f"model-{part + 1:05}-of-00003.safetensors"
        save_file({name: state[name] for name in names[part::3]}, folder / file, metadata={"format": "pt"})
        index.update(dict.fromkeys(names[part::3], file))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    # ids alone are wanted: each of the vocabulary is a character
    characters = {chr(0x100 + i): i for i in range(SIZES["vocab_size"])}
    Tokenizer(models.BPE(vocab=characters, merges=[])).save(str(folder / "tokenizer.json"))


def read_all(folder):
    weight_map = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    tensors = {}
    for file in sorted(set(weight_map.values())):
        found = load_file(folder / file)
        assert all(weight_map[name] == file for name in found)
        tensors.update(found)
    assert set(tensors) == set(weight_map)
    return tensors


def widened(folder, name, shape):
    """A weight of a quantised folder in float32, by the definition of its scheme."""
    stored = read_all(folder)
    if name + ".absmax" in stored:
        parts = {part[len(name) + 1:]: value for part, value in stored.items() if part.startswith(name + ".")}
        return by_hand(stored[name], parts, bnb.QuantState.from_dict(dict(parts), device="cpu").offset).view(shape)
    stem = name.removesuffix(".weight")
    if stem + ".SCB" in stored:
        return stored[name].float() * (stored[stem + ".SCB"] / 127).unsqueeze(-1)
    return stored[name].float()


def greedy(model, ids):
    with torch.no_grad():
        for _ in range(TOKENS):
            ids = ids + [model(torch.tensor([ids])).logits[0, -1].argmax().item()]
    return ids[-TOKENS:]


MODELS = {}  # scheme: (folder, the model of transformers with the same numbers)


def test_fused_experts_in_shards():
    model = small_model(ROOT / "loose", seed=3)
    fused_shards(model, ROOT / "fused")
    shapes = {name: weight.shape for name, weight in model.state_dict().items()}
    for scheme in ("nf4", "int8"):
        folder = ROOT / f"fused-{scheme}"
        worker("quantize", ROOT / "fused", "--to", scheme, "--out", folder)
        assert len(list(folder.glob("model-*.safetensors"))) == 3 and not list(folder.glob("model.safetensors"))
        small = [name for name in shapes if not torch.equal(widened(folder, name, shapes[name]),
                                                            model.state_dict()[name])]
        assert any("experts.gate_up_proj" in name for name in small) and not any("norm" in name for name in small)
        other = small_model(ROOT / f"other-{scheme}", seed=3)
        other.load_state_dict({name: widened(folder, name, shape) for name, shape in shapes.items()})
        with torch.no_grad():
            expected = [other(torch.tensor([ids])).logits[0] for ids in IDS]
        for options in ((), ("--steps",)):
            away = distance(logits(folder, *options), expected)
            print(f"   {scheme} fused, three shards {options}: {away:.1e} of the logits' deviation")
            assert away < 2e-4
        MODELS[scheme] = folder, other


def test_fp8_joins_them():
    stored, whole = as_fp8(ROOT / "loose", ROOT / "use-fp8", (128, 128))
    (ROOT / "use-fp8" / "tokenizer.json").write_bytes((ROOT / "fused" / "tokenizer.json").read_bytes())
    folder = ROOT / "wide-fp8"
    folder.mkdir()
    (folder / "config.json").write_bytes((ROOT / "loose" / "config.json").read_bytes())
    save_file({name: weight.contiguous() for name, weight in whole.items()}, folder / "model.safetensors",
              metadata={"format": "pt"})
    MODELS["fp8"] = ROOT / "use-fp8", type(MODELS["nf4"][1]).from_pretrained(folder, dtype=torch.float32).eval()
    assert any(value.dtype == torch.float8_e4m3fn for value in stored.values())


def test_generate_and_serve():
    rows = "".join(json.dumps({"ids": ids}) + "\n" for ids in PROMPTS)
    for scheme, (folder, model) in MODELS.items():
        expected = [greedy(model, ids) for ids in PROMPTS]
        done = worker("generate", folder, "--dtype", "float32", "--max-tokens", TOKENS, input=rows)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert [answer["ids"] for answer in answers] == expected, (scheme, answers, expected)
        with Served(folder, "--dtype", "float32") as server:
            for ids, answer in zip(PROMPTS, answers):
                body = {"model": folder.name, "prompt": ids, "max_tokens": TOKENS, "temperature": 0}
                request = urllib.request.Request(f"http://{server.address}/v1/completions", json.dumps(body).encode(),
                                                 {"Content-Type": "application/json"})
                with urllib.request.urlopen(request, timeout=60) as reply:
                    served = json.loads(reply.read())
                assert served["choices"][0]["text"] == answer["text"], scheme
                assert served["usage"]["completion_tokens"] == TOKENS
        print(f"   {scheme}: {len(PROMPTS)} answers of {TOKENS} tokens as transformers gives them")


def test_a_full_disk_leaves_nothing():
    """A limit on the size of files, whose signal is ignored, fails a write as a full disk does."""
    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    for source, scheme in (("fused", "nf4"), ("fused", "int8"), ("loose", "int8")):
        before = sorted(os.listdir(ROOT))
        done = subprocess.run([WORKER, "quantize", ROOT / source, "--to", scheme, "--out", ROOT / "full"],
                              capture_output=True, text=True, preexec_fn=limited)
        assert done.returncode not in (0, -signal.SIGXFSZ) and done.stderr.count("\n") == 1, done.stderr
        assert "writ" in done.stderr and ".safetensors" in done.stderr, done.stderr
        assert sorted(os.listdir(ROOT)) == before, set(os.listdir(ROOT)) - set(before)


def test_estimate_of_671_billion_parameters():
    big_folder.write(ROOT / "big")
    rows = [{"input_ids": list(range(3, 3 + n)), "labels": list(range(3, 3 + n))} for n in (400, 20, 90)]
    (ROOT / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (ROOT / "big.yaml").write_text(json.dumps({
        "model": str(ROOT / "big"), "dataset": {"train": str(ROOT / "rows.jsonl"), "format": "tokens"},
        "adapter": {"r": 8, "lora_alpha": 16, "target_modules": ["attention"]}, "training": {"max_steps": 5}}))
    begin = time.monotonic()
    done = subprocess.run([sys.executable, "-c", MEASURE, WORKER, "estimate", ROOT / "big.yaml"], capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    peak = int(done.stderr.strip().splitlines()[-1])
    print(f"   estimate: {time.monotonic() - begin:.1f} s, {peak / 1e6:.2f} GB")
    assert peak < 1_000_000
    found = json.loads(done.stdout)
    weights = sum(size for part, size in found["parts"].items() if part.startswith("weights"))
    assert weights > 640e9, found
    assert not found["fits"] and found["trainable_parameters"] > 0


if __name__ == "__main__":
    main(globals())
