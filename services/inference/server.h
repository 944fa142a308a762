// The OpenAI-compatible HTTP server of one base model and its adapters.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

namespace masbak::inference {

struct ServerOptions {
  std::filesystem::path model;                            // a Hugging Face folder
  std::string model_name;                                 // served as; the folder's name if empty
  std::map<std::string, std::filesystem::path> adapters;  // served as → PEFT folder
  std::string host = "127.0.0.1";
  int port = 8000;      // 0: a free one
  std::string api_key;  // empty: none asked for
  std::string dtype = "auto";
  std::string device = "cpu";
  int64_t max_running = 16;  // sequences in one batch
};

// Routes: GET /v1/models, POST /v1/chat/completions, POST /v1/completions, GET /metrics (all with the
// API key, if one is set) and GET /health (without).
class Server {
 public:
  // Loads everything and binds the port. FAILED_PRECONDITION if the port is in use; what load_model and
  // apply_adapter throw.
  explicit Server(const ServerOptions& options);
  ~Server();

  int port() const;
  // Serves until base::stop_requested(); then takes no new request, lets the running ones end (45 s at
  // most) and returns.
  void run();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// "127.0.0.1:8000" → host and port; INVALID_ARGUMENT otherwise.
void parse_listen_address(const std::string& address, std::string& host, int& port);

}  // namespace masbak::inference
