"""Training in float32 against PEFT and PyTorch's AdamW with the same start and the same data: loss by loss."""
import json
import pathlib
import sys
import tempfile

import torch
from transformers import get_scheduler

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "adapters"))
import small_deepseek as small
import small_families as families
from masbak_oracle import main, worker
from peft import PeftModel
from safetensors.torch import load_file

STEPS, BATCH, RATE = 20, 4, 1e-2
TOLERANCE = 2e-3  # of a loss
ROOT = tempfile.TemporaryDirectory(prefix="masbak-loss-")
FOLDER = pathlib.Path(ROOT.name)


def their_losses(model, rows, accumulation, scheduler_name, warmup_ratio):
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.0)
    scheduler = get_scheduler(scheduler_name, optimizer, int(-(-warmup_ratio * STEPS // 1)), STEPS)
    losses, norms, position = [], [], 0
    for _ in range(STEPS):
        micro = []
        for _ in range(accumulation):
            if position >= len(rows):
                break
            micro.append(rows[position:position + BATCH])
            position += BATCH
        if position >= len(rows):
            position = 0
        labelled = sum(sum(label != -100 for label in row["labels"][1:]) for batch in micro for row in batch)
        total = 0.0
        for batch in micro:
            for row in batch:  # one row at a time: no padding, no attention mask
                logits = model(torch.tensor([row["input_ids"]])).logits[0, :-1]
                loss = torch.nn.functional.cross_entropy(logits, torch.tensor(row["labels"][1:]), reduction="sum")
                (loss / labelled).backward()
                total += loss.item() / labelled
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, 1.0).item())
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        losses.append(total)
    return losses, norms


def our_run(name, folder, start, rows, **training):
    data, run, job = FOLDER / f"{name}.jsonl", FOLDER / f"{name}.yaml", FOLDER / name
    small.write_rows(data, rows)
    run.write_text(json.dumps({
        "model": str(folder), "dataset": {"train": str(data), "format": "tokens"}, "adapter": {"path": str(start)},
        "training": {"learning_rate": RATE, "max_steps": STEPS, "per_device_train_batch_size": BATCH, "packing": False,
                     "shuffle": False, "dtype": "float32", **training}}))
    worker("train", run, "--out", job)
    events = [json.loads(line) for line in (job / "events.jsonl").read_text().splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    return [event for event in events if event["type"] == "step"], job


def compare(name, folder, model, scheduler, warmup_ratio, accumulation, **training):
    """Trains PEFT's model and ours from the same start; returns our job folder."""
    start = FOLDER / f"{name}-start"
    model.save_pretrained(start)
    rows = small.random_rows(3 * BATCH * accumulation + 2, seed=5, vocabulary=model.config.vocab_size)
    theirs, norms = their_losses(model, rows, accumulation, scheduler, warmup_ratio)
    steps, job = our_run(name, folder, start, rows, lr_scheduler_type=scheduler, warmup_ratio=warmup_ratio,
                         gradient_accumulation_steps=accumulation, **training)
    ours = [event["loss"] for event in steps]
    worst = max(abs(a - b) / b for a, b in zip(ours, theirs, strict=True))
    worst_norm = max(abs(event["grad_norm"] - norm) / norm for event, norm in zip(steps, norms, strict=True))
    print(f"{name}: loss {theirs[0]:.4f} -> {theirs[-1]:.4f}, worst relative difference {worst:.2e}, "
          f"of the gradient's norm {worst_norm:.2e}")
    assert theirs[-1] < theirs[0] - 0.05, "the reference did not learn, the comparison says nothing"
    assert worst < TOLERANCE, (ours, theirs)
    return job


def compare_logits(name, folder, trained, job):
    """PEFT's trained model, our adapter read by PEFT, and our adapter in our own model say the same."""
    ids = [5, 9, 2, 77, 140, 3, 8]
    tokens, out = FOLDER / "tokens.json", FOLDER / "logits.safetensors"
    tokens.write_text(json.dumps([ids]))
    worker("logits", folder, "--tokens", tokens, "--out", out, "--dtype", "float32", "--adapter", job / "adapter")
    with torch.no_grad():
        theirs = trained.eval()(torch.tensor([ids])).logits[0]
        plain = families.load(folder)
        untrained = plain(torch.tensor([ids])).logits[0]
        read = PeftModel.from_pretrained(plain, job / "adapter").eval()(torch.tensor([ids])).logits[0]
    assert (theirs - untrained).abs().max() > 0.1 * theirs.std(), "training changed nothing"
    for who, logits in (("PEFT", read), ("our model", load_file(out)["logits.0"])):
        worst = ((logits - theirs).abs().max() / theirs.std()).item()
        print(f"{name}: final logits of our adapter in {who} differ by {worst:.2e} of their standard deviation")
        assert worst < 2e-2


def compare_deepseek(targets, scheduler, warmup_ratio, accumulation, **options):
    name = f"{targets}-{scheduler}-{accumulation}-{'-'.join(options)}"
    folder = FOLDER / "base"
    model = small.peft_model(small.base_model(folder), targets, **options)
    job = compare(name, folder, model, scheduler, warmup_ratio, accumulation)
    compare_logits(name, folder, model, job)
    return job


def test_attention_cosine():
    compare_deepseek("attention", "cosine", 0.1, 1)


def test_experts_linear_with_accumulation():
    compare_deepseek("experts", "linear", 0.0, 2)


def test_single_experts():
    """PEFT trains a LoRA on all experts, of which all but two have zeros in A and B: no gradient reaches those."""
    name, folder, chosen, rank = "single", FOLDER / "base", (1, 6), 4
    model = small.peft_model(small.base_model(folder), "experts")
    with torch.no_grad():
        for parameter, tensor in model.named_parameters():
            if "lora_A" in parameter:
                for expert in set(range(8)) - set(chosen):
                    tensor[expert * rank:(expert + 1) * rank] = 0
    job = compare(name, folder, model, "constant", 0.0, 1)
    compare_logits(name, folder, model, job)
    kept = json.loads((job / "result.json").read_text())["plan_kept"]
    assert kept["kept"] and not kept["idle_experts"], kept
    planned = json.loads((job / "plan.json").read_text())["tensors"]
    assert planned and all(tensor["experts"] == list(chosen) for tensor in planned), planned


def test_rslora_constant_with_warmup():
    compare_deepseek("attention", "constant_with_warmup", 0.2, 1, use_rslora=True)


def test_dora():
    compare_deepseek("attention", "cosine", 0.1, 1, use_dora=True)


def test_everything():
    compare_deepseek("everything", "constant", 0.0, 1)


def test_attention_and_experts_of_the_other_mixtures():
    for family in ("mixtral", "qwen3_moe", "granitemoe", "olmoe"):
        for what in ("attention", "experts"):
            name, folder = f"{family}-{what}", FOLDER / family
            model = families.peft_model(families.base_model(family, folder), family, what)
            compare_logits(name, folder, model, compare(name, folder, model, "constant", 0.0, 1))


if __name__ == "__main__":
    main(globals())
