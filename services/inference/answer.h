// One answer on its way from the engine to a client: tokens to text, stop texts, counts and timings.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "models/tokenizer/tokenizer.h"
#include "services/inference/generation_service.h"
#include "services/inference/metrics.h"
#include "services/inference/openai.h"

namespace masbak::inference {

// Reads a TokenStream as text. Used by one handler thread.
class Answer {
 public:
  Answer(std::shared_ptr<TokenStream> stream, const models::Tokenizer& tokenizer, const CompletionRequest& request,
         int64_t prompt_tokens, Metrics& metrics);
  ~Answer();  // an answer that was left is cancelled

  // The next piece of text, possibly empty while nothing is ready; nullopt when the answer is over.
  // INTERNAL if generation failed, INVALID_ARGUMENT if the engine refused the prompt.
  std::optional<std::string> next();
  const std::string& finish_reason() const { return finish_reason_; }  // after nullopt
  const Usage& usage() const { return usage_; }

 private:
  void count_token();
  std::string end(const std::string& reason);

  std::shared_ptr<TokenStream> stream_;
  models::StreamDecoder decoder_;
  StopScanner scanner_;
  Metrics& metrics_;
  std::string model_;
  Usage usage_;
  std::string finish_reason_;
  bool over_ = false;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now(), last_ = begin_;
};

}  // namespace masbak::inference
