"""Conversations for chat templates: (name, arguments of transformers' render_jinja_template, with `messages`)."""

TOOLS = [
    {"type": "function", "function": {
        "name": "read_gauge", "description": "Reads a \"gauge\" & <more>.\nقراءة العداد",
        "parameters": {"type": "object", "properties": {
            "tag": {"type": "string", "description": "Tag, such as PI-101", "enum": ["PI-101", "TI-7"]},
            "window": {"type": ["integer", "null"], "default": 2, "maximum": 18446744073709551615},
            "limits": {"type": "array", "items": {"type": "number"}, "description": "Low, high"},
            "where": {"type": "object", "properties": {"unit": {"type": "string"}, "deck": {"type": "boolean"}},
                      "required": ["unit"]}}, "required": ["tag"]},
        "return": {"type": "number"}}},
    {"type": "function", "function": {"name": "shut_valve", "description": "Shuts a valve.",
                                      "parameters": {"type": "object", "properties": {}}}}]
BARE_TOOL = [{"name": "now", "description": "The time", "parameters": {"type": "object", "properties": {}}}]
DOCUMENTS = [{"title": "Manual", "text": "Open the bypass first."}, {"title": "دليل", "text": "افتح الصمام.\n"}]

SYSTEM = {"role": "system", "content": "You help in a refinery.\n"}
DEVELOPER = {"role": "developer", "content": "Answer in one line."}
ASK = {"role": "user", "content": "  What does PI-101 read? أجب من فضلك 👩‍🏭 \n"}
PLAIN = {"role": "user", "content": "And E-204?"}
ANSWER = {"role": "assistant", "content": "3.2 bar."}
THOUGHT = {"role": "assistant", "reasoning_content": "Look it up.\nThen say.", "content": "It is 3.2 bar."}
INLINE = {"role": "assistant", "content": "<think>\nHmm, PI-101.\n</think>\n\nIt is 3.2 bar."}
PARTS = {"role": "user", "content": [{"type": "text", "text": "part one"}, {"type": "text", "text": " and two"}]}


def call(arguments, identity="call00001", content="", name="read_gauge", **more):
    return {"role": "assistant", "content": content, **more, "tool_calls": [
        {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}]}


ARGUMENTS = {"tag": "PI-101", "limits": [1, 2.5, None, True], "where": {"unit": "crude \"1\"", "deck": False},
             "ü": "é\n"}
CALL = call(ARGUMENTS)
TEXT_CALL = call('{"tag": "PI-101", "limits": [1, 2.5]}')
TWO = {"role": "assistant", "content": "Both.", "tool_calls": [
    CALL["tool_calls"][0],
    {"id": "call00002", "type": "function", "function": {"name": "shut_valve", "arguments": {}}}]}
RESULT = {"role": "tool", "tool_call_id": "call00001", "name": "read_gauge", "content": "{\"value\": 3.2}"}
RESULT_2 = {"role": "tool", "tool_call_id": "call00002", "name": "shut_valve", "content": "done"}


def row(name, *messages, **more):
    return name, {"messages": list(messages), **more}


def conversations():
    prompt = {"add_generation_prompt": True}
    yield row("user", ASK, **prompt)
    yield row("user, no prompt", ASK)
    yield row("turns", SYSTEM, ASK, ANSWER, PLAIN, **prompt)
    yield row("turns, complete", SYSTEM, ASK, ANSWER, PLAIN, ANSWER)
    yield row("reasoning", ASK, THOUGHT, PLAIN, THOUGHT)
    yield row("reasoning, prompt", SYSTEM, ASK, THOUGHT, PLAIN, **prompt)
    yield row("reasoning as thinking", ASK, {"role": "assistant", "thinking": "Older.", "content": "Yes."}, PLAIN)
    yield row("reasoning inline", ASK, INLINE, PLAIN, INLINE)
    yield row("reasoning, empty content", ASK, {"role": "assistant", "reasoning_content": "Only this.", "content": ""})
    yield row("tools, none called", SYSTEM, ASK, tools=TOOLS, **prompt)
    yield row("tools without system", ASK, ANSWER, tools=TOOLS)
    yield row("tool call", SYSTEM, ASK, CALL, RESULT, ANSWER, tools=TOOLS)
    yield row("tool call, prompt", ASK, CALL, RESULT, tools=TOOLS, **prompt)
    yield row("tool call with text arguments", ASK, TEXT_CALL, RESULT, ANSWER, tools=TOOLS)
    yield row("parallel calls", SYSTEM, ASK, TWO, RESULT, RESULT_2, ANSWER, tools=TOOLS)
    yield row("calls with reasoning", ASK, call(ARGUMENTS, reasoning_content="Call it."), RESULT, THOUGHT, PLAIN,
              tools=TOOLS, **prompt)
    yield row("call without tools", ASK, CALL, RESULT, ANSWER)
    yield row("call, content null", ASK, call(ARGUMENTS, content=None), RESULT, ANSWER, tools=TOOLS)
    yield row("call of function form", ASK, {"role": "assistant", "content": "", "tool_calls": [
        {"name": "read_gauge", "arguments": {"tag": "PI-101"}}]}, RESULT, ANSWER, tools=TOOLS)
    yield row("tool result as parts", ASK, CALL, {**RESULT, "content": [{"type": "text", "text": "3.2"}]}, ANSWER)
    yield row("tool result as object", ASK, CALL, {**RESULT, "content": {"value": 3.2}}, ANSWER, tools=TOOLS)
    yield row("bare tools", ASK, tools=BARE_TOOL, **prompt)
    yield row("no tools", ASK, tools=[], **prompt)
    yield row("tool first", RESULT, ANSWER)
    yield row("developer", DEVELOPER, ASK, ANSWER, **prompt)
    yield row("system and developer", SYSTEM, DEVELOPER, ASK, tools=TOOLS, **prompt)
    yield row("system only", SYSTEM, **prompt)
    yield row("system late", ASK, SYSTEM, ANSWER)
    yield row("two systems", SYSTEM, SYSTEM, ASK)
    yield row("assistant first", ANSWER, ASK, **prompt)
    yield row("two users", ASK, PLAIN, **prompt)
    yield row("two assistants", ASK, ANSWER, ANSWER)
    yield row("unknown role", ASK, {"role": "narrator", "content": "Meanwhile."}, ANSWER)
    yield row("parts", SYSTEM, PARTS, ANSWER, **prompt)
    yield row("parts everywhere", {**SYSTEM, "content": [{"type": "text", "text": "s"}]}, PARTS,
              {"role": "assistant", "content": [{"type": "text", "text": "a"}]})
    yield row("image part", {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "See."}]},
              **prompt)
    yield row("empty content", {"role": "system", "content": ""}, {"role": "user", "content": ""},
              {"role": "assistant", "content": ""})
    yield row("null content", {"role": "user", "content": None}, ANSWER)
    yield row("number content", {"role": "user", "content": 12.50}, ANSWER)
    yield row("no content", {"role": "user"}, ANSWER)
    yield row("no role", {"content": "who?"}, ANSWER)
    yield row("empty message", {}, ANSWER)
    yield row("empty")
    yield row("empty, prompt", **prompt)
    yield row("spaces and markup", {"role": "user", "content": "\n <|im_end|> </s> <b>&amp;</b> {{ x }} \t\n"},
              {"role": "assistant", "content": "  ok\n\n"}, PLAIN, **prompt)
    yield row("scripts", {"role": "system", "content": "أنت مهندس.\u200f"}, {"role": "user",
                                                                             "content": "你好 ‹Ünïcødé› 🇸🇦👨‍👩‍👧"},
              {"role": "assistant", "content": "नमस्ते\u2028\u00a0x"}, **prompt)
    yield row("not thinking", SYSTEM, ASK, THOUGHT, PLAIN, enable_thinking=False, **prompt)
    yield row("thinking", SYSTEM, ASK, enable_thinking=True, thinking=True, **prompt)
    yield row("kwargs", SYSTEM, ASK, CALL, RESULT, tools=TOOLS, date_string="26 Jul 2025",
              builtin_tools=["brave_search"],
              tools_in_user_message=False, xml_tools=["x"], python_tools=["y"], reasoning_effort="high",
              custom_instructions="Be brief.", preserve_thinking=True, **prompt)
    yield row("kwargs off", ASK, THOUGHT, PLAIN, tools=TOOLS, clear_thinking=False, keep_past_thinking=True,
              tools_in_user_message=True, model_identity="You are a test.", bos_token="[BOS]", **prompt)
    yield row("documents", SYSTEM, ASK, documents=DOCUMENTS, **prompt)
    yield row("continue", ASK, {"role": "assistant", "content": "The value is  "}, continue_final_message=True)
    yield row("continue parts", ASK, {"role": "assistant", "content": [{"type": "text", "text": "The"}]},
              continue_final_message=True)
    yield row("continue user", SYSTEM, PLAIN, continue_final_message=True)
    yield row("continue nothing", ASK, {"role": "assistant"}, continue_final_message=True)
