"""30 kills with SIGKILL at random moments of a run of 60 steps, the writing of checkpoints included: after each the run
goes on, and in the end every loss, every evaluation and the adapter are those of a run that nobody disturbed, bit for
bit, and the events have no gap and no repeat."""
import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "adapters"))
import small_deepseek as small
from masbak_oracle import WORKER, main, worker

STEPS, KILLS = 60, 30
ROOT = tempfile.TemporaryDirectory(prefix="masbak-kill-")
FOLDER = pathlib.Path(ROOT.name)


def run_file():
    small.base_model(FOLDER / "base")
    small.write_rows(FOLDER / "train.jsonl", small.random_rows(50, seed=5))
    small.write_rows(FOLDER / "eval.jsonl", small.random_rows(4, seed=6))
    file = FOLDER / "run.yaml"
    file.write_text(json.dumps({
        "model": "base", "dataset": {"train": "train.jsonl", "eval": "eval.jsonl", "format": "tokens"},
        "adapter": {"r": 4, "target_modules": ["attention", "shared_experts"], "lora_dropout": 0.1},
        "training": {"learning_rate": 0.01, "max_steps": STEPS, "dtype": "bfloat16", "eval_steps": 7, "save_steps": 1,
                     "max_length": 32, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2,
                     "gradient_checkpointing": True, "router_aux_loss_coef": 0.01, "load_best_model_at_end": True}}))
    return file


def events(job):
    lines = (job / "events.jsonl").read_text().splitlines(keepends=True)
    found = [json.loads(line) for line in lines if line.endswith("\n")]
    assert [event["seq"] for event in found] == list(range(1, len(found) + 1)), "a gap or a repeat in seq"
    return found


def told(job, kind, field):
    pairs = [(event["step"], event[field]) for event in events(job) if event["type"] == kind]
    assert len({step for step, _ in pairs}) == len(pairs), f"a step told twice: {pairs}"
    return dict(pairs)


def wait_for(process, job, steps):
    """Until the run has told so many steps in all, or ended."""
    log = job / "events.jsonl"
    while process.poll() is None:
        if log.exists() and log.read_bytes().count(b'"type":"step"') >= steps:
            return
        time.sleep(0.001)


def test_thirty_kills():
    file, reference, job, dice = run_file(), FOLDER / "undisturbed", FOLDER / "killed", random.Random(11)
    begin = time.monotonic()
    worker("train", file, "--out", reference)
    a_step = (time.monotonic() - begin) / STEPS
    in_checkpoint = 0
    for kill in range(KILLS):
        process = subprocess.Popen([str(WORKER), "train", str(file), "--out", str(job), "--resume"],
                                   stderr=subprocess.DEVNULL)
        # Two steps on average between kills; the moment within a step is random too.
        wait_for(process, job, min(STEPS - 1, 1 + 2 * kill - dice.randint(0, 1)))
        time.sleep(dice.random() * a_step)
        process.send_signal(signal.SIGKILL)
        process.wait()
        checkpoints = job / "checkpoints"
        if checkpoints.exists() and any(not path.name.startswith("step-") for path in checkpoints.iterdir()):
            in_checkpoint += 1
    worker("train", file, "--out", job, "--resume")
    assert told(job, "step", "loss") == told(reference, "step", "loss")
    assert told(job, "step", "grad_norm") == told(reference, "step", "grad_norm")
    assert told(job, "eval", "eval_loss") == told(reference, "eval", "eval_loss")
    assert set(told(job, "step", "loss")) == set(range(1, STEPS + 1))
    assert not [event for event in events(job) if event["type"] == "warning"], events(job)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (job / "adapter" / name).read_bytes() == (reference / "adapter" / name).read_bytes(), name
    left = sorted(path.name for path in (job / "checkpoints").iterdir())
    assert left == ["step-000059", "step-000060"], f"half-written folders stayed behind: {left}"
    print(f"{KILLS} kills, {in_checkpoint} of them while a checkpoint was written; all losses bit for bit")


if __name__ == "__main__":
    main(globals())
