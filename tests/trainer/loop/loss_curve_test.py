"""Training in float32 against PEFT and PyTorch's AdamW with the same start and the same data: loss by loss."""
import json
import pathlib
import sys
import tempfile

import torch
from transformers import get_scheduler

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "adapters"))
import small_deepseek as small
from masbak_oracle import main, worker
from peft import PeftModel

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


def compare(targets, scheduler, warmup_ratio, accumulation, **options):
    name = f"{targets}-{scheduler}-{accumulation}-{len(options)}"
    folder, start = FOLDER / "base", FOLDER / f"{name}-start"
    base = small.base_model(folder)
    model = small.peft_model(base, targets, **options)
    model.save_pretrained(start)
    rows = small.random_rows(3 * BATCH * accumulation + 2, seed=5)
    theirs, norms = their_losses(model, rows, accumulation, scheduler, warmup_ratio)
    steps, job = our_run(name, folder, start, rows, lr_scheduler_type=scheduler, warmup_ratio=warmup_ratio,
                         gradient_accumulation_steps=accumulation)
    ours = [event["loss"] for event in steps]
    worst = max(abs(a - b) / b for a, b in zip(ours, theirs, strict=True))
    worst_norm = max(abs(event["grad_norm"] - norm) / norm for event, norm in zip(steps, norms, strict=True))
    print(f"{name}: loss {theirs[0]:.4f} -> {theirs[-1]:.4f}, worst relative difference {worst:.2e}, "
          f"of the gradient's norm {worst_norm:.2e}")
    assert theirs[-1] < theirs[0] - 0.05, "the reference did not learn, the comparison says nothing"
    assert worst < TOLERANCE, (ours, theirs)
    return model, base, job


def test_attention_cosine():
    compare("attention", "cosine", 0.1, 1)


def test_experts_linear_with_accumulation():
    compare("experts", "linear", 0.0, 2)


def test_rslora_constant_with_warmup():
    compare("attention", "constant_with_warmup", 0.2, 1, use_rslora=True)


def test_everything_and_the_final_adapter():
    model, _, job = compare("everything", "constant", 0.0, 1)
    ids = torch.tensor([[5, 9, 2, 77, 140, 3, 8]])
    with torch.no_grad():
        theirs = model.eval()(ids).logits
        again = small.base_model(FOLDER / "base")
        ours = PeftModel.from_pretrained(again, job / "adapter").eval()(ids).logits
    worst = ((ours - theirs).abs().max() / theirs.std()).item()
    assert worst < 2e-2, f"final logits differ by {worst} of their standard deviation"


if __name__ == "__main__":
    main(globals())
