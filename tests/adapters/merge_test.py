"""Merging for every family and every way in which its base may be stored: the merged folder says what base and adapter
say, and transformers reads it."""
import json
import pathlib
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import small_families as families
from masbak_oracle import main, worker
from small_families import distance, our_logits, their_logits

ROOT = tempfile.TemporaryDirectory(prefix="masbak-merge-")
FOLDER = pathlib.Path(ROOT.name)
TOKENS = [[5, 9, 2, 77, 140, 3, 8], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]]
BLOCK = (16, 16)


def as_fp8(source, folder):
    """The folder with every projection in FP8 with a scale for each block, as DeepSeek publishes it."""
    folder.mkdir()
    config = json.loads((source / "config.json").read_text())
    config["quantization_config"] = {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
                                     "weight_block_size": list(BLOCK)}
    (folder / "config.json").write_text(json.dumps(config))
    stored = {}
    for name, weight in load_file(source / "model.safetensors").items():
        linear = weight.dim() == 2 and "layers." in name and "gate.weight" not in name and "router" not in name
        if not linear:
            stored[name] = weight
            continue
        rows, columns = (-(-n // b) for n, b in zip(weight.shape, BLOCK))
        padded = torch.zeros(rows * BLOCK[0], columns * BLOCK[1])
        padded[:weight.shape[0], :weight.shape[1]] = weight.float()
        blocks = padded.view(rows, BLOCK[0], columns, BLOCK[1])
        scale = blocks.abs().amax((1, 3)) / 448 + 1e-12
        codes = (blocks / scale[:, None, :, None]).view_as(padded)[:weight.shape[0], :weight.shape[1]]
        stored[name] = codes.contiguous().to(torch.float8_e4m3fn)
        stored[f"{name}_scale_inv"] = scale
    save_file(stored, folder / "model.safetensors", {"format": "pt"})


def test_merging_every_family_and_quantisation():
    jobs, names = [], []
    for family in families.FAMILIES:
        plain = FOLDER / family
        model = families.base_model(family, plain)
        bases = {"plain": plain}
        for kind in ("nf4", "int8"):
            bases[kind] = FOLDER / f"{family}-{kind}"
            worker("quantize", plain, "--to", kind, "--out", bases[kind])
        if family != "granitemoe":  # its experts are one tensor of three dimensions, which is not published in FP8
            bases["fp8"] = FOLDER / f"{family}-fp8"
            as_fp8(plain, bases["fp8"])
        adapter = FOLDER / f"{family}-adapter"
        what = "both" if family in families.MIXTURES else "attention"
        families.peft_model(model, family, what, random_b=True).save_pretrained(adapter)
        for kind, folder in bases.items():
            out = FOLDER / f"{family}-{kind}-merged"
            worker("merge", folder, adapter, "--out", out)
            config = json.loads((out / "config.json").read_text())
            assert "quantization_config" not in config, (family, kind)
            jobs += [(folder, adapter), (out, None), (folder, None)]
            names.append((f"{family} {kind}", out))
    logits = our_logits(FOLDER, TOKENS, jobs)
    for number, (name, out) in enumerate(names):
        wanted, merged, untouched = logits[3 * number:3 * number + 3]
        theirs = their_logits(families.load(out), TOKENS)
        print(f"{name}: merged {distance(merged, wanted):.1e}, in transformers {distance(theirs, wanted):.1e}, "
              f"the adapter changes {distance(wanted, untouched):.2f}")
        assert distance(wanted, untouched) > 0.05, name
        assert distance(merged, wanted) < 1e-3 and distance(theirs, wanted) < 1e-3, name


if __name__ == "__main__":
    main(globals())
