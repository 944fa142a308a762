#include "tests/gui/fake_data.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>

namespace masbak::gui {

using namespace masbak::v1;

namespace {

constexpr int64_t kMorning = 1795168800;  // 2026-11-20 10:00 UTC

std::string text(const char* format, auto... values) {
  char buffer[512];
  std::snprintf(buffer, sizeof buffer, format, values...);
  return buffer;
}

std::string digest(unsigned seed) {
  std::string value = "sha256:";
  for (int i = 0; i < 16; ++i) {
    seed = seed * 1664525U + 1013904223U;
    value += text("%04x", seed >> 16U);
  }
  return value;
}

std::string rfc3339(int64_t seconds) {
  const std::time_t time = seconds;
  std::tm parts{};
  gmtime_r(&time, &parts);
  char buffer[40];
  std::strftime(buffer, sizeof buffer, "%Y-%m-%dT%H:%M:%S.000000Z", &parts);
  return buffer;
}

double loss_at(int step) {
  const double wobble = 0.08 * std::sin(step * 1.7) + 0.05 * std::sin(step * 0.61);
  return 0.22 + 3.4 * std::exp(-step / 38.0) + wobble * std::exp(-step / 90.0);
}

double eval_loss_at(int step) { return 0.29 + 3.25 * std::exp(-step / 41.0); }

Job make_job(int number, JobKind kind, JobState state, int64_t start) {
  Job job;
  job.set_name(text("jobs/%d", number));
  job.set_kind(kind);
  job.set_state(state);
  job.set_model("models/refinery");
  job.set_base_model("baseModels/smollm2-moe");
  job.set_dataset("datasets/refinery");
  job.set_creator("laila");
  job.mutable_create_time()->set_seconds(start - 4);
  if (state == JOB_STATE_QUEUED) return job;
  job.set_node("nodes/local");
  job.mutable_start_time()->set_seconds(start);
  if (state != JOB_STATE_RUNNING) job.mutable_end_time()->set_seconds(start + 540);
  return job;
}

GateResult make_result(const char* rule, bool passed, const char* message) {
  GateResult result;
  result.set_rule(rule);
  result.set_passed(passed);
  result.set_message(message);
  return result;
}

}  // namespace

FakeData::FakeData() {
  add_jobs();
  add_versions();
  add_machines();
}

void FakeData::clear() {
  std::lock_guard lock(mutex);
  jobs.clear();
  events.clear();
  versions.clear();
  deployments.clear();
  nodes.clear();
  datasets.clear();
  base_models.clear();
  gates.clear();
}

Job* FakeData::job(const std::string& name) {
  const auto found = std::find_if(jobs.begin(), jobs.end(), [&](const Job& job) { return job.name() == name; });
  return found == jobs.end() ? nullptr : &*found;
}

void FakeData::add_event(Job& job, const std::string& type, const std::string& fields) {
  JobEvent event;
  const int64_t seq = job.last_seq() + 1;
  const std::string time = rfc3339(job.start_time().seconds() + 2 * job.step());
  event.set_seq(seq);
  event.set_type(type);
  event.set_json(text(R"({"seq":%d,"time":"%s","type":"%s"%s})", static_cast<int>(seq), time.c_str(), type.c_str(),
                      fields.c_str()));
  job.set_last_seq(seq);
  events[job.name()].push_back(event);
}

void FakeData::step(Job& job) {
  const int step = static_cast<int>(job.step()) + 1;
  job.set_step(step);
  job.set_total_steps(kFakeSteps);
  job.set_loss(loss_at(step));
  const double rate = 2e-4 * 0.5 * (1 + std::cos(3.14159265 * step / kFakeSteps));
  add_event(job, "step",
            text(R"(,"step":%d,"epoch":%.3f,"loss":%.5f,"learning_rate":%.3g,"tokens":%d,"tokens_per_second":%.1f)",
                 step, 3.0 * step / kFakeSteps, loss_at(step), rate, step * 620, 311.0 + 6 * std::sin(step * 0.4)));
  if (step % 20 != 0) return;
  job.set_eval_loss(eval_loss_at(step));
  add_event(job, "eval", text(R"(,"step":%d,"eval_loss":%.5f)", step, eval_loss_at(step)));
}

void FakeData::advance() {
  std::lock_guard lock(mutex);
  Job* running = job("jobs/7");
  if (running == nullptr || running->state() != JOB_STATE_RUNNING) return;
  step(*running);
  if (running->step() == kFakeSteps) {
    add_event(*running, "finished", "");
    running->set_state(JOB_STATE_SUCCEEDED);
    running->mutable_end_time()->set_seconds(running->start_time().seconds() + 2 * kFakeSteps);
  }
  changed.notify_all();
}

void FakeData::add_jobs() {
  jobs = {make_job(8, JOB_KIND_TRAIN, JOB_STATE_QUEUED, kMorning + 1200),
          make_job(7, JOB_KIND_TRAIN, JOB_STATE_RUNNING, kMorning + 900),
          make_job(6, JOB_KIND_EVALUATE, JOB_STATE_SUCCEEDED, kMorning - 3000),
          make_job(5, JOB_KIND_TRAIN, JOB_STATE_SUCCEEDED, kMorning - 4000),
          make_job(4, JOB_KIND_TRAIN, JOB_STATE_CANCELLED, kMorning - 5400),
          make_job(3, JOB_KIND_EVALUATE, JOB_STATE_SUCCEEDED, kMorning - 80000),
          make_job(2, JOB_KIND_TRAIN, JOB_STATE_FAILED, kMorning - 85000),
          make_job(1, JOB_KIND_TRAIN, JOB_STATE_SUCCEEDED, kMorning - 90000)};
  jobs[0].set_model("models/maintenance");
  jobs[0].set_dataset("datasets/maintenance-ar");
  job("jobs/2")->set_error(
      "OUT_OF_RANGE: row 41 of train.jsonl has 2,311 tokens, max_length is 1,024; raise max_length"
      " or split the row (dataset.train:41)");
  const std::pair<const char*, int> done[] = {
      {"jobs/7", 150}, {"jobs/5", 240}, {"jobs/4", 30}, {"jobs/2", 12}, {"jobs/1", 240}};
  for (const auto& [name, steps] : done) {
    add_event(*job(name), "started", "");
    for (int i = 0; i < steps; ++i) step(*job(name));
  }
}

void FakeData::add_versions() {
  for (int number : {3, 2, 1}) {
    Version version;
    version.set_name(text("models/refinery/versions/%d", number));
    version.set_base_model("baseModels/smollm2-moe");
    version.set_dataset("datasets/refinery");
    version.set_job(text("jobs/%d", 2 * number - 1));
    version.set_base_digest(digest(7));
    version.set_dataset_digest(digest(11));
    version.set_adapter_digest(digest(100U + static_cast<unsigned>(number)));
    version.set_run_digest(digest(200U + static_cast<unsigned>(number)));
    version.set_eval_loss_before(3.541);
    version.set_eval_loss(number == 2 ? 0.874 : 0.298 + 0.03 * (3 - number));
    version.set_gate_state(number == 2 ? "failed" : "passed");
    version.mutable_create_time()->set_seconds(kMorning - 90000 + 43000 * (number - 1));
    version.set_creator("laila");
    versions.push_back(version);
  }
  versions[0].add_aliases("production");
  versions[1].set_gate_summary("held-out-questions: accuracy is 0.62, at least 0.9 is required");
  Version fresh = versions[2];
  fresh.set_name("models/maintenance/versions/1");
  fresh.set_gate_state("none");
  fresh.set_eval_loss(0.412);
  fresh.mutable_create_time()->set_seconds(kMorning + 300);
  versions.insert(versions.begin(), fresh);
  GateReport good, bad;
  good.set_passed(true);
  *good.add_results() = make_result("eval-loss-against-base", true,
                                    "loss is 0.298; at most 0.5 and at most 3.541, the base's, are allowed");
  *good.add_results() =
      make_result("held-out-questions", true, "accuracy is 0.967; at least 0.9 and at least 0.017, the base's");
  *bad.add_results() =
      make_result("eval-loss-against-base", false, "loss is 0.874; at most 0.5 is allowed, 0.374 too much");
  *bad.add_results() =
      make_result("held-out-questions", false, "accuracy is 0.62; at least 0.9 is required, 0.28 too little");
  gates = {
      {"models/refinery/versions/3", good}, {"models/refinery/versions/2", bad}, {"models/refinery/versions/1", good}};
}

void FakeData::add_machines() {
  Deployment deployment;
  deployment.set_name("deployments/refinery");
  deployment.set_version("models/refinery/versions/3");
  deployment.set_previous_version("models/refinery/versions/1");
  deployment.set_state(DEPLOYMENT_STATE_READY);
  deployment.set_node("nodes/local");
  deployment.set_endpoint("http://127.0.0.1:41234/v1");
  deployments.push_back(deployment);
  deployment.set_name("deployments/maintenance");
  deployment.set_version("models/maintenance/versions/1");
  deployment.clear_previous_version();
  deployment.set_state(DEPLOYMENT_STATE_STARTING);
  deployment.clear_endpoint();
  deployments.push_back(deployment);

  Node node;
  node.set_name("nodes/local");
  node.set_state(NODE_STATE_READY);
  node.set_cpu_cores(16);
  node.set_memory_bytes(128LL << 30U);
  node.add_gpus("NVIDIA H200");
  node.mutable_last_sync_time()->set_seconds(kMorning);
  nodes.push_back(node);
  node.set_name("nodes/rack-2");
  node.set_state(NODE_STATE_LOST);
  node.clear_gpus();
  node.mutable_last_sync_time()->set_seconds(kMorning - 700);
  nodes.push_back(node);

  Dataset dataset;
  dataset.set_format("messages");
  for (const char* name : {"maintenance-ar", "refinery-eval", "refinery"}) {
    dataset.set_name(std::string("datasets/") + name);
    dataset.set_rows(std::string(name) == "refinery-eval" ? 60 : 480);
    dataset.set_size_bytes(dataset.rows() * 171);
    datasets.push_back(dataset);
  }
  BaseModel base;
  base.set_name("baseModels/smollm2-moe");
  base.set_family("deepseek_v3");
  base.set_parameters(290600000);
  base.set_digest(digest(7));
  base_models.push_back(base);
}

}  // namespace masbak::gui
