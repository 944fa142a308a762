"""Where the loss is, derived from plain chat templates, against trl's training variants of them, whose {% generation %}
blocks transformers evaluates: the same tokens learnt wherever both render the same text, and wherever they do not, the
assistant's words and nobody else's."""
import json
import pathlib
import random
import shutil
import tempfile

import trl
from masbak_oracle import adopted, main, worker
from transformers import AutoTokenizer

TEMPLATES = pathlib.Path(trl.__file__).parent / "chat_templates"
ROOT = tempfile.TemporaryDirectory(prefix="masbak-mask-")
FOLDER = pathlib.Path(ROOT.name)
CONVERSATIONS = 12  # of each family

# Their templates want content as a list of parts, and write texts letter by letter or not at all.
WANTS_PARTS = {"idefics3", "smolvlm", "llava_next"}
# Puts the answers of tools into the assistant's turn and, rendered to that point, adds no generation prompt: what the
# model must say next includes the header of the rest of its turn, which trl leaves out.
CONTINUES_THE_TURN = {"diffusion_gemma"}

TOOLS = [{"type": "function", "function": {
    "name": "tank_level", "description": "Level of a tank", "parameters": {
        "type": "object", "properties": {"tank": {"type": "string", "description": "its tag"}}, "required": ["tank"]}}}]
PIECES = ["pump", "خزان", "P-101", "naïve", "a b", "x=1\ny=2", "é", "{}", "valve 3", "“quoted”", "<b>", "ضغط عالٍ"]


class Words:
    """Texts in which every word says whose it is."""

    def __init__(self, seed):
        self.random, self.count = random.Random(seed), 0

    def text(self, speaker):
        self.count += 1
        return f"{speaker}{self.count}x " + " ".join(self.random.choices(PIECES, k=self.random.randint(1, 5))) + \
            f" {speaker}{self.count}y"


def conversation(seed, tools, reasoning, system):
    words, chance = Words(seed), random.Random(seed + 1)
    messages = [{"role": "system", "content": words.text("SYS")}] if system else []
    for _ in range(chance.randint(1, 4)):
        messages.append({"role": "user", "content": words.text("USR")})
        if tools and chance.random() < 0.6:
            for _ in range(chance.randint(1, 2)):
                function = {"name": "tank_level", "arguments": {"tank": words.text("ANS")}}
                call = {"type": "function", "function": function}
                messages.append({"role": "assistant", "content": words.text("ANS") if chance.random() < 0.4 else "",
                                 "tool_calls": [call]})
                messages.append({"role": "tool", "name": "tank_level", "content": words.text("TOOL")})
        answer = {"role": "assistant", "content": words.text("ANS")}
        if reasoning and chance.random() < 0.7:
            answer["reasoning_content"] = words.text("ANS")
        messages.append(answer)
    return {"messages": messages, **({"tools": TOOLS} if tools else {})}


def rows():
    return [conversation(seed, seed % 3 == 1, seed % 4 >= 2, seed % 2 == 0) for seed in range(CONVERSATIONS)]


def rendered(tokenizer, template, row):
    return tokenizer.apply_chat_template(row["messages"], tools=row.get("tools"), chat_template=template,
                                         tokenize=False)


def their_mask(tokenizer, template, row):
    done = tokenizer.apply_chat_template(row["messages"], tools=row.get("tools"), chat_template=template,
                                         return_dict=True, return_assistant_tokens_mask=True)
    return done["input_ids"], done["assistant_masks"]


def check_speakers(family, answer):
    learnt = "".join(piece["text"] for piece in answer["pieces"] if piece["learnt"])
    other = "".join(piece["text"] for piece in answer["pieces"] if not piece["learnt"])
    for speaker in ("SYS", "USR", "TOOL"):
        assert speaker not in learnt, (family, speaker, learnt)
    assert "ANS" not in other, (family, other)
    assert "ANS" in learnt, (family, answer)


def beyond(tokenizer, ids, ours, theirs):
    """The pieces of text that trl learns and we do not, each with whether an answer of ours follows it directly; None
    if we learn anything that trl does not."""
    if any(mine and not other for mine, other in zip(ours, theirs)):
        return None
    pieces, piece = [], []
    for i, token in enumerate(ids):
        if theirs[i] and not ours[i]:
            piece.append(token)
        elif piece:
            pieces.append((tokenizer.decode(piece), bool(ours[i])))
            piece = []
    return pieces + ([(tokenizer.decode(piece), False)] if piece else [])


def agrees(tokenizer, plain, row, ids, ours, theirs):
    """trl's blocks may begin within the generation prompt ("<|im_start|>assistant" without its line break, a <think>
    that the prompt opens already): training then learns to say what the prompt has said. Ours begin where generation
    begins; nothing else may differ."""
    pieces = beyond(tokenizer, ids, ours, theirs)
    if not pieces:
        return pieces == []
    prompts = ""
    for i, message in enumerate(row["messages"]):
        if message["role"] != "assistant":
            continue
        asked, closed = (tokenizer.apply_chat_template(
            row["messages"][:i], tools=row.get("tools"), chat_template=plain, tokenize=False, add_generation_prompt=add)
            for add in (True, False))
        prompts += asked[len(closed):] if asked.startswith(closed) else asked
    # A border may lie inside a token: the prompt's last character then belongs to the answer's first token, and the
    # first piece may begin with the last character of what comes before.
    return all(follows and (piece in prompts or piece[1:] in prompts) for piece, follows in pieces)


def compare(family, tokenizer, plain, training):
    folder = FOLDER / family
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(adopted() / name, folder / name)
    (folder / "chat_template.jinja").write_text(plain)
    kept = []
    for row in rows():
        try:
            kept.append((row, rendered(tokenizer, plain, row)))
        except Exception:  # the family's own refusal: a system message, a tool call
            continue
    lines = "".join(json.dumps(row) + "\n" for row, _ in kept)
    answers = [json.loads(line) for line in worker("mask", folder, input=lines).stdout.splitlines()]
    assert len(answers) == len(kept)
    same = derived = named = 0
    for (row, text), answer in zip(kept, answers):
        if "problem" in answer:
            assert answer["problem"]["field"].startswith("messages["), (family, answer)
            named += 1
            continue
        derived += 1
        assert tokenizer.decode(answer["ids"]) == text, family
        check_speakers(family, answer)
        try:
            if rendered(tokenizer, training, row) != text:
                continue
        except Exception:
            continue
        ids, theirs = their_mask(tokenizer, training, row)
        ours = [int(label != -100) for label in answer["labels"]]
        assert answer["ids"] == ids, family
        assert family in CONTINUES_THE_TURN or agrees(tokenizer, plain, row, ids, ours, theirs), (
            family, row, answer["pieces"], beyond(tokenizer, ids, ours, theirs))
        same += 1
    return same, derived, named


def test_every_family_of_trl():
    tokenizer = AutoTokenizer.from_pretrained(adopted())
    compared, total = 0, 0
    for file in sorted(TEMPLATES.glob("*_training.jinja")):
        family = file.name.removesuffix("_training.jinja")
        if family in WANTS_PARTS:
            continue
        plain = (TEMPLATES / f"{family}.jinja").read_text()
        same, derived, named = compare(family, tokenizer, plain, file.read_text())
        print(f"  {family}: {same} equal to trl's, {derived} derived, {named} named as problems")
        assert derived > 0, family
        compared += same > 0
        total += same
    assert compared >= 20 and total >= 140, (compared, total)


if __name__ == "__main__":
    main(globals())
