"""DPO, ORPO and KTO in float32 beside trl's own trainers, with the same starting adapter, data and optimiser: loss by
loss over 20 steps, and the logits of the adapters in the end."""
import json
import pathlib
import shutil
import sys
import tempfile

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "adapters"))
import small_deepseek as small
from datasets import Dataset
from masbak_oracle import adopted, main, worker
from peft import PeftModel
from transformers import AutoTokenizer, DeepseekV3ForCausalLM
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

STEPS, BATCH, RATE = 20, 2, 1e-2
TOLERANCE = 2e-3  # of a loss
ROOT = tempfile.TemporaryDirectory(prefix="masbak-preference-")
FOLDER = pathlib.Path(ROOT.name)
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def model_folder():
    folder = FOLDER / "base"
    if not folder.exists():
        tokens = adopted()
        small.base_model(folder, vocab_size=49152)
        for name in TOKENIZER_FILES:
            if (tokens / name).exists():
                shutil.copy(tokens / name, folder / name)
    return folder


def start_adapter(name):
    model = small.peft_model(reload_base(model_folder()), "attention")
    start = FOLDER / f"{name}-start"
    model.save_pretrained(start)
    return model, start


def reload_base(folder):
    return DeepseekV3ForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def pairs():
    asked = ["How hot may pump P-101 run?", "Name the relief valve.", "What is the flow?", "Is line 7 open?"]
    said = [("At most 80 degrees.", "I do not know."), ("It is PSV-12.", "There is none, I think."),
            ("Forty cubic metres an hour.", "A lot."), ("Yes, since Monday.", "No.")]
    return [{"prompt": [{"role": "user", "content": question}],
             "chosen": [{"role": "assistant", "content": good}],
             "rejected": [{"role": "assistant", "content": bad}]} for question, (good, bad) in zip(asked, said)]


def singles():
    rows = []
    for pair in pairs():
        rows.append({"prompt": pair["prompt"], "completion": pair["chosen"], "label": True})
        rows.append({"prompt": pair["prompt"], "completion": pair["rejected"], "label": False})
    return rows


class PlainORPOTrainer(ORPOTrainer):
    """trl's, on the tokens of the chat template alone: its own way adds another end-of-text token behind each answer,
    which DPOTrainer and our data do not."""

    def tokenize_row(self, feature, model=None):
        tokenizer = self.processing_class
        prompt = tokenizer(feature["prompt"], add_special_tokens=False)["input_ids"]
        row = {"prompt_input_ids": prompt, "prompt_attention_mask": [1] * len(prompt)}
        for side in ("chosen", "rejected"):
            ids = tokenizer(feature["prompt"] + feature[side], add_special_tokens=False)["input_ids"]
            row |= {f"{side}_input_ids": ids, f"{side}_attention_mask": [1] * len(ids),
                    f"{side}_labels": [-100] * len(prompt) + ids[len(prompt):]}
        return row


def theirs(trainer_class, config_class, model, rows, **options):
    losses = []

    class Recorded(trainer_class):
        def training_step(self, *arguments, **more):
            loss = super().training_step(*arguments, **more)
            losses.append(loss.item())
            return loss

        def _get_train_sampler(self, *_):
            return torch.utils.data.SequentialSampler(self.train_dataset)

    args = config_class(
        output_dir=str(FOLDER / "trl"), max_steps=STEPS, per_device_train_batch_size=BATCH, learning_rate=RATE,
        lr_scheduler_type="constant", weight_decay=0.0, max_grad_norm=1.0, logging_steps=1000, report_to=[],
        bf16=False, gradient_checkpointing=False, use_cpu=True, save_strategy="no", max_length=64,
        disable_tqdm=True, **options)
    trainer = Recorded(model=model, args=args, train_dataset=Dataset.from_list(rows),
                       processing_class=AutoTokenizer.from_pretrained(model_folder()))
    trainer.train()
    return losses, trainer.model


def ours(name, objective, start, rows, **training):
    data, run, job = FOLDER / f"{name}.jsonl", FOLDER / f"{name}.yaml", FOLDER / name
    small.write_rows(data, rows)
    run.write_text(json.dumps({
        "model": str(model_folder()), "dataset": {"train": str(data)}, "objective": objective,
        "adapter": {"path": str(start)},
        "training": {"learning_rate": RATE, "max_steps": STEPS, "per_device_train_batch_size": BATCH, "shuffle": False,
                     "lr_scheduler_type": "constant", "dtype": "float32", "max_length": 64, **training}}))
    worker("train", run, "--out", job)
    events = [json.loads(line) for line in (job / "events.jsonl").read_text().splitlines()]
    return [event["loss"] for event in events if event["type"] == "step"], job


def compare(name, objective, trainer_class, config_class, rows, **options):
    model, start = start_adapter(name)
    our_losses, job = ours(name, objective, start, rows, **options)
    their_losses, model = theirs(trainer_class, config_class, model, rows, **options)
    worst = max(abs(a - b) / max(abs(b), 1e-2) for a, b in zip(our_losses, their_losses, strict=True))
    print(f"{name}: loss {their_losses[0]:.4f} -> {their_losses[-1]:.4f}, worst relative difference {worst:.2e}")
    assert their_losses[-1] != their_losses[0], "the reference did not learn, the comparison says nothing"
    assert worst < TOLERANCE, list(zip(our_losses, their_losses))
    ids = torch.tensor([[5, 9, 2, 77, 140, 3, 8]])
    with torch.no_grad():
        their_logits = model.eval()(ids).logits
        again = PeftModel.from_pretrained(reload_base(model_folder()), job / "adapter").eval()
        off = ((again(ids).logits - their_logits).abs().max() / their_logits.std()).item()
    print(f"{name}: final logits differ by {off:.2e} of their standard deviation")
    assert off < 2e-2


def test_dpo():
    compare("dpo", "dpo", DPOTrainer, DPOConfig, pairs(), beta=0.1)


def test_dpo_ipo():
    compare("ipo", "dpo", DPOTrainer, DPOConfig, pairs(), beta=0.2, loss_type="ipo")


def test_orpo():
    compare("orpo", "orpo", PlainORPOTrainer, ORPOConfig, pairs(), beta=0.2)


def test_kto():
    compare("kto", "kto", KTOTrainer, KTOConfig, singles(), beta=0.1, desirable_weight=1.5)


if __name__ == "__main__":
    main(globals())
