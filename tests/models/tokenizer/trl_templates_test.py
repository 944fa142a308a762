"""Every chat template of the trl wheel on many conversations: text, refusals and assistant masks as transformers'
own renderer gives them. The templates that read images or sound are tried too, with conversations of text."""

import collections
import importlib.util
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import json_worker  # noqa: E402
from conversations import conversations  # noqa: E402
from jinja2.exceptions import TemplateError  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402
from tokenizers.models import BPE  # noqa: E402
from transformers import PreTrainedTokenizerFast  # noqa: E402
from transformers.utils.chat_template_utils import render_jinja_template  # noqa: E402

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
MEDIA = ("image", "audio", "video")


def templates():
    folder = pathlib.Path(importlib.util.find_spec("trl").submodule_search_locations[0]) / "chat_templates"
    return {file.stem: file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.jinja"))}


def reference(source, arguments):
    """What transformers renders, or why it refuses: {"text", "spans"} or {"error", "raised"}."""
    arguments = {**SPECIAL, **arguments}
    # apply_chat_template drops the keys of a message that hold None before it renders
    messages = [{key: value for key, value in message.items() if value is not None}
                for message in arguments.pop("messages")]
    masks = "continue_final_message" not in arguments
    try:
        texts, spans = render_jinja_template([messages], chat_template=source, return_assistant_tokens_mask=masks,
                                             **arguments)
    except Exception as error:  # noqa: BLE001  any refusal
        return {"error": str(error), "raised": type(error) is TemplateError}
    return {"text": texts[0], "spans": [list(span) for span in spans[0]] if masks else None}


def check_nulls(cases, answers):
    """Messages with null, against apply_chat_template as a whole."""
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(BPE()), **SPECIAL)
    count = 0
    for (name, source, about, arguments), answer in zip(cases, answers):
        if not any(value is None for message in arguments["messages"] for value in message.values()):
            continue
        if "continue_final_message" in arguments:
            continue
        try:
            expected = {"text": tokenizer.apply_chat_template(
                arguments["messages"], chat_template=source, tokenize=False,
                **{key: value for key, value in arguments.items() if key != "messages"})}
        except Exception as error:  # noqa: BLE001  any refusal
            expected = {"error": str(error)}
        assert answer.get("text") == expected.get("text"), (name, about, expected, answer)
        count += 1
    return count


def same(expected, got):
    if "error" in expected:
        return "error" in got and (not expected["raised"] or expected["error"] in got["error"])
    return got.get("text") == expected["text"] and expected["spans"] in (None, got.get("assistant_spans"))


def main():
    only = sys.argv[1:]
    cases = [(name, source, about, arguments) for name, source in templates().items() if not only or name in only
             for about, arguments in conversations()]
    rows = [{**SPECIAL, **arguments, "chat_template": source, "return_assistant_tokens_mask": True}
            for _, source, _, arguments in cases]
    with tempfile.TemporaryDirectory() as folder:
        done, got = json_worker.run(["render", folder, "--keep-going"], rows)
    assert len(got) == len(rows), (len(got), len(rows), done.returncode, done.stderr[-500:])
    counts = collections.Counter()
    for (name, source, about, arguments), answer in zip(cases, got):
        expected = reference(source, arguments)
        if not same(expected, answer):
            counts["wrong"] += 1
            if counts["wrong"] <= 20:
                print(f"{name}, {about}:\n  expected {expected}\n  got      {answer}")
            continue
        counts["refused" if "error" in expected else "rendered"] += 1
        counts["raised"] += expected.get("raised", False)
        counts["spans"] += len(expected.get("spans") or [])
    names = {name for name, *_ in cases}
    media = sorted(name for name, source in templates().items() if any(word in source for word in MEDIA))
    print(f"{len(names)} templates ({len(names - set(media))} text-only), "
          f"{len(cases) // len(names)} conversations each: "
          f"{counts['rendered']} rendered alike, {counts['refused']} refused alike ({counts['raised']} by "
          f"raise_exception, in its words), {counts['spans']} assistant spans alike, {counts['wrong']} wrong")
    print(check_nulls(cases, got), "renderings of messages with null as apply_chat_template makes them")
    print("not text-only, since they place images, audio or video:", ", ".join(media))
    assert only or (len(names) >= 70 and counts["rendered"] >= 2000 and counts["refused"] >= 200
                    and counts["spans"] > 500)
    assert counts["wrong"] == 0


if __name__ == "__main__":
    main()
