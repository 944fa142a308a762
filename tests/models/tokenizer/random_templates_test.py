"""Random templates (random_templates.py) as jinja2 renders or refuses them in transformers' environment.

usage: random_templates_test.py [SEED [COUNT]]"""

import copy
import pathlib
import random
import re
import sys
import tempfile
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import json_worker  # noqa: E402
from random_templates import CONTEXT, template  # noqa: E402
from transformers.utils import chat_template_utils  # noqa: E402

compiled = chat_template_utils._compile_jinja_template.__wrapped__  # without its cache: no template comes twice
# Addresses of objects, which no two runs share; and integers past 64 bits, which masbak refuses to calculate with.
ADDRESS = re.compile(r" at 0x[0-9a-f]+|<function|<bound method|<built-in|generator object|<jinja2|<Macro|LoopContext",
                     re.IGNORECASE)


def reference(source):
    try:
        return compiled(source).render(tools=None, documents=None, add_generation_prompt=False,
                                       **copy.deepcopy(CONTEXT))
    except Exception as error:  # noqa: BLE001  any refusal
        return error


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1500
    warnings.simplefilter("ignore")  # of Python about the code that jinja2 makes of `(1)[0]`
    draw = random.Random(seed)
    sources = [template(draw) for _ in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        _, got = json_worker.run(["render", folder, "--keep-going"], [{**CONTEXT,
                                                                       "chat_template": each} for each in sources])
    assert len(got) == count, (len(got), count)
    rendered = refused = left_out = wrong = 0
    for source, answer in zip(sources, got):
        expected = reference(source)
        if isinstance(expected, str) and ADDRESS.search(expected) or "64 bits" in answer.get("error", ""):
            left_out += 1
        elif isinstance(expected, Exception) and "error" in answer:
            refused += 1
        elif not isinstance(expected, Exception) and answer.get("text") == expected:
            rendered += 1
        else:
            wrong += 1
            if wrong <= 25:
                print(f"{source!r}\n  expected {expected!r}\n  got      {answer!r}")
    print(f"{count} random templates, seed {seed}: {rendered} rendered alike, {refused} refused alike, {wrong} wrong, "
          f"{left_out} left out")
    assert rendered > count // 5 and refused > count // 20 and left_out < count // 10
    assert wrong == 0


if __name__ == "__main__":
    main()
