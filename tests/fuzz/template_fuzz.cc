// A chat template, compiled and rendered with a few conversations. The first byte chooses the conversation.
#include "models/tokenizer/chat_template.h"

#include "tests/fuzz/harness.h"

namespace {

using namespace masbak;

const std::vector<base::Json>& contexts() {
  static const std::vector<base::Json> kContexts = [] {
    std::vector<base::Json> contexts;
    for (const char* text : {
             R"({"messages": []})",
             R"({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "مرحبا 👷 <b>"},
                 {"role": "assistant", "content": "a", "reasoning_content": "r\n\nr"}], "add_generation_prompt": true,
                 "n": -3, "f": 2.5, "big": 18446744073709551615, "list": [3, 1, 2, null, "x"],
                 "d": {"b": 1, "a": []}})",
             R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "part"}]},
                 {"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function",
                  "function": {"name": "f", "arguments": {"x": [1, 2.5, null], "y": {"z": "é"}}}}]},
                 {"role": "tool", "content": "{}", "tool_call_id": "1"}], "enable_thinking": false,
                 "tools": [{"type": "function", "function": {"name": "f", "description": "d",
                  "parameters": {"type": "object", "properties": {"x": {"type": ["string", "null"]}}}}}]})",
         }) {
      contexts.push_back(base::parse_json(text));
    }
    return contexts;
  }();
  return kContexts;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  return fuzz::expect_clear_errors([&] {
    const base::Json& context = contexts()[data[0] % contexts().size()];
    models::ChatTemplate::compile(fuzz::text_of(data + 1, size - 1)).render(context);
  });
}
