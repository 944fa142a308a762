// The OpenAI API's requests and responses as JSON: pure functions, no sockets.
// Source: the API reference of OpenAI, "Chat completions" and "Completions".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/document.h"
#include "models/generation/engine.h"

namespace masbak::inference {

struct CompletionRequest {
  std::string model;
  bool chat = true;
  base::Json messages, tools;       // chat
  std::string prompt;               // completions: text, or …
  std::vector<int32_t> prompt_ids;  // … token ids
  models::SamplingOptions sampling;
  bool max_tokens_given = false;
  std::vector<std::string> stop;
  bool stream = false;
  bool include_usage = false;
};

// INVALID_ARGUMENT with the field for what is missing, of another type, out of range, or would change the
// answer and is not offered here (n > 1, logprobs, penalties, response_format …).
CompletionRequest parse_request(const std::string& body, bool chat);

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
};

// What all messages of one answer share.
struct AnswerHead {
  std::string id;
  std::string model;
  int64_t created = 0;  // seconds since 1970
  bool chat = true;
};

base::Json whole_answer(const AnswerHead& head, const std::string& text, const std::string& finish_reason,
                        const Usage& usage);
// A piece of a streamed answer; `first` carries the role, a non-empty finish_reason ends it.
base::Json answer_chunk(const AnswerHead& head, const std::string& text, bool first, const std::string& finish_reason);
base::Json usage_chunk(const AnswerHead& head, const Usage& usage);
base::Json model_list(const std::vector<std::string>& ids, int64_t created);

// The error object, and the HTTP status of a code.
base::Json error_object(const base::Error& error);
int http_status(base::Code code);

// Finds stop strings in text that arrives in pieces: what may be the beginning of one is held back.
class StopScanner {
 public:
  explicit StopScanner(std::vector<std::string> stops) : stops_(std::move(stops)) {}
  // The text that is safe to send. After `stopped()` everything further is dropped.
  std::string push(const std::string& piece);
  std::string finish();
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace masbak::inference
