"""What a run does when its loss goes astray: a row that makes it not finite, or jump, is stopped at, warned of, or
stepped back from, after which the run is that of the same data without the row, loss by loss."""
import json
import pathlib
import statistics
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "adapters"))
import small_deepseek as small
from masbak_oracle import main, worker

STEPS, BAD_ROW, POISON, FACTOR = 24, 15, 7, 1.25
ROOT = tempfile.TemporaryDirectory(prefix="masbak-astray-")
FOLDER = pathlib.Path(ROOT.name)


def model():
    """A base in whose embedding one token is not a number."""
    folder = FOLDER / "base"
    if not folder.exists():
        small.base_model(folder)
        file = folder / "model.safetensors"
        weights = load_file(file)
        weights["model.embed_tokens.weight"][POISON] = float("nan")
        save_file(weights, file, {"format": "pt"})
    return folder


def easy_rows(count):
    """All alike but for their beginning, so that the loss soon falls below that of another text."""
    ids = [10 + (3 * i) % 100 for i in range(14)]
    return [{"input_ids": [120 + n % 5] + ids, "labels": [-100] + ids} for n in range(count)]


def jumping_row():
    ids = torch.randint(110, 160, (15,), generator=torch.Generator().manual_seed(2)).tolist()
    return {"input_ids": ids, "labels": ids}


def poisoned_row():
    row = easy_rows(1)[0]
    return {**row, "input_ids": [POISON] + row["input_ids"][1:]}


def train(name, rows, resume=False, **training):
    data, file, job = FOLDER / f"{name}.jsonl", FOLDER / f"{name}.yaml", FOLDER / name
    small.write_rows(data, rows)
    file.write_text(json.dumps({
        "model": str(model()), "dataset": {"train": str(data), "format": "tokens"},
        "adapter": {"r": 4, "target_modules": ["attention", "shared_experts"], "lora_dropout": 0.1},
        "training": {"learning_rate": 0.1, "lr_scheduler_type": "constant", "warmup_ratio": 0, "max_steps": STEPS,
                     "dtype": "float32", "per_device_train_batch_size": 1, "packing": False, "shuffle": False,
                     "save_steps": 4, **training}}))
    return worker("train", file, "--out", job, *(["--resume"] if resume else []), check=False), job


def events(job, kind=None):
    found = [json.loads(line) for line in (job / "events.jsonl").read_text().splitlines()]
    assert [event["seq"] for event in found] == list(range(1, len(found) + 1))
    return [event for event in found if kind in (None, event["type"])]


def losses(job):
    return {event["step"]: event["loss"] for event in events(job, "step")}


def with_bad(row):
    rows = easy_rows(2 * STEPS)
    return rows[:BAD_ROW] + [row] + rows[BAD_ROW:]


def clean():
    job = FOLDER / "clean"
    if not job.exists():
        done, _ = train("clean", easy_rows(2 * STEPS))
        assert done.returncode == 0, done.stderr
    return job


def assert_as_without(job, done):
    assert done.returncode == 0, done.stderr
    assert losses(job) == losses(clean()), "the bad row had a part in what was learnt"
    ours, theirs = ((folder / "adapter" / "adapter_model.safetensors").read_bytes() for folder in (job, clean()))
    assert ours == theirs
    state = json.loads((job / "checkpoints" / f"step-{STEPS:06d}" / "state.json").read_text())
    assert state["skipped"] == [BAD_ROW] and state["step_backs"] == 1, state
    warnings = [event["message"] for event in events(job, "warning")]
    assert len(warnings) == 1 and f"step {BAD_ROW + 1}" in warnings[0] and "back to step 12" in warnings[0], warnings


def test_a_row_that_is_not_finite_stops_the_run():
    done, job = train("nan-stop", with_bad(poisoned_row()))
    assert done.returncode == 1 and "ABORTED" in done.stderr and "is not finite" in done.stderr, done.stderr
    assert events(job)[-1]["reason"] == "not_finite" and events(job)[-1]["step"] == BAD_ROW
    assert len(losses(job)) == BAD_ROW and not (job / "adapter").exists()


def test_a_row_that_is_not_finite_is_stepped_back_from():
    done, job = train("nan-back", with_bad(poisoned_row()), nan_action="step_back")
    assert_as_without(job, done)


def test_a_resume_after_a_step_back_still_passes_the_row_over():
    done, job = train("nan-resumed", with_bad(poisoned_row()), nan_action="step_back")
    assert done.returncode == 0, done.stderr
    (job / "result.json").unlink()
    for newest in (job / "checkpoints").glob(f"step-{STEPS:06d}/state.json"):
        newest.write_text(newest.read_text() + " ")  # the state names its files' digests, not its own
    damaged = job / "checkpoints" / f"step-{STEPS:06d}" / "optimizer.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-8])
    done, job = train("nan-resumed", with_bad(poisoned_row()), resume=True, nan_action="step_back")
    assert done.returncode == 0 and losses(job) == losses(clean()), done.stderr
    assert any("damaged" in event["message"] for event in events(job, "warning"))


def test_a_jump_is_warned_of_stopped_at_or_stepped_back_from():
    rows = with_bad(jumping_row())
    usual = statistics.median(losses(clean())[step] for step in range(1, BAD_ROW + 1))
    done, job = train("spike-warn", rows, loss_spike_factor=FACTOR)
    assert done.returncode == 0, done.stderr
    assert losses(job)[BAD_ROW + 1] > FACTOR * usual
    assert [event["step"] for event in events(job, "warning")] == [BAD_ROW + 1], events(job, "warning")
    done, job = train("spike-stop", rows, loss_spike_factor=FACTOR, loss_spike_action="stop")
    assert done.returncode == 1 and "ABORTED" in done.stderr and "loss_spike_action" in done.stderr, done.stderr
    assert len(losses(job)) == BAD_ROW and events(job)[-1]["reason"] == "loss_spike"
    done, job = train("spike-back", rows, loss_spike_factor=FACTOR, loss_spike_action="step_back")
    assert_as_without(job, done)


def test_the_sixth_step_back_stops_the_run():
    bad = poisoned_row()
    done, job = train("always-bad", easy_rows(6) + [bad] * STEPS, nan_action="step_back")
    assert done.returncode == 1 and "not one batch" in done.stderr and "learning_rate" in done.stderr, done.stderr
    assert max(losses(job)) == 6, losses(job)
    told = [(event["step"], event["step_back"]) for event in events(job, "warning")]
    assert told == [(7, n) for n in range(1, 6)], told
    state = json.loads(sorted((job / "checkpoints").glob("*/state.json"))[-1].read_text())
    assert state["step_backs"] == 5 and state["skipped"] == [6, 7, 8, 9, 10], state


if __name__ == "__main__":
    main(globals())
