"""Writes the golden files of tests/models/tokenizer with tokenizers and transformers (run in the oracle environment).

tokenizer.json: a byte-level tokenizer of 420 tokens, trained on texts.py; tokenizer_cases.json: texts with their ids,
ids with their text. templates.json: templates with contexts, and what transformers renders or refuses.
"""

import json
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
os.environ["HF_HUB_OFFLINE"] = "1"
import template_cases  # noqa: E402
import texts  # noqa: E402
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models  # noqa: E402
from tokenizers import pre_tokenizers, processors, trainers  # noqa: E402
from transformers.utils.chat_template_utils import render_jinja_template  # noqa: E402


def write_rows(name, rows):
    """A JSON list with one row a line."""
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (HERE / name).write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def make_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    split = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(split), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=415, show_progress=False, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(texts.SENTENCES, trainer)
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>", AddedToken("<pad>", lstrip=True, rstrip=True)])
    tokenizer.add_tokens([AddedToken("bar", single_word=True), AddedToken("E-204")])
    tokenizer.post_processor = processors.TemplateProcessing(
        "<|im_start|> $A", special_tokens=[("<|im_start|>", tokenizer.token_to_id("<|im_start|>"))])
    return tokenizer


def tokenizer_cases(tokenizer):
    rows = []
    for text in texts.all_texts(90, seed=7):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        rows.append({"text": text, "ids": ids, "with_special": tokenizer.encode(text).ids,
                     "decoded": tokenizer.decode(ids, skip_special_tokens=False),
                     "without_special": tokenizer.decode(ids, skip_special_tokens=True)})
    broken = [[200, 130], [255, 255, 40], [240, 159], list(range(150, 200))]
    return rows + [{"broken": ids, "text": tokenizer.decode(ids)} for ids in broken]


def rendered(source, context):
    known = {"messages", "tools", "documents"}
    # apply_chat_template drops the keys of a message that hold None before it renders
    messages = [{key: value for key, value in message.items() if value is not None} for message in context["messages"]]
    try:
        texts_made, ranges = render_jinja_template(
            [messages], tools=context.get("tools"), documents=context.get("documents"), chat_template=source,
            return_assistant_tokens_mask=True, **{key: value for key, value in context.items() if key not in known})
    except Exception as error:  # noqa: BLE001  the template's refusal is what is recorded
        return {"error": str(error)}
    text = texts_made[0]
    byte_ranges = [[len(text[:begin].encode()), len(text[:end].encode())] for begin, end in ranges[0]]
    return {"text": text, "generation": byte_ranges}


def main():
    tokenizer = make_tokenizer()
    (HERE / "tokenizer.json").write_text(tokenizer.to_str() + "\n", encoding="utf-8")
    write_rows("tokenizer_cases.json", tokenizer_cases(tokenizer))
    rows = []
    for name, source, contexts in template_cases.cases():
        rows.append({"name": name, "template": source,
                     "renders": [{"context": context, **rendered(source, context)} for context in contexts]})
    write_rows("templates.json", rows)


if __name__ == "__main__":
    main()
