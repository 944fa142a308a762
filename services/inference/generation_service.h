// The models of one server and the thread that steps them. HTTP handlers submit requests from many
// threads; one thread owns the engines, so that no model code needs a lock.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "models/generation/engine.h"

namespace masbak::inference {

// What one request yields, read by its HTTP handler while the engine thread writes it. Thread-safe.
class TokenStream {
 public:
  struct Item {
    std::optional<int32_t> token;                  // a new token, or …
    std::optional<models::FinishReason> finished;  // … the end
    std::string error;                             // … or why there is none
  };
  // Waits for the next item. nullopt after `limit`.
  std::optional<Item> next(std::chrono::milliseconds limit);
  // The engine drops the request at its next step.
  void cancel();

 private:
  friend class GenerationService;
  void push(Item item);
  bool cancelled();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> items_;
  bool cancelled_ = false;
};

struct ServiceLoad {
  int64_t running = 0;
  int64_t waiting = 0;
  int64_t cache_bytes = 0;
};

class GenerationService {
 public:
  explicit GenerationService(int64_t max_running);
  ~GenerationService();  // cancels what is left and joins the thread

  // Before start(). `model` is served under `id`.
  void add(const std::string& id, std::unique_ptr<models::CausalModel> model);
  void start();

  // NOT_FOUND for an unknown id; INVALID_ARGUMENT as Engine::submit; UNAVAILABLE once draining.
  std::shared_ptr<TokenStream> submit(const std::string& id, std::vector<int32_t> prompt,
                                      models::SamplingOptions sampling);
  const models::ModelInfo& info(const std::string& id) const;
  std::vector<std::string> ids() const;
  ServiceLoad load() const;
  // No new requests; returns when the running ones are done, or after `limit`.
  void drain(std::chrono::milliseconds limit);

 private:
  struct Served {
    std::unique_ptr<models::CausalModel> model;
    std::unique_ptr<models::Engine> engine;
  };
  struct Submission {
    Served* served;
    std::vector<int32_t> prompt;
    models::SamplingOptions sampling;
    std::shared_ptr<TokenStream> stream;
  };
  void run();
  void take_submissions();
  void step_all();
  void end_in_flight(const Served* served, const std::string& error);
  void publish_load();

  int64_t max_running_;
  std::vector<std::string> order_;
  std::map<std::string, Served> served_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Submission> submitted_;
  // Requests that the engines hold, so that a fault of a forward pass reaches each of them.
  struct InFlight {
    const Served* served;
    std::weak_ptr<TokenStream> stream;
  };
  std::vector<InFlight> in_flight_;
  ServiceLoad load_;
  bool draining_ = false, stopping_ = false;
  std::thread thread_;
};

}  // namespace masbak::inference
