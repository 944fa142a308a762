"""Templates and contexts for the golden file: every feature of the language once, and chat templates as
models have them."""

import pathlib

FEATURES = pathlib.Path(__file__).resolve().parent / "golden" / "features.txt"

CONTEXT = {
    "messages": [
        {"role": "user", "content": "Héllo wörld", "n": 3, "f": 2.5, "list": [3, 1, 2],
         "d": {"b": 1, "a": [1, {"x": None}]}, "t": True},
        {"role": "assistant", "content": "<b>&'\"", "n": -7, "f": 1e20, "list": []},
    ],
    "s": "one two  three", "x": 5, "add_generation_prompt": True,
}

TOOLS = [{"type": "function", "function": {
    "name": "read_gauge", "description": "Reads a \"gauge\" & more.\nقراءة",
    "parameters": {"type": "object", "properties": {"tag": {"type": "string"}, "n": {"type": "integer", "default": 2}},
                   "required": ["tag"]}}}]

SYSTEM = {"role": "system", "content": "You help in a refinery.\n"}
ASK = {"role": "user", "content": "  What does PI-101 read? أجب من فضلك 👩‍🏭 \n"}
ANSWER = {"role": "assistant", "content": "3.2 bar."}
THOUGHT = {"role": "assistant", "reasoning_content": "Look it up.\nThen say.", "content": "It is 3.2 bar."}
CALL = {"role": "assistant", "content": "", "tool_calls": [
    {"id": "c1", "type": "function",
     "function": {"name": "read_gauge", "arguments": {"tag": "PI-101", "x": [1, 2.5, None]}}}]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "{\"value\": 3.2}"}

CONVERSATIONS = [
    {"messages": [ASK], "add_generation_prompt": True},
    {"messages": [SYSTEM, ASK, ANSWER, ASK], "add_generation_prompt": True},
    {"messages": [SYSTEM, ASK, ANSWER]},
    {"messages": [ASK, THOUGHT, ASK, THOUGHT]},
    {"messages": [ASK, {"role": "assistant", "thinking": "Older name.", "content": "Yes."}]},
    {"messages": [SYSTEM, ASK, CALL, RESULT, ANSWER], "tools": TOOLS},
    {"messages": [ASK, CALL, RESULT], "tools": TOOLS, "add_generation_prompt": True, "enable_thinking": False},
    {"messages": [ANSWER, ASK]},
    {"messages": [ASK, ASK]},
    {"messages": [{"role": "user"}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "part"}, {"type": "text", "text": " two"}]}]},
    {"messages": []},
    {"messages": [ASK], "tools": []},
]

STRICT = """{{- bos_token | default('<s>') }}
{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'] | trim %}
    {%- set rest = messages[1:] %}
{%- else %}
    {%- set system = '' %}
    {%- set rest = messages %}
{%- endif %}
{%- for message in rest %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Roles must alternate: found ' ~ message['role'] ~ ' at ' ~ loop.index) }}
    {%- endif %}
    {%- if message['role'] == 'user' %}
        {{- '[USER] ' ~ (system ~ '\\n\\n' if loop.first and system else '') ~ message['content'] | trim ~ ' [/USER]' }}
    {%- else %}
        {%- generation %}{{ message['content'] }}</s>{% endgeneration %}
    {%- endif %}
{%- endfor %}
"""

TOOLED = """{%- macro show(value, depth=0) -%}
{%- if value is mapping -%}{ {%- for key, item in value | dictsort %} {{ key }}: {{ show(item, depth + 1) }}
{%- if not loop.last %},{% endif %}{% endfor %} }
{%- elif value is string -%}"{{ value }}"
{%- elif value is iterable -%}[{% for item in value %}{{ show(item, depth + 1) }}{{ ', ' if
not loop.last }}{% endfor %}]
{%- else -%}{{ value | tojson }}{%- endif -%}
{%- endmacro -%}
{%- set ns = namespace(last_user=-1, calls=0) -%}
{%- for message in messages if message.role == 'user' -%}{%- set ns.last_user = loop.index0 -%}{%- endfor -%}
{% if tools %}
<tools>
{% for tool in tools %}
{{ tool | tojson }}
{{ show(tool.function.parameters) }}
{% endfor %}
</tools>
{% endif %}
{% for message in messages %}
<{{ message.role | upper }}>
{%- if message.reasoning_content is defined and message.reasoning_content %}
(think)
{{ message.reasoning_content | indent(2, first=true) }}
(/think)
{% endif %}
{%- if message.content is string -%}
{{ message.content.strip() }}
{%- elif message.content is iterable -%}
{{ message.content | selectattr('type', 'equalto', 'text') | map(attribute='text') | join }}
{%- endif -%}
{% for call in message.tool_calls or [] %}{% set ns.calls = ns.calls + 1 %}
CALL {{ ns.calls }} {{ call.function.name }}({% for k, v in call.function.arguments.items() %}{{ k }}={{
v | tojson }}{{ ", " if not loop.last }}{% endfor %})
{%- endfor -%}
</>
{% else %}
nothing said
{% endfor %}
{%- if add_generation_prompt %}<ASSISTANT>{% if enable_thinking is defined and
not enable_thinking %}(no think){% endif %}{% endif %}
"""

MASKED = """{%- macro turn(m) %}{% generation %}{{ m.content }}{% endgeneration %}|{% endmacro -%}
{% for m in messages %}{{ m.role }}: {% if m.role == 'assistant' %}
{% generation %}
{{ m.content }}é
{% endgeneration %}
{{ turn(m) }}
{% else %}{{ m.content }}
{% endif %}
{% endfor %}"""


def cases():
    """(name, template, contexts) of each case."""
    features = FEATURES.read_text(encoding="utf-8").split("\n=====\n")
    for number, source in enumerate(features):
        yield f"feature {number}", source, [CONTEXT]
    for name, source in [("strict", STRICT), ("tooled", TOOLED), ("masked", MASKED)]:
        yield name, source, CONVERSATIONS
