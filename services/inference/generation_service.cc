#include "services/inference/generation_service.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"

namespace masbak::inference {

std::optional<TokenStream::Item> TokenStream::next(std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, limit, [this] { return !items_.empty(); })) return std::nullopt;
  Item item = std::move(items_.front());
  items_.pop_front();
  return item;
}

void TokenStream::cancel() {
  std::lock_guard lock(mutex_);
  cancelled_ = true;
}

void TokenStream::push(Item item) {
  std::lock_guard lock(mutex_);
  items_.push_back(std::move(item));
  changed_.notify_one();
}

bool TokenStream::cancelled() {
  std::lock_guard lock(mutex_);
  return cancelled_;
}

GenerationService::GenerationService(int64_t max_running) : max_running_(max_running) {}

GenerationService::~GenerationService() {
  {
    std::lock_guard lock(mutex_);
    draining_ = stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void GenerationService::add(const std::string& id, std::unique_ptr<models::CausalModel> model) {
  if (served_.contains(id)) base::fail_input("a model name may be served once, found '" + id + "' twice");
  order_.push_back(id);
  auto& served = served_[id];
  served.model = std::move(model);
  served.engine = std::make_unique<models::Engine>(*served.model, max_running_);
}

void GenerationService::start() {
  thread_ = std::thread([this] { run(); });
}

std::shared_ptr<TokenStream> GenerationService::submit(const std::string& id, std::vector<int32_t> prompt,
                                                       models::SamplingOptions sampling) {
  auto stream = std::make_shared<TokenStream>();
  {
    std::lock_guard lock(mutex_);
    const auto found = served_.find(id);
    if (found == served_.end()) {
      std::string known;
      for (const auto& name : order_) known += (known.empty() ? "" : ", ") + name;
      throw base::Error(base::Code::kNotFound, "the model '" + id + "' is not served here; there are: " + known,
                        {.field = "model"});
    }
    if (draining_) throw base::Error(base::Code::kUnavailable, "the server is shutting down; try another node");
    submitted_.push_back({&found->second, std::move(prompt), std::move(sampling), stream});
  }
  changed_.notify_all();
  return stream;
}

const models::ModelInfo& GenerationService::info(const std::string& id) const { return served_.at(id).model->info(); }

std::vector<std::string> GenerationService::ids() const { return order_; }

ServiceLoad GenerationService::load() const {
  std::lock_guard lock(mutex_);
  ServiceLoad load = load_;
  load.waiting += static_cast<int64_t>(submitted_.size());
  return load;
}

void GenerationService::drain(std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  draining_ = true;
  changed_.notify_all();
  changed_.wait_for(lock, limit, [this] { return submitted_.empty() && load_.running + load_.waiting == 0; });
}

void GenerationService::run() {
  while (true) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !submitted_.empty() || load_.running + load_.waiting > 0; });
      if (stopping_) break;
    }
    take_submissions();
    step_all();
    publish_load();
  }
  end_in_flight(nullptr, "the server was stopped before the answer was complete");
}

// Those of one model, or of all for nullptr.
void GenerationService::end_in_flight(const Served* served, const std::string& error) {
  for (auto& [owner, weak] : in_flight_) {
    if (served && owner != served) continue;
    if (auto stream = weak.lock()) stream->push({.error = error});
  }
  std::erase_if(in_flight_, [&](const InFlight& request) { return !served || request.served == served; });
}

void GenerationService::take_submissions() {
  std::deque<Submission> taken;
  {
    std::lock_guard lock(mutex_);
    taken.swap(submitted_);
    // Counted from here on, so that drain() cannot see a moment without them.
    load_.waiting += static_cast<int64_t>(taken.size());
  }
  for (auto& submission : taken) {
    auto stream = submission.stream;
    models::GenerationRequest request;
    request.prompt = std::move(submission.prompt);
    request.sampling = std::move(submission.sampling);
    request.on_token = [stream](int32_t token) {
      if (stream->cancelled()) return false;
      stream->push({.token = token});
      return true;
    };
    request.on_finish = [stream](models::FinishReason reason) { stream->push({.finished = reason}); };
    try {
      submission.served->engine->submit(std::move(request));
      in_flight_.push_back({submission.served, stream});
    } catch (const base::Error& fault) {
      stream->push({.error = fault.what()});
    }
  }
  std::erase_if(in_flight_, [](const InFlight& request) { return request.stream.expired(); });
}

void GenerationService::step_all() {
  for (auto& [id, served] : served_) {
    try {
      served.engine->step();
    } catch (const std::exception& fault) {
      // The state of this engine is unknown now: its requests end with the reason and it starts afresh.
      base::log_error("generation of " + id + " failed: " + fault.what());
      end_in_flight(&served, std::string("generation failed: ") + fault.what());
      served.engine = std::make_unique<models::Engine>(*served.model, max_running_);
    }
  }
}

void GenerationService::publish_load() {
  ServiceLoad load;
  for (const auto& [id, served] : served_) {
    load.running += served.engine->running();
    load.waiting += served.engine->waiting();
    load.cache_bytes += served.engine->cache_bytes();
  }
  {
    std::lock_guard lock(mutex_);
    load_ = load;
  }
  changed_.notify_all();
}

}  // namespace masbak::inference
