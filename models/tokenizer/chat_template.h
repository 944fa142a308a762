// The chat template of a model: Jinja as model authors write it, in the environment of transformers.
// No LibTorch.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/document.h"

namespace masbak::models {

struct RenderedChat {
  std::string text;
  // Byte ranges [begin, end) of `text` inside {% generation %} blocks; empty if the template has none.
  std::vector<std::pair<size_t, size_t>> generation;
  bool has_generation_blocks = false;
};

class ChatTemplate {
 public:
  // From chat_template.jinja or tokenizer_config.json's chat_template (a string, or a list of named
  // ones: "default"). NOT_FOUND if the folder has none.
  static ChatTemplate load(const std::filesystem::path& folder);
  // `special_tokens` (bos_token, eos_token, …) are variables of the template.
  static ChatTemplate compile(std::string_view source, const base::Json& special_tokens = base::Json::object());

  // `context` is an object with messages, tools, documents, add_generation_prompt and any further variable,
  // as in transformers' apply_chat_template. INVALID_ARGUMENT with the template's own words if it calls
  // raise_exception, or with line and cause if it fails; RESOURCE_EXHAUSTED past the limits (10 million
  // steps, depth 200, 64 MiB of output), since a template is foreign code. Thread-safe.
  RenderedChat render(const base::Json& context) const;

  const std::string& source() const;

 private:
  struct State;
  explicit ChatTemplate(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

}  // namespace masbak::models
