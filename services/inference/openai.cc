#include "services/inference/openai.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace masbak::inference {

using base::Fields;
using base::Json;

namespace {

constexpr int64_t kDefaultMaxTokens = 1024;

double bounded(const Fields& body, const std::string& key, double fallback, double low, double high) {
  const double value = body.get<double>(key, fallback);
  if (!(value >= low && value <= high)) {
    body.fail(key, "expected a number from " + std::to_string(low) + " to " + std::to_string(high) + ", found " +
                       std::to_string(value));
  }
  return value;
}

// What would change the answer but is not offered must be refused, not ignored.
void refuse_unsupported(const Fields& body) {
  if (body.get<int64_t>("n", 1) != 1) body.fail("n", "only one answer a request is offered; send n = 1");
  for (const char* key : {"presence_penalty", "frequency_penalty"}) {
    if (body.get<double>(key, 0.0) != 0.0) body.fail(key, "penalties are not offered here; leave it out or send 0");
  }
  const Json& logprobs = body.raw("logprobs");
  if (!logprobs.is_null() && logprobs != Json(false)) body.fail("logprobs", "log probabilities are not offered here");
  const Json& bias = body.raw("logit_bias");
  if (bias.is_object() && !bias.empty()) body.fail("logit_bias", "a logit bias is not offered here");
  const Json& format = body.raw("response_format");
  if (format.is_object() && format.value("type", "text") != "text") {
    body.fail("response_format", "only the type 'text' is offered here");
  }
}

std::vector<std::string> read_stop(const Fields& body) {
  const Json& stop = body.raw("stop");
  std::vector<std::string> stops;
  if (stop.is_string()) stops.push_back(stop.get<std::string>());
  if (stop.is_array()) stops = body.get<std::vector<std::string>>("stop");
  if (!stop.is_null() && !stop.is_string() && !stop.is_array()) body.fail("stop", "expected a text or a list of texts");
  for (const auto& text : stops) {
    if (text.empty()) body.fail("stop", "a stop text may not be empty");
  }
  if (stops.size() > 4) body.fail("stop", "at most 4 stop texts are allowed");
  return stops;
}

void read_sampling(const Fields& body, CompletionRequest& request) {
  auto& sampling = request.sampling;
  sampling.temperature = bounded(body, "temperature", 1.0, 0.0, 2.0);
  sampling.top_p = bounded(body, "top_p", 1.0, 0.0, 1.0);
  sampling.top_k = std::max<int64_t>(0, body.get<int64_t>("top_k", 0));
  sampling.seed = static_cast<uint64_t>(body.get<int64_t>("seed", 0));
  sampling.max_tokens = kDefaultMaxTokens;
  for (const char* key : {"max_tokens", "max_completion_tokens"}) {
    if (!body.has(key)) continue;
    sampling.max_tokens = body.get<int64_t>(key);
    request.max_tokens_given = true;
    if (sampling.max_tokens < 1) body.fail(key, "expected at least 1, found " + std::to_string(sampling.max_tokens));
  }
  request.stop = read_stop(body);
  request.stream = body.get<bool>("stream", false);
  if (body.has("stream_options")) {
    request.include_usage = body.child("stream_options").get<bool>("include_usage", false);
  }
}

// OpenAI's clients may send content as a list of parts; the templates of text models want the text.
void flatten_content(const Fields& body, Json& message, size_t index) {
  if (!message.contains("content") || !message["content"].is_array()) return;
  std::string text;
  for (const auto& part : message["content"]) {
    if (!part.is_object() || part.value("type", "") != "text" || !part.contains("text") || !part["text"].is_string()) {
      body.fail("messages[" + std::to_string(index) + "].content", "only parts of the type 'text' are understood");
    }
    text += part["text"].get<std::string>();
  }
  message["content"] = text;
}

void read_messages(const Fields& body, CompletionRequest& request) {
  request.messages = body.raw("messages");
  if (!request.messages.is_array() || request.messages.empty()) {
    body.fail("messages", "expected a list with at least one message {\"role\", \"content\"}");
  }
  for (size_t i = 0; i < request.messages.size(); ++i) {
    Json& message = request.messages[i];
    const std::string where = "messages[" + std::to_string(i) + "]";
    if (!message.is_object()) body.fail(where, "expected an object {\"role\", \"content\"}");
    if (!message.contains("role") || !message["role"].is_string()) body.fail(where + ".role", "expected a text");
    flatten_content(body, message, i);
    const bool has_text = message.contains("content") && message["content"].is_string();
    if (!has_text && !message.contains("tool_calls")) body.fail(where + ".content", "expected a text");
  }
  request.tools = body.raw("tools");
}

void read_prompt(const Fields& body, CompletionRequest& request) {
  const Json& prompt = body.raw("prompt");
  if (prompt.is_string()) {
    request.prompt = prompt.get<std::string>();
  } else if (prompt.is_array() && !prompt.empty() && prompt[0].is_number_integer()) {
    for (int64_t id : body.get<std::vector<int64_t>>("prompt")) request.prompt_ids.push_back(static_cast<int32_t>(id));
  } else {
    body.fail("prompt", "expected one text or one list of token ids");
  }
}

}  // namespace

CompletionRequest parse_request(const std::string& text, bool chat) {
  const Json json = base::parse_json(text, "request body");
  if (!json.is_object()) base::fail_input("expected a JSON object", {.file = "request body"});
  const Fields body = Fields::from_json(json, "request body");
  CompletionRequest request;
  request.chat = chat;
  request.model = body.get<std::string>("model");
  refuse_unsupported(body);
  read_sampling(body, request);
  if (chat) {
    read_messages(body, request);
  } else {
    read_prompt(body, request);
  }
  return request;
}

namespace {

Json answer_base(const AnswerHead& head, const char* object) {
  return Json{{"id", head.id}, {"object", object}, {"created", head.created}, {"model", head.model}};
}

Json usage_json(const Usage& usage) {
  return Json{{"prompt_tokens", usage.prompt_tokens},
              {"completion_tokens", usage.completion_tokens},
              {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

}  // namespace

Json whole_answer(const AnswerHead& head, const std::string& text, const std::string& finish_reason,
                  const Usage& usage) {
  Json answer = answer_base(head, head.chat ? "chat.completion" : "text_completion");
  Json choice{{"index", 0}};
  if (head.chat) {
    choice["message"] = Json{{"role", "assistant"}, {"content", text}};
  } else {
    choice["text"] = text;
  }
  choice["logprobs"] = nullptr;
  choice["finish_reason"] = finish_reason;
  answer["choices"] = Json::array({choice});
  answer["usage"] = usage_json(usage);
  return answer;
}

Json answer_chunk(const AnswerHead& head, const std::string& text, bool first, const std::string& finish_reason) {
  Json chunk = answer_base(head, head.chat ? "chat.completion.chunk" : "text_completion");
  Json choice{{"index", 0}};
  if (head.chat) {
    Json delta = Json::object();
    if (first) delta["role"] = "assistant";
    if (first || !text.empty()) delta["content"] = text;
    choice["delta"] = delta;
  } else {
    choice["text"] = text;
  }
  choice["logprobs"] = nullptr;
  choice["finish_reason"] = finish_reason.empty() ? Json(nullptr) : Json(finish_reason);
  chunk["choices"] = Json::array({choice});
  return chunk;
}

Json usage_chunk(const AnswerHead& head, const Usage& usage) {
  Json chunk = answer_base(head, head.chat ? "chat.completion.chunk" : "text_completion");
  chunk["choices"] = Json::array();
  chunk["usage"] = usage_json(usage);
  return chunk;
}

Json model_list(const std::vector<std::string>& ids, int64_t created) {
  Json data = Json::array();
  for (const auto& id : ids) {
    data.push_back(Json{{"id", id}, {"object", "model"}, {"created", created}, {"owned_by", "masbak"}});
  }
  return Json{{"object", "list"}, {"data", data}};
}

int http_status(base::Code code) {
  switch (code) {
    case base::Code::kInvalidArgument:
    case base::Code::kOutOfRange:
    case base::Code::kFailedPrecondition: return 400;
    case base::Code::kUnauthenticated: return 401;
    case base::Code::kPermissionDenied: return 403;
    case base::Code::kNotFound: return 404;
    case base::Code::kResourceExhausted: return 429;
    case base::Code::kUnimplemented: return 501;
    case base::Code::kUnavailable: return 503;
    default: return 500;
  }
}

Json error_object(const base::Error& error) {
  const int status = http_status(error.code());
  const char* type = status == 401                   ? "authentication_error"
                     : status == 429                 ? "rate_limit_error"
                     : status >= 400 && status < 500 ? "invalid_request_error"
                                                     : "server_error";
  const std::string& field = error.where().field;
  return Json{{"error",
               {{"message", error.what()},
                {"type", type},
                {"param", field.empty() ? Json(nullptr) : Json(field)},
                {"code", std::string(base::code_name(error.code()))}}}};
}

std::string StopScanner::push(const std::string& piece) {
  if (stopped_) return "";
  held_ += piece;
  size_t cut = std::string::npos;
  for (const auto& stop : stops_) cut = std::min(cut, held_.find(stop));
  if (cut != std::string::npos) {
    stopped_ = true;
    std::string safe = held_.substr(0, cut);
    held_.clear();
    return safe;
  }
  // The longest end of the text that a stop text begins with.
  size_t keep = 0;
  for (const auto& stop : stops_) {
    for (size_t length = std::min(stop.size() - 1, held_.size()); length > keep; --length) {
      if (held_.compare(held_.size() - length, length, stop, 0, length) == 0) keep = length;
    }
  }
  std::string safe = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return safe;
}

std::string StopScanner::finish() {
  std::string rest = stopped_ ? "" : held_;
  held_.clear();
  return rest;
}

}  // namespace masbak::inference
