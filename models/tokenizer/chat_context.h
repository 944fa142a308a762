// What a ChatContext holds, and what transformers makes of the arguments before a template sees them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "models/tokenizer/chat_template.h"
#include "models/tokenizer/jinja/value.h"

namespace masbak::models {

struct ChatContext::State {
  std::vector<std::pair<std::string, jinja::Value>> variables;  // in order; without continue_final_message's own
  std::string chat_template;                                    // empty: as the template decides
  std::optional<std::string> continued_text;                    // of the final message, if it is to be continued
  bool assistant_mask = false;
  size_t bytes = 0;  // about how long all of it is, to reserve for the rendered chat

  const jinja::Value* find(std::string_view name) const;
};

// Behind the text to continue, until the rendered chat is cut there.
inline constexpr std::string_view kContinueTag = "CONTINUE_FINAL_MESSAGE_TAG ";

// The rendered chat up to the end of the text that is to be continued. INVALID_ARGUMENT if the template left the
// text out. `text` is cut in place.
void cut_at_continuation(std::string& text, const std::string& continued);

}  // namespace masbak::models
