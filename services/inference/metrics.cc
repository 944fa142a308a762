#include "services/inference/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include "services/inference/generation_service.h"

namespace masbak::inference {

namespace {

using prometheus::Histogram;

// The bucket boundaries of OpenTelemetry's GenAI conventions, in seconds.
const Histogram::BucketBoundaries kFirstTokenBuckets{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,
                                                     0.25,  0.5,   0.75, 1.0,  2.5,  5.0,  7.5,  10.0};
const Histogram::BucketBoundaries kEachTokenBuckets{0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2,
                                                    0.3,  0.4,   0.5,  0.75,  1.0, 2.5};
const Histogram::BucketBoundaries kRequestBuckets{0.01, 0.02, 0.04, 0.08,  0.16,  0.32,  0.64,
                                                  1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92};

}  // namespace

struct Metrics::State {
  prometheus::Registry registry;
  prometheus::Family<prometheus::Gauge>& running = prometheus::BuildGauge()
                                                       .Name("masbak:num_requests_running")
                                                       .Help("Requests in the running batch")
                                                       .Register(registry);
  prometheus::Family<prometheus::Gauge>& waiting = prometheus::BuildGauge()
                                                       .Name("masbak:num_requests_waiting")
                                                       .Help("Requests that wait for a place")
                                                       .Register(registry);
  prometheus::Family<prometheus::Gauge>& cache =
      prometheus::BuildGauge().Name("masbak:kv_cache_bytes").Help("Memory held by the KV caches").Register(registry);
  prometheus::Family<prometheus::Counter>& prompt =
      prometheus::BuildCounter().Name("masbak:prompt_tokens_total").Help("Prompt tokens processed").Register(registry);
  prometheus::Family<prometheus::Counter>& generated =
      prometheus::BuildCounter().Name("masbak:generation_tokens_total").Help("Tokens generated").Register(registry);
  prometheus::Family<prometheus::Counter>& success = prometheus::BuildCounter()
                                                         .Name("masbak:request_success_total")
                                                         .Help("Requests by how they ended")
                                                         .Register(registry);
  prometheus::Family<prometheus::Histogram>& first = prometheus::BuildHistogram()
                                                         .Name("masbak:time_to_first_token_seconds")
                                                         .Help("From arrival to the first token")
                                                         .Register(registry);
  prometheus::Family<prometheus::Histogram>& each = prometheus::BuildHistogram()
                                                        .Name("masbak:inter_token_latency_seconds")
                                                        .Help("From one token to the next")
                                                        .Register(registry);
  prometheus::Family<prometheus::Histogram>& request = prometheus::BuildHistogram()
                                                           .Name("masbak:e2e_request_latency_seconds")
                                                           .Help("From arrival to the last token")
                                                           .Register(registry);
  prometheus::Family<prometheus::Gauge>& adapters = prometheus::BuildGauge()
                                                        .Name("masbak:lora_requests_info")
                                                        .Help("The adapters served, with their digests")
                                                        .Register(registry);
};

Metrics::Metrics() : state_(std::make_unique<State>()) {}
Metrics::~Metrics() = default;

void Metrics::set_adapters(const std::map<std::string, std::string>& digest_by_name) {
  for (const auto& [name, digest] : digest_by_name) {
    state_->adapters.Add({{"model_name", name}, {"digest", digest}}).Set(1);
  }
}

void Metrics::prompt_tokens(const std::string& model, int64_t count) {
  state_->prompt.Add({{"model_name", model}}).Increment(static_cast<double>(count));
}

void Metrics::first_token(const std::string& model, double seconds) {
  state_->first.Add({{"model_name", model}}, kFirstTokenBuckets).Observe(seconds);
}

void Metrics::next_token(const std::string& model, double seconds) {
  state_->each.Add({{"model_name", model}}, kEachTokenBuckets).Observe(seconds);
}

void Metrics::finished(const std::string& model, const std::string& reason, int64_t generated_tokens, double seconds) {
  state_->generated.Add({{"model_name", model}}).Increment(static_cast<double>(generated_tokens));
  state_->success.Add({{"model_name", model}, {"finished_reason", reason}}).Increment();
  state_->request.Add({{"model_name", model}}, kRequestBuckets).Observe(seconds);
}

std::string Metrics::expose(const ServiceLoad& load) {
  state_->running.Add({}).Set(static_cast<double>(load.running));
  state_->waiting.Add({}).Set(static_cast<double>(load.waiting));
  state_->cache.Add({}).Set(static_cast<double>(load.cache_bytes));
  return prometheus::TextSerializer().Serialize(state_->registry.Collect());
}

}  // namespace masbak::inference
