#include "services/inference/answer.h"

#include "base/error.h"

namespace masbak::inference {

namespace {

double seconds_between(std::chrono::steady_clock::time_point from, std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

Answer::Answer(std::shared_ptr<TokenStream> stream, const models::Tokenizer& tokenizer,
               const CompletionRequest& request, int64_t prompt_tokens, Metrics& metrics)
    : stream_(std::move(stream)),
      decoder_(tokenizer),
      scanner_(request.stop),
      metrics_(metrics),
      model_(request.model) {
  usage_.prompt_tokens = prompt_tokens;
  metrics_.prompt_tokens(model_, prompt_tokens);
}

Answer::~Answer() {
  if (over_) return;
  stream_->cancel();
  metrics_.finished(model_, "abort", usage_.completion_tokens, seconds_between(begin_, last_));
}

void Answer::count_token() {
  const auto now = std::chrono::steady_clock::now();
  if (usage_.completion_tokens == 0) {
    metrics_.first_token(model_, seconds_between(begin_, now));
  } else {
    metrics_.next_token(model_, seconds_between(last_, now));
  }
  ++usage_.completion_tokens;
  last_ = now;
}

// Marks the answer as over and returns the text that was held back.
std::string Answer::end(const std::string& reason) {
  over_ = true;
  finish_reason_ = reason;
  metrics_.finished(model_, reason, usage_.completion_tokens,
                    seconds_between(begin_, std::chrono::steady_clock::now()));
  return scanner_.push(decoder_.finish()) + scanner_.finish();
}

std::optional<std::string> Answer::next() {
  if (over_) return std::nullopt;
  const auto item = stream_->next(std::chrono::milliseconds(200));
  if (!item) return "";
  if (!item->error.empty()) {
    end("error");
    throw base::Error(base::Code::kInternal, item->error);
  }
  if (item->finished) return end(models::finish_reason_name(*item->finished));
  count_token();
  std::string piece = scanner_.push(decoder_.push(*item->token));
  if (scanner_.stopped()) {
    stream_->cancel();
    end("stop");
  }
  return piece;
}

}  // namespace masbak::inference
