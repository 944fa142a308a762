"""Training steps of masbak-worker beside PEFT on transformers: same model, tokens, LoRA, dtype and machine.

Each side is a process of its own, one after the other. Speed is the median over the steps after the
first three; memory is the peak resident set. Absolute figures depend on the machine: the ratios are the
result.

usage: train_vs_peft.py [--steps 12] [--write docs/performance.md]
"""
import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.environ["MASBAK_SOURCE"], "tests", "oracle"))
import masbak_oracle  # noqa: E402

BATCH = 8
WARM_UP = 3
LINEARS = ["q_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"]
EXPERTS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
RUN = """model: {model}
dataset: {{train: tokens.jsonl, format: tokens}}
objective: sft
adapter: {{r: 16, lora_alpha: 32, target_modules: {linears}, target_parameters: {experts}}}
training:
  learning_rate: 1.0e-3
  lr_scheduler_type: constant
  max_steps: {steps}
  per_device_train_batch_size: {batch}
  packing: false
  shuffle: false
  max_length: 256
  save_steps: 1000000
  dtype: bfloat16
"""


def write_tokens(model, folder, count):
    """The example's conversations as ids and labels, so that both sides learn from the same numbers."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    source = pathlib.Path(os.environ["MASBAK_SOURCE"]) / "examples" / "refinery" / "train.jsonl"
    with open(folder / "tokens.jsonl", "w") as out:
        for line in source.read_text(encoding="utf-8").splitlines()[:count]:
            messages = json.loads(line)["messages"]
            whole = tokenizer.apply_chat_template(messages, tokenize=False)
            asked = tokenizer.apply_chat_template(messages[:1], tokenize=False, add_generation_prompt=True)
            ids, masked = tokenizer(whole)["input_ids"], len(tokenizer(asked)["input_ids"])
            out.write(json.dumps({"input_ids": ids, "labels": [-100] * masked + ids[masked:]}) + "\n")


def measure_masbak(model, folder, steps):
    run = RUN.format(model=model, steps=steps, batch=BATCH, linears=json.dumps(LINEARS), experts=json.dumps(EXPERTS))
    (folder / "run.yaml").write_text(run)
    subprocess.run([str(masbak_oracle.WORKER), "train", str(folder / "run.yaml"), "--out", str(folder / "job")],
                   check=True, stderr=subprocess.DEVNULL)
    events = [json.loads(line) for line in (folder / "job" / "events.jsonl").read_text().splitlines()]
    done = [event for event in events if event["type"] == "step"]
    return {"tokens_per_second": statistics.median(event["tokens_per_second"] for event in done[WARM_UP:]),
            "peak_memory_bytes": max(event["peak_memory_bytes"] for event in done),
            "losses": [event["loss"] for event in done]}


def measure_peft(model, tokens, steps):
    """Runs in a process of its own and prints its figures."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    rows = [json.loads(line) for line in open(tokens)]
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16)
    lora = LoraConfig(r=16, lora_alpha=32, target_modules=LINEARS, target_parameters=EXPERTS)
    network = get_peft_model(network, lora)
    network.train()
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-3, weight_decay=0.0)
    speeds, losses = [], []
    for step in range(steps):
        batch = [rows[(step * BATCH + i) % len(rows)] for i in range(BATCH)]
        width = max(len(row["input_ids"]) for row in batch)
        ids = torch.tensor([row["input_ids"] + [0] * (width - len(row["input_ids"])) for row in batch])
        labels = torch.tensor([row["labels"] + [-100] * (width - len(row["labels"])) for row in batch])
        mask = torch.tensor([[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in batch])
        begin = time.monotonic()
        loss = network(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        speeds.append(int(mask.sum()) / (time.monotonic() - begin))
        losses.append(float(loss))
    print(json.dumps({"tokens_per_second": statistics.median(speeds[WARM_UP:]),
                      "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                      "losses": losses}))


def table_row(name, side):
    memory_gb = side["peak_memory_bytes"] / 1e9
    return f"| {name} | {side['tokens_per_second']:.0f} | {memory_gb:.2f} GB | {side['losses'][-1]:.3f} |"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--write")
    parser.add_argument("--peft", nargs=2, metavar=("MODEL", "TOKENS"))
    arguments = parser.parse_args()
    if arguments.peft:
        return measure_peft(*arguments.peft, arguments.steps)
    model = masbak_oracle.adopted()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_tokens(model, folder, BATCH * arguments.steps)
        ours = measure_masbak(model, folder, arguments.steps)
        done = subprocess.run([sys.executable, __file__, "--steps", str(arguments.steps), "--peft", str(model),
                               str(folder / "tokens.jsonl")], check=True, stdout=subprocess.PIPE, text=True)
        peft = json.loads(done.stdout.splitlines()[-1])
    speed = ours["tokens_per_second"] / peft["tokens_per_second"]
    memory = ours["peak_memory_bytes"] / peft["peak_memory_bytes"]
    text = f"""# Performance

Written by `make bench` (bench/train_vs_peft.py). The demonstration model (290 M, MLA, 4 experts), LoRA r = 16 on the
attention and on every routed expert, bfloat16, {BATCH} conversations a step, {os.cpu_count()} cores. Both sides ran one
after the other in one run; the ratios are the result.

| | tokens/s | peak memory | loss of step {arguments.steps} |
| --- | --- | --- | --- |
{table_row("masbak-worker", ours)}
{table_row("PEFT 0.21.2 on transformers 5.23.0", peft)}
| **ratio** | **{speed:.2f}** | **{memory:.2f}** | |
"""
    print(text)
    if arguments.write:
        pathlib.Path(arguments.write).write_text(text)


if __name__ == "__main__":
    main()
