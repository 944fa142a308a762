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

// The variables of one conversation, ready to render. For one thread at a time.
class ChatContext {
 public:
  explicit ChatContext(const base::Json& object);
  // One JSON object. Faster than by way of base::Json, and integers of any size stay exact. The errors are
  // parse_json's, and INVALID_ARGUMENT for another value than an object.
  static ChatContext parse(std::string_view json, const std::string& file = "", int line = 1);
  ChatContext(ChatContext&&) noexcept;
  ChatContext& operator=(ChatContext&&) noexcept;
  ~ChatContext();

  bool has(std::string_view name) const;
  bool wants_assistant_mask() const;  // return_assistant_tokens_mask

  struct State;  // chat_context.h

 private:
  friend class ChatTemplate;
  explicit ChatContext(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

class ChatTemplate {
 public:
  // The templates of a model folder, found as transformers finds them: chat_template.jinja ("default") and
  // additional_chat_templates/NAME.jinja, or else chat_template in tokenizer_config.json (a string, or several with
  // names). NOT_FOUND if the folder has none, INVALID_ARGUMENT with file and line for a default that is not well
  // formed; the others are compiled when they are asked for.
  static ChatTemplate load(const std::filesystem::path& folder);
  // As load, but a folder without a template is no error: then each context must bring its own.
  static ChatTemplate load_any(const std::filesystem::path& folder);
  // `special_tokens` (bos_token, eos_token, …) are variables of the template.
  static ChatTemplate compile(std::string_view source, const base::Json& special_tokens = base::Json::object());

  // The context holds messages, tools, documents, add_generation_prompt and any further variable, as the arguments of
  // transformers' render_jinja_template do; also continue_final_message (true, or the field to continue), and
  // chat_template: the name of one of several templates, or a template's text. Of several, "tool_use" is taken where
  // there are tools, "default" otherwise.
  //
  // INVALID_ARGUMENT with the template's own words if it calls raise_exception, or with line and cause if it fails;
  // RESOURCE_EXHAUSTED past the limits (10 million steps, depth 200, 64 MiB of output), since a template is
  // foreign code. Thread-safe.
  RenderedChat render(const ChatContext& context) const;
  RenderedChat render(const base::Json& context) const { return render(ChatContext(context)); }

  const std::string& source() const;  // of the default template; empty if there is none

 private:
  struct State;
  explicit ChatTemplate(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

}  // namespace masbak::models
