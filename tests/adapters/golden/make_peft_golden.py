"""Writes the adapter folder of one version of PEFT, and the logits that this version computes with it.

Run once a version, with that version first on the path and everything else from the oracle environment:
    pip install --no-deps --target peft-0.18.1 peft==0.18.1
    PYTHONPATH=peft-0.18.1:tests/oracle:tests/adapters python tests/adapters/golden/make_peft_golden.py
The base is small_deepseek.base_model() of seed 0, which every machine makes alike, so it is not kept.
"""
import pathlib
import sys
import tempfile

import peft
import torch
from safetensors.torch import save_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import small_deepseek as small

HERE = pathlib.Path(__file__).resolve().parent
TOKENS = [[5, 9, 2, 77, 140, 3, 8], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]]
# gate_up_proj has as many rows as columns here (2 x 24 and 48), down_proj has not: both ways to tell the layouts apart.
TARGETS = dict(target_modules=["q_b_proj", "kv_b_proj"], target_parameters=small.EXPERTS)


def main():
    with tempfile.TemporaryDirectory() as folder:
        base = small.base_model(folder)
    torch.manual_seed(1)
    model = peft.get_peft_model(base, peft.LoraConfig(r=2, lora_alpha=6, task_type="CAUSAL_LM", **TARGETS)).eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if "lora_B" in name:
                tensor.normal_(std=0.2)
        logits = {f"logits.{i}": model(torch.tensor([ids])).logits[0].contiguous() for i, ids in enumerate(TOKENS)}
    out = HERE / f"peft-{peft.__version__}"
    model.peft_config["default"].base_model_name_or_path = "small_deepseek"
    model.save_pretrained(out)
    (out / "README.md").unlink(missing_ok=True)
    save_file(logits, out / "logits.safetensors")
    print(out)


if __name__ == "__main__":
    main()
