"""Every family: adapter folders both ways with PEFT, the plan's promise over a run, and adapters with one tensor too
many or too few, which check, train, merge and serve refuse."""
import json
import pathlib
import re
import sys
import tempfile

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import BPE

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import small_deepseek as small
import small_families as families
from masbak_oracle import main, worker
from small_families import distance, our_logits, their_logits

TOLERANCE = 1e-3  # of the logits' standard deviation, float32
ROOT = tempfile.TemporaryDirectory(prefix="masbak-families-")
FOLDER = pathlib.Path(ROOT.name)
TOKENS = [[5, 9, 2, 77, 140, 3, 8], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]]
ALL = list(families.FAMILIES)


def base(family):
    """The folder, written once, with a tokenizer of single letters: serve wants one."""
    folder = FOLDER / family
    if not folder.exists():
        families.base_model(family, folder)
        letters = {letter: i for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz")} | {"</s>": 26}
        tokenizer = Tokenizer(BPE(letters, []))
        tokenizer.add_special_tokens(["</s>"])
        tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>"}))
    return folder


def what_of(family):
    return "both" if family in families.MIXTURES else "attention"


def run_file(name, model, targets, path=None, steps=4, **adapter):
    rows = FOLDER / "rows.jsonl"
    small.write_rows(rows, small.random_rows(12, seed=3, vocabulary=157))
    run = FOLDER / f"{name}.yaml"
    section = {"path": str(path)} if path else {"r": 4, "lora_alpha": 8, "target_modules": targets, **adapter}
    run.write_text(json.dumps({
        "model": str(model), "dataset": {"train": str(rows), "format": "tokens"}, "adapter": section,
        "training": {"learning_rate": 0.02, "lr_scheduler_type": "constant", "max_steps": steps, "dtype": "float32",
                     "per_device_train_batch_size": 12}}))
    return run


def train(name, model, targets, **adapter):
    worker("train", run_file(name, model, targets, **adapter), "--out", FOLDER / name)
    return FOLDER / name / "adapter"


def assert_peft_says_the_same(jobs, least):
    """Of [(model folder, our adapter)], which must move the logits by `least` of their deviation."""
    for (folder, adapter), ours in zip(jobs, our_logits(FOLDER, TOKENS, jobs), strict=True):
        plain = families.load(folder)
        untouched = their_logits(plain, TOKENS)
        theirs = their_logits(PeftModel.from_pretrained(plain, adapter).eval(), TOKENS)
        print(f"{folder.name}: {distance(ours, theirs):.1e}, from the base {distance(theirs, untouched):.2f}")
        assert distance(ours, theirs) < TOLERANCE and distance(theirs, untouched) > least, folder.name


def test_reads_what_peft_writes():
    jobs, wanted = [], []
    for family in ALL:
        for what in ("attention", "experts") if family in families.MIXTURES else ("attention",):
            plain = families.load(base(family))
            untouched = their_logits(plain, TOKENS)
            model = families.peft_model(plain, family, what, random_b=True, use_rslora=what == "experts")
            wanted.append((f"{family} {what}", their_logits(model, TOKENS)))
            assert distance(wanted[-1][1], untouched) > 0.05, "the adapter changes nothing"
            model.save_pretrained(FOLDER / f"peft-{family}-{what}")
            jobs.append((base(family), FOLDER / f"peft-{family}-{what}"))
    for (name, theirs), ours in zip(wanted, our_logits(FOLDER, TOKENS, jobs), strict=True):
        print(f"{name}: {distance(ours, theirs):.1e}")
        assert distance(ours, theirs) < TOLERANCE, name


def test_peft_reads_what_we_write_and_the_plan_is_kept():
    jobs = []
    for family in ALL:
        targets = ["attention", "experts"] if family in families.MIXTURES else ["attention", "dense_mlp"]
        adapter = train(f"ours-{family}", base(family), targets)
        result = json.loads((adapter.parent / "result.json").read_text())
        planned = json.loads((adapter.parent / "plan.json").read_text())["tensors"]
        kept = result["plan_kept"]
        assert kept["kept"] and not kept["unchanged"] and not kept["frozen_changed"], (family, kept)
        # Every tensor of the plan is in the file and nothing else is; everything that no tensor is for was looked at.
        written = load_file(adapter / "adapter_model.safetensors")
        assert {(t["name"], tuple(t["shape"])) for t in planned} == {(k, tuple(v.shape)) for k, v in written.items()}
        assert kept["trained_tensors"] == len(planned) and kept["frozen_tensors"] > len(planned) // 2, kept
        jobs.append((base(family), adapter))
    assert_peft_says_the_same(jobs, least=0.05)


def test_single_experts_train_and_the_others_stay():
    """Two experts of layer 1, one of them without its gate and up projection; PEFT reads the result."""
    jobs = []
    for family in families.MIXTURES:
        targets = ["layers.1.mlp.experts.2", "layers.1.mlp.experts.0.down_proj"]
        if family == "granitemoe":
            targets = [name.replace(".mlp.", ".block_sparse_moe.") for name in targets]
        adapter = train(f"single-{family}", base(family), targets)
        result = json.loads((adapter.parent / "result.json").read_text())
        planned = json.loads((adapter.parent / "plan.json").read_text())["tensors"]
        assert result["plan_kept"]["kept"] and not result["plan_kept"]["idle_experts"], (family, result["plan_kept"])
        chosen = {tensor["target"].split(".")[-1]: tensor["experts"] for tensor in planned}
        assert chosen == {"gate_up_proj": [2], "down_proj": [0, 2]}, chosen
        tensors = load_file(adapter / "adapter_model.safetensors")
        for tensor in planned:
            written, rank = tensors[tensor["name"]], tensor["rank"]
            is_a = ".lora_A." in tensor["name"]
            count = written.shape[0 if is_a else 1] // rank
            for expert in range(count):
                part = written[expert * rank:(expert + 1) * rank] if is_a else written[:, expert::count]
                assert bool(part.any()) == (expert in tensor["experts"]), (family, tensor["name"], expert)
        jobs.append((base(family), adapter))
    assert_peft_says_the_same(jobs, least=0.01)


def refusals(family, adapter):
    """What each command says of a damaged adapter."""
    out = FOLDER / f"refused-{adapter.name}"
    commands = {
        "check": ["check", adapter, "--model", base(family)],
        "train": ["train", run_file("refused", base(family), None, path=adapter), "--out", out / "job"],
        "merge": ["merge", base(family), adapter, "--out", out / "merged"],
        "serve": ["serve", base(family), "--listen", "127.0.0.1:0", "--adapter", f"bad={adapter}"],
        "logits": ["logits", base(family), "--tokens", FOLDER / "tokens.json", "--out", out / "l",
                   "--adapter", adapter],
    }
    for name, command in commands.items():
        done = worker(*command, check=False)
        assert done.returncode == 2 and done.stderr.count("error: ") == 1, (family, name, done.returncode, done.stderr)
        yield name, done.stderr.splitlines()[-1]
    assert not (out / "merged").exists() and not (out / "l").exists() and not (out / "job" / "adapter").exists()


def test_one_tensor_too_many_or_too_few_is_refused():
    (FOLDER / "tokens.json").write_text(json.dumps(TOKENS))
    for family in ALL:
        whole = FOLDER / f"peft-{family}-{'experts' if family in families.MIXTURES else 'attention'}"
        tensors = load_file(whole / "adapter_model.safetensors")
        victim = sorted(tensors)[len(tensors) // 2]
        extra = re.sub(r"layers\.\d+", "layers.0", victim).replace("layers.0", "layers.7", 1)
        lacking = {name: tensor for name, tensor in tensors.items() if name != victim}
        more = {**tensors, extra: tensors[victim].clone()}
        for kind, content, named in (("few", lacking, victim), ("many", more, extra)):
            damaged = FOLDER / f"too-{kind}-{family}"
            damaged.mkdir()
            (damaged / "adapter_config.json").write_text((whole / "adapter_config.json").read_text())
            save_file(content, damaged / "adapter_model.safetensors", {"format": "pt"})
            for command, message in refusals(family, damaged):
                assert named in message and "refused whole" in message, (family, kind, command, message)


def test_a_damaged_checkpoint_is_not_gone_on_from():
    """Resuming: where every checkpoint's adapter lacks a tensor, the run starts again and says so."""
    family = "qwen3_moe"
    run, job = run_file("resumed", base(family), ["experts"], steps=4), FOLDER / "resumed"
    worker("train", run, "--out", job)
    wanted = (job / "adapter" / "adapter_model.safetensors").read_bytes()
    (job / "result.json").unlink()
    for checkpoint in (job / "checkpoints").iterdir():
        file = checkpoint / "adapter" / "adapter_model.safetensors"
        tensors = load_file(file)
        del tensors[sorted(tensors)[0]]
        save_file(tensors, file, {"format": "pt"})
    worker("train", run, "--out", job, "--resume")
    events = [json.loads(line) for line in (job / "events.jsonl").read_text().splitlines()]
    assert any(event["type"] == "warning" and "checkpoint" in event["message"] for event in events), events
    assert (job / "adapter" / "adapter_model.safetensors").read_bytes() == wanted


if __name__ == "__main__":
    main(globals())
