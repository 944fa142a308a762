// A question to a model server over the OpenAI API, with the answer as it is written.
#pragma once

#include <functional>
#include <string>

namespace masbak::services {

struct ChatQuestion {
  std::string endpoint;  // "http://127.0.0.1:41234/v1"
  std::string model;
  std::string text;
  int max_tokens = 256;
  double temperature = 0;
};

// Calls `piece` with each part of the answer, in the last call with the finish reason; false from it ends the
// answer. UNAVAILABLE if the server cannot be reached or breaks off; its own error messages come out as they are.
void ask_openai(const ChatQuestion& question,
                const std::function<bool(const std::string& text, const std::string& finish_reason)>& piece);

}  // namespace masbak::services
