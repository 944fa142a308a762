"""The auxiliary loss of routers against transformers' own, loss by loss: its models with output_router_logits, trained
by PEFT and PyTorch's AdamW from the same start on the same batches."""
import json
import pathlib
import sys
import tempfile

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "models" / "families"))
from masbak_oracle import main, worker
from variants import FAMILIES

STEPS, BATCH, LENGTH, RATE, COEFFICIENT = 8, 2, 24, 1e-2, 0.3
TOLERANCE = 2e-4  # of a loss
ROOT = tempfile.TemporaryDirectory(prefix="masbak-router-loss-")
FOLDER = pathlib.Path(ROOT.name)


def base_model(family):
    """Random weights whose routers are far from balanced."""
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **FAMILIES[family]))
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            tensor.copy_(1 + 0.2 * torch.randn_like(tensor) if "norm" in name else
                         torch.randn_like(tensor) / tensor.shape[-1] ** 0.5)
            if name.endswith(("gate.weight", "router.weight", "router.layer.weight")):
                tensor.mul_(3)
    model.save_pretrained(FOLDER / family)
    return AutoModelForCausalLM.from_pretrained(FOLDER / family, dtype=torch.float32, attn_implementation="eager")


def random_rows(count, vocabulary):
    generator = torch.Generator().manual_seed(8)
    ids = torch.randint(0, vocabulary, (count, LENGTH), generator=generator).tolist()
    return [{"input_ids": row, "labels": row} for row in ids]


def their_losses(model, rows):
    model.config.router_aux_loss_coef = model.base_model.model.router_aux_loss_coef = COEFFICIENT
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.0)
    losses, auxiliary = [], []
    for step in range(STEPS):
        ids = torch.tensor([row["input_ids"] for row in rows[step * BATCH:(step + 1) * BATCH]])
        result = model(ids, labels=ids, output_router_logits=True)
        result.loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(result.loss.item())
        auxiliary.append(float(result.aux_loss))
    return losses, auxiliary


def our_steps(family, rows):
    data, run, job = FOLDER / f"{family}.jsonl", FOLDER / f"{family}.yaml", FOLDER / f"{family}-job"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run.write_text(json.dumps({
        "model": str(FOLDER / family), "dataset": {"train": str(data), "format": "tokens"},
        "adapter": {"path": str(FOLDER / f"{family}-start")},
        "training": {"learning_rate": RATE, "lr_scheduler_type": "constant", "warmup_ratio": 0, "max_steps": STEPS,
                     "per_device_train_batch_size": BATCH, "packing": False, "shuffle": False, "dtype": "float32",
                     "router_aux_loss_coef": COEFFICIENT}}))
    worker("train", run, "--out", job)
    events = [json.loads(line) for line in (job / "events.jsonl").read_text().splitlines()]
    return [event for event in events if event["type"] == "step"]


def compare(family):
    torch.manual_seed(1)
    config = LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM",
                        target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])
    model = get_peft_model(base_model(family), config)
    model.save_pretrained(FOLDER / f"{family}-start")
    rows = random_rows(STEPS * BATCH, FAMILIES[family]["vocab_size"])
    theirs, auxiliary = their_losses(model.train(), rows)
    steps = our_steps(family, rows)
    assert len(steps) == STEPS
    worst = max(abs(step["loss"] - loss) / loss for step, loss in zip(steps, theirs, strict=True))
    worst_aux = max(abs(step["aux_loss"] - loss) / loss for step, loss in zip(steps, auxiliary, strict=True))
    print(f"{family}: loss {theirs[0]:.4f} -> {theirs[-1]:.4f}, "
          f"of it routers {auxiliary[0]:.4f} -> {auxiliary[-1]:.4f}; "
          f"worst relative difference {worst:.1e}, of the routers' part {worst_aux:.1e}")
    assert COEFFICIENT * auxiliary[0] > 100 * TOLERANCE * theirs[0], "the routers' part is too small to show"
    assert worst < TOLERANCE and worst_aux < TOLERANCE, (theirs, auxiliary, steps)


def test_mixtral():
    compare("mixtral")


def test_qwen3_moe():
    compare("qwen3_moe")


def test_olmoe():
    compare("olmoe")


def test_granitemoe():
    compare("granitemoe")


if __name__ == "__main__":
    main(globals())
