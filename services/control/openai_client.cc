#include "services/control/openai_client.h"

#include <httplib.h>

#include <exception>

#include "base/document.h"
#include "base/error.h"
#include "services/control/sse.h"

namespace masbak::services {
namespace {

struct Address {
  std::string host_part;  // "http://127.0.0.1:41234"
  std::string path;       // "/v1"
};

Address split(const std::string& endpoint) {
  size_t host = endpoint.find("://");
  size_t path = host == std::string::npos ? std::string::npos : endpoint.find('/', host + 3);
  if (path == std::string::npos) {
    throw base::Error(base::Code::kInternal,
                      "expected an endpoint such as http://host:port/v1, found \"" + endpoint + "\"");
  }
  return {endpoint.substr(0, path), endpoint.substr(path)};
}

std::string request_body(const ChatQuestion& question) {
  base::Json body;
  body["model"] = question.model;
  body["messages"] = base::Json::array({{{"role", "user"}, {"content", question.text}}});
  body["max_tokens"] = question.max_tokens;
  body["temperature"] = question.temperature;
  body["stream"] = true;
  return body.dump();
}

[[noreturn]] void fail_with_body(int status, const std::string& body) {
  std::string message = body;
  base::Json json = base::Json::parse(body, nullptr, false);
  if (json.is_object() && json.contains("error") && json["error"].is_object()) {
    message = json["error"].value("message", body);
  }
  base::Code code = status == 429 || status == 503 ? base::Code::kUnavailable
                    : status < 500                 ? base::Code::kInvalidArgument
                                                   : base::Code::kInternal;
  throw base::Error(code, "the model server answered " + std::to_string(status) + ": " + message);
}

}  // namespace

void ask_openai(const ChatQuestion& question,
                const std::function<bool(const std::string&, const std::string&)>& piece) {
  Address address = split(question.endpoint);
  httplib::Client client(address.host_part);
  client.set_connection_timeout(5);
  client.set_read_timeout(300);
  bool finished = false, given_up = false;
  std::exception_ptr fault;  // carried past the HTTP library's frames
  SseParser parser([&](const std::string& data) {
    if (data == "[DONE]") return true;
    base::Json chunk = base::parse_json(data, "answer of the model server");
    if (chunk.contains("error")) fail_with_body(500, data);
    for (const auto& choice : chunk.at("choices")) {
      std::string text, reason;
      if (choice.at("delta").contains("content") && choice.at("delta").at("content").is_string()) {
        text = choice.at("delta").at("content").get<std::string>();
      }
      if (choice.contains("finish_reason") && choice.at("finish_reason").is_string()) {
        reason = choice.at("finish_reason").get<std::string>();
      }
      if (!reason.empty()) finished = true;
      if (text.empty() && reason.empty()) continue;
      given_up = !piece(text, reason);
      if (given_up) return false;
    }
    return true;
  });
  int status = 0;
  std::string error_body;
  httplib::Request request;
  request.method = "POST";
  request.path = address.path + "/chat/completions";
  request.set_header("Content-Type", "application/json");
  request.body = request_body(question);
  request.response_handler = [&](const httplib::Response& response) {
    status = response.status;
    return true;
  };
  request.content_receiver = [&](const char* data, size_t size, uint64_t, uint64_t) {
    if (status == 200) {
      try {
        return parser.feed({data, size});
      } catch (...) {
        fault = std::current_exception();
        return false;
      }
    }
    error_body.append(data, size);
    return true;
  };
  auto result = client.send(request);
  if (fault) std::rethrow_exception(fault);
  if (given_up) return;
  if (status != 0 && status != 200) fail_with_body(status, error_body);
  if (!result || !finished) {
    throw base::Error(base::Code::kUnavailable,
                      "the model server at " + question.endpoint +
                          " broke off: " + (result ? "the answer has no end" : httplib::to_string(result.error())));
  }
}

}  // namespace masbak::services
