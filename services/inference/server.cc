#include "services/inference/server.h"

#include <httplib.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <chrono>
#include <thread>

#include "adapters/file.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/log.h"
#include "base/program.h"
#include "models/families/causal_model.h"
#include "models/families/place.h"
#include "models/tokenizer/chat_template.h"
#include "models/tokenizer/tokenizer.h"
#include "services/inference/answer.h"

namespace masbak::inference {

using base::Code;
using base::Error;

namespace {

constexpr std::chrono::seconds kDrainLimit{45};
constexpr size_t kMaxBodyBytes = 16 << 20;
// A streamed answer holds its thread while it lasts.
constexpr size_t kHandlerThreads = 64;

int64_t unix_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string random_id(const char* prefix) {
  std::array<unsigned char, 12> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) {
    throw Error(Code::kInternal, "the random number generator of OpenSSL failed");
  }
  static const char* const kHex = "0123456789abcdef";
  std::string id = prefix;
  for (unsigned char byte : bytes) {
    id += kHex[byte >> 4];
    id += kHex[byte & 15];
  }
  return id;
}

std::unique_ptr<models::ChatTemplate> load_template(const std::filesystem::path& folder) {
  try {
    return std::make_unique<models::ChatTemplate>(models::ChatTemplate::load(folder));
  } catch (const Error& fault) {
    if (fault.code() != Code::kNotFound) throw;
    return nullptr;  // a base model: /v1/completions still serves it
  }
}

void send_error(httplib::Response& response, const Error& error) {
  response.status = http_status(error.code());
  response.set_content(error_object(error).dump(), "application/json");
}

}  // namespace

void parse_listen_address(const std::string& address, std::string& host, int& port) {
  const size_t colon = address.rfind(':');
  const std::string digits = colon == std::string::npos ? "" : address.substr(colon + 1);
  if (colon == 0 || digits.empty() || digits.size() > 5 ||
      digits.find_first_not_of("0123456789") != std::string::npos || std::stoi(digits) > 65535) {
    base::fail_input("expected HOST:PORT such as 127.0.0.1:8000, found '" + address + "'", {.field = "--listen"});
  }
  host = address.substr(0, colon);
  port = std::stoi(digits);
}

struct Server::State {
  ServerOptions options;
  models::Tokenizer tokenizer;
  std::unique_ptr<models::ChatTemplate> chat_template;
  GenerationService service;
  Metrics metrics;
  httplib::Server http;
  int port = 0;
  int64_t created = unix_seconds();

  explicit State(const ServerOptions& given)
      : options(given),
        tokenizer(models::Tokenizer::load(given.model)),
        chat_template(load_template(given.model)),
        service(given.max_running) {}

  void load_models();
  void bind();
  void add_routes();
  bool authorised(const httplib::Request& request) const;
  std::vector<int32_t> prompt_of(const CompletionRequest& request) const;
  void complete(const httplib::Request& http_request, httplib::Response& response, bool chat);
  void answer_whole(httplib::Response& response, Answer& answer, const AnswerHead& head) const;
  static void answer_streamed(httplib::Response& response, std::shared_ptr<Answer> answer, const AnswerHead& head,
                              bool include_usage);
};

void Server::State::load_models() {
  if (options.model_name.empty()) {
    options.model_name = std::filesystem::canonical(options.model).filename().string();
  }
  auto base_model = models::load_model_on(options.device, options.model, options.dtype);
  std::map<std::string, std::string> digests;
  std::vector<std::pair<std::string, std::unique_ptr<models::CausalModel>>> adapted;
  for (const auto& [name, folder] : options.adapters) {
    auto model = base_model->share();
    adapters::apply_adapter(*model, folder);
    digests[name] = adapters::adapter_digest(folder);
    adapted.emplace_back(name, std::move(model));
  }
  service.add(options.model_name, std::move(base_model));
  for (auto& [name, model] : adapted) service.add(name, std::move(model));
  metrics.set_adapters(digests);
}

void Server::State::bind() {
  http.new_task_queue = [] { return new httplib::ThreadPool(kHandlerThreads); };
  http.set_payload_max_length(kMaxBodyBytes);
  // The library's default lets two servers share a port without a word.
  http.set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  if (options.port == 0) {
    port = http.bind_to_any_port(options.host);
  } else {
    port = http.bind_to_port(options.host, options.port) ? options.port : -1;
  }
  if (port < 0) {
    throw Error(Code::kFailedPrecondition,
                "could not listen on " + options.host + ":" + std::to_string(options.port) +
                    ": the port is in use or the address is not this machine's; choose another with --listen",
                {.field = "--listen"});
  }
}

bool Server::State::authorised(const httplib::Request& request) const {
  if (options.api_key.empty()) return true;
  const std::string given = request.get_header_value("Authorization");
  const std::string expected = "Bearer " + options.api_key;
  return given.size() == expected.size() && CRYPTO_memcmp(given.data(), expected.data(), expected.size()) == 0;
}

std::vector<int32_t> Server::State::prompt_of(const CompletionRequest& request) const {
  if (!request.chat) {
    if (!request.prompt_ids.empty()) return request.prompt_ids;
    return tokenizer.encode(request.prompt, true);
  }
  if (!chat_template) {
    throw Error(Code::kFailedPrecondition, "this model has no chat template; use /v1/completions");
  }
  base::Json context{{"messages", request.messages}, {"add_generation_prompt", true}};
  if (!request.tools.is_null()) context["tools"] = request.tools;
  return tokenizer.encode(chat_template->render(context).text, false);
}

void Server::State::complete(const httplib::Request& http_request, httplib::Response& response, bool chat) {
  CompletionRequest request = parse_request(http_request.body, chat);
  std::vector<int32_t> prompt = prompt_of(request);
  const auto ids = service.ids();
  if (std::find(ids.begin(), ids.end(), request.model) != ids.end()) {
    const int64_t room = service.info(request.model).max_positions - static_cast<int64_t>(prompt.size());
    if (room < 1 || (request.max_tokens_given && request.sampling.max_tokens > room)) {
      base::fail_input("the prompt of " + std::to_string(prompt.size()) + " tokens leaves room for " +
                           std::to_string(std::max<int64_t>(room, 0)) + " more, found max_tokens " +
                           std::to_string(request.sampling.max_tokens) + "; shorten the prompt or the answer",
                       {.field = chat ? "messages" : "prompt"});
    }
    request.sampling.max_tokens = std::min(request.sampling.max_tokens, room);
  }
  request.sampling.stop_ids = tokenizer.eos_ids();
  const auto prompt_tokens = static_cast<int64_t>(prompt.size());
  auto stream = service.submit(request.model, std::move(prompt), request.sampling);
  auto answer = std::make_shared<Answer>(stream, tokenizer, request, prompt_tokens, metrics);
  const AnswerHead head{random_id(chat ? "chatcmpl-" : "cmpl-"), request.model, unix_seconds(), chat};
  if (request.stream) {
    answer_streamed(response, answer, head, request.include_usage);
  } else {
    answer_whole(response, *answer, head);
  }
}

void Server::State::answer_whole(httplib::Response& response, Answer& answer, const AnswerHead& head) const {
  std::string text;
  while (auto piece = answer.next()) text += *piece;
  response.set_content(whole_answer(head, text, answer.finish_reason(), answer.usage()).dump(), "application/json");
}

void Server::State::answer_streamed(httplib::Response& response, std::shared_ptr<Answer> answer, const AnswerHead& head,
                                    bool include_usage) {
  auto send = [](httplib::DataSink& sink, const std::string& data) {
    const std::string event = "data: " + data + "\n\n";
    return sink.write(event.data(), event.size());
  };
  auto first = std::make_shared<bool>(true);
  response.set_chunked_content_provider("text/event-stream", [=](size_t, httplib::DataSink& sink) {
    try {
      if (*first && !send(sink, answer_chunk(head, "", true, "").dump())) return false;
      *first = false;
      const auto piece = answer->next();
      if (piece && piece->empty()) return sink.is_writable();
      if (piece) return send(sink, answer_chunk(head, *piece, false, "").dump());
      bool sent = send(sink, answer_chunk(head, "", false, answer->finish_reason()).dump());
      if (sent && include_usage) sent = send(sink, usage_chunk(head, answer->usage()).dump());
      if (sent) sent = send(sink, "[DONE]");
      sink.done();
      return sent;
    } catch (const Error& fault) {
      // The status line has gone out already: the error travels as an event.
      send(sink, error_object(fault).dump());
      sink.done();
      return false;
    }
  });
}

void Server::State::add_routes() {
  using Handler = std::function<void(const httplib::Request&, httplib::Response&)>;
  auto guarded = [this](const Handler& handler) {
    return [this, handler](const httplib::Request& request, httplib::Response& response) {
      try {
        if (!authorised(request)) {
          throw Error(Code::kUnauthenticated, "expected the header 'Authorization: Bearer KEY' with a valid key");
        }
        handler(request, response);
      } catch (const Error& fault) {
        send_error(response, fault);
      } catch (const std::exception& fault) {
        base::log_error(std::string("request failed: ") + fault.what());
        send_error(response, Error(Code::kInternal, fault.what()));
      }
    };
  };
  http.Get("/health", [](const httplib::Request&, httplib::Response& response) {
    response.set_content("{\"status\":\"ok\"}", "application/json");
  });
  http.Get("/v1/models", guarded([this](const auto&, auto& response) {
             response.set_content(model_list(service.ids(), created).dump(), "application/json");
           }));
  http.Get("/metrics", guarded([this](const auto&, auto& response) {
             response.set_content(metrics.expose(service.load()), "text/plain; version=0.0.4");
           }));
  http.Post("/v1/chat/completions", guarded([this](const auto& q, auto& r) { complete(q, r, true); }));
  http.Post("/v1/completions", guarded([this](const auto& q, auto& r) { complete(q, r, false); }));
  http.set_error_handler([](const httplib::Request& request, httplib::Response& response) {
    if (!response.body.empty()) return;
    const Error error(response.status == 413 ? Code::kInvalidArgument : Code::kNotFound,
                      "no such route or a bad request: " + request.method + " " + request.path);
    response.set_content(error_object(error).dump(), "application/json");
  });
}

Server::Server(const ServerOptions& options) : state_(std::make_unique<State>(options)) {
  state_->bind();  // before the load, which takes longer than a wrong port deserves
  state_->load_models();
  state_->add_routes();
}

Server::~Server() = default;

int Server::port() const { return state_->port; }

void Server::run() {
  state_->service.start();
  std::thread stopper([this] {
    while (!base::stop_requested()) std::this_thread::sleep_for(std::chrono::milliseconds(100));
    base::log_info("stopping: running requests may end");
    state_->service.drain(kDrainLimit);
    state_->http.stop();
  });
  const bool listened = state_->http.listen_after_bind();
  base::request_stop();
  stopper.join();
  if (!listened) throw Error(Code::kInternal, "the HTTP server ended by itself");
}

}  // namespace masbak::inference
