// The metrics of a model server, in Prometheus' text format, with vLLM's names after "masbak:".
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

namespace masbak::inference {

struct ServiceLoad;

// Thread-safe.
class Metrics {
 public:
  Metrics();
  ~Metrics();

  // For lora_requests_info: which adapters (name → content digest) are served.
  void set_adapters(const std::map<std::string, std::string>& digest_by_name);
  void prompt_tokens(const std::string& model, int64_t count);
  void first_token(const std::string& model, double seconds);
  void next_token(const std::string& model, double seconds);  // since the token before
  void finished(const std::string& model, const std::string& reason, int64_t generated_tokens, double seconds);
  // The text of /metrics.
  std::string expose(const ServiceLoad& load);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace masbak::inference
