"""A run that is killed and resumed ends as if nothing had happened: the same losses and adapter, bit for bit, and
events without gap or repeat. Also how a job fails, is cancelled and stops early."""
import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "adapters"))
import small_deepseek as small
from masbak_oracle import WORKER, main, worker

STEPS = 24
ROOT = tempfile.TemporaryDirectory(prefix="masbak-resume-")
FOLDER = pathlib.Path(ROOT.name)


def run_file(name, adapter=None, **training):
    model, data, held_out = FOLDER / "base", FOLDER / "train.jsonl", FOLDER / "eval.jsonl"
    if not model.exists():
        small.base_model(model)
        small.write_rows(data, small.random_rows(30, seed=5))
        small.write_rows(held_out, small.random_rows(6, seed=6))
    file = FOLDER / f"{name}.yaml"
    file.write_text(json.dumps({
        "model": "base", "dataset": {"train": "train.jsonl", "eval": "eval.jsonl", "format": "tokens"},
        "adapter": adapter or {"r": 4, "target_modules": ["attention", "shared_experts"], "lora_dropout": 0.1},
        "training": {"learning_rate": 0.01, "max_steps": STEPS, "dtype": "bfloat16", "eval_steps": 5, "save_steps": 4,
                     "max_length": 32, "neftune_noise_alpha": 5.0, **training}}))
    return file


def events(job):
    lines = (job / "events.jsonl").read_text().splitlines(keepends=True)
    found = [json.loads(line) for line in lines if line.endswith("\n")]
    assert [event["seq"] for event in found] == list(range(1, len(found) + 1)), "a gap or a repeat in seq"
    return found


def of_type(job, kind):
    return [event for event in events(job) if event["type"] == kind]


def told(job, kind, field):
    return {event["step"]: event[field] for event in of_type(job, kind)}


def start(file, job, *options):
    command = [str(WORKER), "train", str(file), "--out", str(job), *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for_steps(process, job, steps):
    while process.poll() is None:
        log = job / "events.jsonl"
        if log.exists() and log.read_text().count('"type":"step"') >= steps:
            return
        time.sleep(0.002)


def undisturbed():
    job = FOLDER / "undisturbed"
    if not job.exists():
        worker("train", run_file("run"), "--out", job)
    return job


def test_events_tell_the_whole_run():
    job = undisturbed()
    kinds = [event["type"] for event in events(job)]
    assert kinds[0] == "started" and kinds[1] == "eval" and kinds[-1] == "finished", kinds
    assert set(told(job, "step", "loss")) == set(range(1, STEPS + 1))
    assert set(told(job, "eval", "eval_loss")) == {0, 5, 10, 15, 20, STEPS}
    assert set(told(job, "checkpoint", "epoch")) == {4, 8, 12, 16, 20, 24}
    step = of_type(job, "step")[3]
    for field in ("time", "epoch", "loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second",
                  "peak_memory_bytes", "router_load", "router_entropy"):
        assert field in step, field
    assert len(step["router_load"]) == 2 and all(abs(sum(layer) - 1) < 1e-9 for layer in step["router_load"])
    result = json.loads((job / "result.json").read_text())
    assert result["state"] == "finished" and result["steps"] == STEPS
    assert sorted(path.name for path in (job / "checkpoints").iterdir()) == ["step-000020", "step-000024"]
    again = worker("train", FOLDER / "run.yaml", "--out", job, check=False)
    assert again.returncode == 2 and "ALREADY_EXISTS" in again.stderr and "--resume" in again.stderr


def test_killed_anywhere_it_goes_on_bit_for_bit():
    reference, file, dice = undisturbed(), FOLDER / "run.yaml", random.Random(3)
    for trial in range(5):
        job = FOLDER / f"killed-{trial}"
        for target in sorted(dice.sample(range(1, STEPS), 2)):
            process = start(file, job, "--resume")
            wait_for_steps(process, job, target)
            time.sleep(dice.random() * 0.03)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        worker("train", file, "--out", job, "--resume")
        assert told(job, "step", "loss") == told(reference, "step", "loss"), f"trial {trial}: other losses"
        assert told(job, "eval", "eval_loss") == told(reference, "eval", "eval_loss")
        assert len(of_type(job, "step")) == STEPS and not of_type(job, "warning"), events(job)
        for name in ("adapter_model.safetensors", "adapter_config.json"):
            assert (job / "adapter" / name).read_bytes() == (reference / "adapter" / name).read_bytes(), name


def test_a_damaged_checkpoint_is_passed_over():
    reference, job = undisturbed(), FOLDER / "damaged"
    process = start(FOLDER / "run.yaml", job)
    wait_for_steps(process, job, 14)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    newest = sorted((job / "checkpoints").glob("step-*"))[-1]
    file = newest / "optimizer.safetensors"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    worker("train", FOLDER / "run.yaml", "--out", job, "--resume")
    assert any("damaged" in event["message"] and newest.name in event["message"] for event in of_type(job, "warning"))
    assert told(job, "step", "loss") == told(reference, "step", "loss")


def test_cancelled_by_a_signal_it_says_so_and_can_go_on():
    reference, job = undisturbed(), FOLDER / "cancelled"
    process = start(FOLDER / "run.yaml", job)
    wait_for_steps(process, job, 6)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1 and "error: CANCELLED" in errors, errors
    last = events(job)[-1]
    assert last["type"] == "failed" and last["reason"] == "cancelled", last
    assert json.loads((job / "result.json").read_text())["state"] == "failed" and not (job / "adapter").exists()
    worker("train", FOLDER / "run.yaml", "--out", job, "--resume")
    assert told(job, "step", "loss") == told(reference, "step", "loss")


def test_a_resume_may_save_more_memory():
    """What is learnt is the same: a run that memory was too small for goes on with layers computed again."""
    reference, job = undisturbed(), FOLDER / "saving"
    process = start(FOLDER / "run.yaml", job)
    wait_for_steps(process, job, 6)
    process.kill()
    process.wait()
    saving = run_file("saving", gradient_checkpointing=1, memory_budget="20GiB")
    worker("train", saving, "--out", job, "--resume")
    assert [event["checkpointed_layers"] for event in of_type(job, "started")] == [0, 1]
    assert told(job, "step", "loss") == told(reference, "step", "loss")


def test_a_resume_with_other_settings_is_refused():
    job = FOLDER / "changed"
    shutil.copytree(undisturbed(), job)
    (job / "result.json").unlink()
    refused = worker("train", run_file("changed", learning_rate=0.02), "--out", job, "--resume", check=False)
    assert refused.returncode == 2 and "FAILED_PRECONDITION" in refused.stderr, refused.stderr


def test_a_loss_that_is_not_finite_fails_the_job():
    job = FOLDER / "diverged"
    file = run_file("diverged", learning_rate=10.0, lr_scheduler_type="constant", max_grad_norm=0, dtype="float32",
                    adapter={"r": 4, "lora_alpha": 1e30, "target_modules": ["attention"]})
    failed = worker("train", file, "--out", job, check=False)
    assert failed.returncode == 1 and "ABORTED" in failed.stderr, failed.stderr
    assert events(job)[-1]["reason"] == "not_finite" and not (job / "adapter").exists()


def test_early_stopping_keeps_the_best():
    job = FOLDER / "early"
    worker("train", run_file("early", early_stopping_patience=2, eval_steps=1, learning_rate=0.3, max_steps=60,
                             lr_scheduler_type="constant"), "--out", job)
    losses = told(job, "eval", "eval_loss")
    result = json.loads((job / "result.json").read_text())
    assert result["stopped_early"] and result["steps"] < 60, result
    best = min(losses, key=losses.get)
    assert result["adapter_step"] == best and result["best_eval_loss"] == losses[best]
    assert result["steps"] == best + 2


if __name__ == "__main__":
    main(globals())
