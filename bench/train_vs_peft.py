"""Training steps of masbak-worker beside PEFT on transformers: same model, tokens, starting adapter, dtype and machine.

Each side is a process of its own, one after the other, in one run. Speed is the median over the steps after the first
two, in a sweep that of the second step; memory is the peak resident set of the whole process. Absolute figures depend
on the machine: the ratios are the result.

usage: train_vs_peft.py [--steps 6] [--sweep [length] [experts] [layers]] [--write docs/performance.md]
                        [--plot docs/images/training.png] [--peft-dtype bfloat16|float32]
  --sweep        also how both sides grow with the length of a row, the number of experts and of layers
  --peft-dtype   PEFT's; else bfloat16, or float32 where LibTorch multiplies that more than three times as fast, as it
                 does on processors without instructions for bfloat16: whoever trains with PEFT there takes it
"""
import argparse
import ctypes
import json
import multiprocessing
import os
import pathlib
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import training_case  # noqa: E402
from training_case import masbak_oracle  # noqa: E402

WARM_UP = 2
RUN = """model: {model}
dataset: {{train: tokens.jsonl, format: tokens}}
objective: sft
adapter: {{path: {adapter}}}
training:
  learning_rate: 1.0e-3
  lr_scheduler_type: constant
  max_steps: {steps}
  per_device_train_batch_size: {rows}
  packing: false
  shuffle: false
  max_length: {length}
  save_steps: 1000000
  dtype: bfloat16
"""
# One size at a time, the others as in BASE. Few layers where rows are long: PEFT keeps a square of scores a layer and
# head.
BASE = {"length": 1024, "experts": 32}
SWEEPS = {"length": ([256, 1024, 2048, 4096, 8192], {"layers": 2}),
          "experts": ([8, 32, 128], {"layers": 4}),
          "layers": ([2, 4, 8], {})}


def energy_joules():
    """What the processor (RAPL) and the GPUs (NVML) have used so far, or None where the machine tells of neither."""
    found = [read() for read in (processor_joules, gpu_joules)]
    return sum(part for part in found if part is not None) if any(part is not None for part in found) else None


def processor_joules():
    zones = [zone / "energy_uj" for zone in pathlib.Path("/sys/class/powercap").glob("intel-rapl:?")]
    try:
        return sum(int(zone.read_text()) for zone in zones) / 1e6 if zones else None
    except OSError:
        return None


def gpu_joules():
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    count, total = ctypes.c_uint(0), 0
    if nvml.nvmlInit_v2() != 0 or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
        return None
    for index in range(count.value):
        device, used = ctypes.c_void_p(), ctypes.c_ulonglong(0)
        if nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device)) != 0:
            return None
        if nvml.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(used)) != 0:
            return None
        total += used.value / 1e3
    return total


def stay_within_memory():
    """An allocation beyond what the machine has left fails instead of having the system end some process."""
    left = int(re.search(r"MemAvailable:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())[1]) << 10
    resource.setrlimit(resource.RLIMIT_DATA, (left, left))


def gemm_rate(dtype):
    """FLOP/s of a large product as a linear layer makes it, x W^T: the median of several, of fewer where it is slow."""
    import torch

    x, w = (torch.randn(2048, 2048).to(getattr(torch, dtype)) for _ in range(2))
    seconds = []
    while len(seconds) < 9 and (len(seconds) < 3 or sum(seconds) < 2):
        begin = time.monotonic()
        torch.mm(x, w.t())
        seconds.append(time.monotonic() - begin)
    return 2 * 2048 ** 3 / statistics.median(seconds[1:])


def gemm_rates():
    return {dtype: gemm_rate(dtype) for dtype in ("bfloat16", "float32")}


def peft_dtype(rates):
    return "float32" if rates["float32"] > 3 * rates["bfloat16"] else "bfloat16"


def start_adapter(case, folder):
    """PEFT's own start of the adapter, as a folder that both sides go on from."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    lora = LoraConfig(r=16, lora_alpha=32, target_modules=case.linears, target_parameters=case.parameters or None)
    get_peft_model(AutoModelForCausalLM.from_pretrained(case.model, dtype=torch.bfloat16), lora).save_pretrained(folder)


def median_speed(steps):
    return statistics.median(steps[min(WARM_UP, len(steps) - 1):])


def measure_masbak(case, folder, adapter):
    (folder / "run.yaml").write_text(RUN.format(model=case.model, adapter=adapter, steps=case.steps, rows=case.rows,
                                                length=case.length))
    job = folder / f"job-{time.monotonic_ns()}"
    before = energy_joules()
    done = subprocess.run([str(masbak_oracle.WORKER), "train", str(folder / "run.yaml"), "--out", str(job)],
                          stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"masbak-worker train failed: {done.stderr}")
    joules = None if before is None else energy_joules() - before
    events = [json.loads(line) for line in (job / "events.jsonl").read_text().splitlines()]
    steps = [event for event in events if event["type"] == "step"]
    return {"tokens_per_second": median_speed([event["tokens_per_second"] for event in steps]),
            "peak_memory_bytes": max(event["peak_memory_bytes"] for event in steps),
            "losses": [event["loss"] for event in steps], "joules": joules}


def peft_side(case, tokens, adapter, dtype, results):
    """Runs in a process of its own and sends its figures to `results`, or None where memory did not suffice."""
    stay_within_memory()
    try:
        figures = peft_steps(case, tokens, adapter, dtype)
    except (MemoryError, RuntimeError, OSError) as error:
        if not isinstance(error, MemoryError) and "allocate memory" not in str(error):
            raise
        print(f"PEFT: {error}", file=sys.stderr)
        figures = None
    results.send(figures)


def peft_steps(case, tokens, adapter, dtype):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    data = [json.loads(line) for line in open(tokens)]
    network = AutoModelForCausalLM.from_pretrained(case.model, dtype=getattr(torch, dtype))
    network = PeftModel.from_pretrained(network, adapter, is_trainable=True)
    network.train()
    trained = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.0)
    speeds, losses = [], []
    for step in range(case.steps):
        batch = data[step * case.rows:(step + 1) * case.rows]
        ids = torch.tensor([row["input_ids"] for row in batch])
        begin = time.monotonic()
        loss = network(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        speeds.append(ids.numel() / (time.monotonic() - begin))
        losses.append(loss.item())
    return {"tokens_per_second": median_speed(speeds),
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "losses": losses}


def peft_processes():
    """Forks of a server that has imported PEFT once, which takes it several seconds, and computed nothing."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["torch", "peft", "transformers.models.auto.modeling_auto"])
    return processes


def measure_peft(case, tokens, adapter, dtype):
    processes = peft_processes()
    results, sender = processes.Pipe(duplex=False)
    before = energy_joules()
    process = processes.Process(target=peft_side, args=(case, tokens, adapter, dtype, sender))
    process.start()
    sender.close()
    try:
        side = results.recv()
    except EOFError:
        side = None
    process.join()
    # None where memory did not suffice, which the table says: the process ends by itself, or the system ends it.
    if side is None and process.exitcode not in (0, -signal.SIGKILL):
        raise SystemExit(f"PEFT's side failed with exit code {process.exitcode}; its message is above")
    joules = None if before is None else energy_joules() - before
    return side and {**side, "joules": joules, "dtype": dtype}


def compare(case, rates, dtype):
    """Both sides; PEFT computes in `dtype`, or as the machine's rates of products have it where that is None."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        case.write_tokens(folder / "tokens.jsonl")
        start_adapter(case, folder / "adapter")
        return {"ours": measure_masbak(case, folder, folder / "adapter"),
                "peft": measure_peft(case, folder / "tokens.jsonl", folder / "adapter", dtype or peft_dtype(rates)),
                "flops": case.flops_a_token(), "rates": rates, "case": case}


def ratio(result, key):
    return result["ours"][key] / result["peft"][key]


def side_row(name, side, result):
    share = side["tokens_per_second"] * result["flops"] / max(result["rates"].values())
    tokens = result["case"].tokens_a_step * result["case"].steps
    energy = "not readable" if side["joules"] is None else f"{side['joules'] / tokens * 1e6:.0f}"
    return (f"| {name} | {side['tokens_per_second']:.0f} | {side['peak_memory_bytes'] / 1e9:.2f} GB | {share:.0%} | "
            f"{side['losses'][-1]:.3f} | {energy} |")


def main_table(result):
    case = result["case"]
    apart = max(abs(a - b) for a, b in zip(result["ours"]["losses"], result["peft"]["losses"]))
    return f"""## {case.name}

{case.rows} × {case.length} tokens a step, r = 16, {case.steps} steps. The largest difference of a loss is {apart:.4f}.
The arithmetic of a token is {result["flops"] / 1e6:.0f} MFLOP; a large product of LibTorch's ran at
{result["rates"]["bfloat16"] / 1e9:.0f} GFLOP/s in bfloat16 and at {result["rates"]["float32"] / 1e9:.0f} in float32,
and the shares are of the larger.

| | tokens/s | peak memory | share of the GEMM rate | last loss | joules a million tokens |
| --- | --- | --- | --- | --- | --- |
{side_row("masbak-worker, bfloat16", result["ours"], result)}
{side_row(f"PEFT 0.21.2 on transformers 5.23.0, {result['peft']['dtype']}", result["peft"], result)}
| **ratio** | **{ratio(result, "tokens_per_second"):.2f}** | **{ratio(result, "peak_memory_bytes"):.2f}** | | | |
"""


def sweep(sizes, rates, dtype):
    """How both sides grow, one size at a time away from the 133 M model."""
    points, known = {}, {}  # known: by size, since sweeps cross each other
    for what, (values, others) in ((what, SWEEPS[what]) for what in sizes):
        for value in values:
            size = {**BASE, **others, what: value}
            key = tuple(sorted(size.items()))
            if key not in known:
                with tempfile.TemporaryDirectory() as folder:
                    known[key] = compare(training_case.mla_case(folder, rows=1, steps=2, **size), rates, dtype)
            points.setdefault(what, []).append((value, known[key]))
            print(sweep_row(what, value, known[key]), flush=True)
    return points


def sweep_row(what, value, result):
    ours, peft = result["ours"], result["peft"]
    if peft is None:
        return f"| {what} {value} | {ours['tokens_per_second']:.0f} | out of memory | | " \
               f"{ours['peak_memory_bytes'] / 1e9:.2f} | – | |"
    return (f"| {what} {value} | {ours['tokens_per_second']:.0f} | {peft['tokens_per_second']:.0f} | "
            f"{ratio(result, 'tokens_per_second'):.2f} | {ours['peak_memory_bytes'] / 1e9:.2f} | "
            f"{peft['peak_memory_bytes'] / 1e9:.2f} | {ratio(result, 'peak_memory_bytes'):.2f} |")


def sweep_table(points):
    rows = [sweep_row(what, value, result) for what, pairs in points.items() for value, result in pairs]
    return """## Growth

One row a step of the same random model, one size changed at a time: 1,024 tokens, 32 experts, 4 layers where the
number of experts changes, 2 where the length does (PEFT keeps a square of scores for each layer and head).

| | tokens/s | PEFT's | ratio | GB | PEFT's | ratio |
| --- | --- | --- | --- | --- | --- | --- |
""" + "\n".join(rows) + "\n"


def plot(points, file):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, len(points), figsize=(4.2 * len(points), 6.4), squeeze=False)
    labels = {"length": "tokens a row", "experts": "experts", "layers": "layers"}
    for column, (what, pairs) in enumerate(points.items()):
        for row, (key, unit, title) in enumerate([("tokens_per_second", 1, "tokens/s"),
                                                  ("peak_memory_bytes", 1e9, "peak memory, GB")]):
            for side, name, colour in (("ours", "Masbak", "#b7501d"), ("peft", "PEFT", "#1f5fa8")):
                known = [(value, result[side][key] / unit) for value, result in pairs if result[side]]
                axes[row][column].plot(*zip(*known), "o-", label=name, color=colour)
            axes[row][column].set(xlabel=labels[what], ylabel=title, xscale="log", ylim=(0, None))
            axes[row][column].set_xticks([value for value, _ in pairs], [str(value) for value, _ in pairs], minor=False)
            axes[row][column].minorticks_off()
            axes[row][column].grid(alpha=0.3)
    axes[0][0].legend()
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)


def processor():
    """Its name, and what of its instructions decides the speed of products."""
    lines = pathlib.Path("/proc/cpuinfo").read_text()
    name = re.search(r"^model name\s*: (.*)$", lines, re.MULTILINE)
    flags = re.search(r"^flags\s*: (.*)$", lines, re.MULTILINE)
    flags = set(flags[1].split()) if flags else set()
    has = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16") if flag in flags]
    return f"{name[1] if name else 'an unnamed processor'} ({', '.join(has) or 'no vector extensions'})"


def report(results, points, picture):
    floats = "" if results[0]["peft"]["dtype"] == "bfloat16" else """
PEFT computes in float32: without instructions for bfloat16 LibTorch multiplies that several times more slowly, and
whoever trains with PEFT on such a processor takes float32. Masbak computes in bfloat16.
"""
    text = f"""# Performance

Written by `make bench` (bench/train_vs_peft.py) on {os.cpu_count()} cores without a GPU: {processor()}.
Both sides ran one after the other in one run, each a process of its own, from the same adapter and on the same tokens;
the ratios are the result. What other processors gave, and what stands between, is in bench/README.md.
{floats}
""" + "\n".join(main_table(result) for result in results)
    if points:
        text += "\n" + sweep_table(points)
    if picture:
        text += f"\n![How both sides grow]({re.sub('^docs/', '', picture)})\n"
    return text


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--sweep", nargs="*", choices=list(SWEEPS))
    parser.add_argument("--write")
    parser.add_argument("--plot")
    parser.add_argument("--peft-dtype", choices=["bfloat16", "float32"])
    arguments = parser.parse_args()
    dtype = arguments.peft_dtype
    with tempfile.TemporaryDirectory() as folder:
        cases = [training_case.mla_case(folder, steps=arguments.steps), training_case.demo_case(steps=arguments.steps)]
        results = [compare(case, gemm_rates(), dtype) for case in cases]
        if any(result["peft"] is None for result in results):
            raise SystemExit("PEFT's side ran out of memory")
        print("\n".join(main_table(result) for result in results), flush=True)
    points = {}
    if arguments.sweep is not None:
        points = sweep(arguments.sweep or list(SWEEPS), results[-1]["rates"], dtype)
    root = pathlib.Path(os.environ["MASBAK_SOURCE"])
    if points and arguments.plot:
        plot(points, root / arguments.plot)
    if arguments.write:
        (root / arguments.write).write_text(report(results, points, arguments.plot if points else None))


if __name__ == "__main__":
    main()
