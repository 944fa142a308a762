#include "programs/cli/watch.h"

#include <ctime>
#include <iostream>
#include <optional>

#include "base/document.h"
#include "masbak/v1/deployment.grpc.pb.h"
#include "masbak/v1/training.grpc.pb.h"
#include "programs/cli/names.h"
#include "programs/cli/output.h"
#include "programs/cli/progress.h"

namespace masbak::cli {
namespace {

using base::Code;
using base::Error;
using Clock = std::chrono::steady_clock;

bool has_ended(const v1::Job& job) {
  return job.state() != v1::JOB_STATE_QUEUED && job.state() != v1::JOB_STATE_RUNNING;
}

// "2026-05-01T10:00:00.123456Z" in seconds since 1970; 0 if it is none.
double seconds_of(const std::string& time) {
  std::tm parts{};
  const char* rest = ::strptime(time.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (rest == nullptr) return 0;
  return static_cast<double>(::timegm(&parts)) + (*rest == '.' ? std::atof(rest) : 0.0);
}

double real(const base::Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number() ? found->get<double>() : 0.0;
}

std::string part(const char* name, double value) {
  return value == 0 ? "" : std::string("  ") + name + " " + number(value);
}

// Turns events into progress.
class JobView {
 public:
  JobView(const std::string& name, const WatchOptions& options) : options_(options) {
    if (!options.raw) progress_.emplace(options.progress, name);
  }

  void show(const v1::JobEvent& event) {
    if (event.has_job()) show_state(event.job());
    if (event.json().empty()) return;
    if (options_.raw) {
      std::cout << event.json() << "\n" << std::flush;
      return;
    }
    const base::Json json = base::parse_json(event.json(), "event", static_cast<int>(event.seq()));
    if (real(json, "total_steps") > 0) total_ = static_cast<int64_t>(real(json, "total_steps"));
    const auto step = static_cast<int64_t>(real(json, "step"));
    if (event.type() == "step") {
      const double rate = real(json, "tokens_per_second");
      progress_->step(step, total_, seconds_of(json.value("time", "")),
                      "loss " + number(real(json, "loss")) + (rate > 0 ? "  " + number(rate) + " tokens/s" : ""));
    } else if (event.type() == "eval") {
      progress_->note("step " + std::to_string(step) + part("eval loss", real(json, "eval_loss")));
    } else if (event.type() == "warning" || event.type() == "failed") {
      progress_->note(event.type() + ": " + json.value("message", json.value("error", event.json())));
    } else {
      progress_->note(event.type());
    }
  }

  void show_state(const v1::Job& job) {
    if (options_.raw || job.state() == last_state_) return;
    last_state_ = job.state();
    if (job.total_steps() > 0) total_ = job.total_steps();
    progress_->note(job_state(job) + (job.node().empty() ? "" : " on " + short_name(job.node())) +
                    (job.error().empty() ? "" : ": " + job.error()) +
                    (job.version().empty() ? "" : ", " + short_version(job.version())));
  }

  void note(const std::string& text) {
    if (options_.raw) {
      std::cerr << text << "\n";
    } else {
      progress_->note(text);
    }
  }

 private:
  const WatchOptions& options_;
  std::optional<Progress> progress_;
  v1::JobState last_state_ = v1::JOB_STATE_UNSPECIFIED;
  int64_t total_ = 0;
};

// One stream from `last_seq` on, which follows what was seen. True: it ended by itself.
bool follow(const Client& client, const std::string& name, JobView& view, int64_t& last_seq) {
  grpc::ClientContext context;
  client.prepare(context);
  v1::WatchJobRequest request;
  request.set_name(name);
  request.set_after_seq(last_seq);
  v1::TrainingService::Stub stub(client.channel());
  const auto reader = stub.WatchJob(&context, request);
  v1::JobEvent event;
  while (reader->Read(&event)) {
    view.show(event);
    last_seq = std::max(last_seq, event.seq());
  }
  const grpc::Status status = reader->Finish();
  if (status.ok()) return true;
  // A control plane that is stopped or killed ends its streams in one of these ways.
  const bool away = status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                    status.error_code() == grpc::StatusCode::CANCELLED ||
                    (status.error_code() == grpc::StatusCode::UNKNOWN && status.error_details().empty());
  if (!away) client.fail(status);
  return false;
}

// The control plane may come back at another address, which it writes into its data folder.
Client reconnected(const Client& client) {
  if (client.address().data.empty()) return client;
  try {
    return Client(find_address(client.address().data));
  } catch (const Error&) {
    return client;  // it is not back yet
  }
}

}  // namespace

std::string job_state(const v1::Job& job) { return plain_state(v1::JobState_Name(job.state()), "JOB_STATE_"); }

std::string deployment_state(const v1::Deployment& deployment) {
  return plain_state(v1::DeploymentState_Name(deployment.state()), "DEPLOYMENT_STATE_");
}

v1::Job watch_job(const Client& first, const std::string& name, const WatchOptions& options) {
  v1::GetJobRequest request;
  request.set_name(name);
  std::optional<Client> client(first);
  JobView view(name, options);
  view.show_state(client->call(&v1::TrainingService::Stub::GetJob, request));
  int64_t last_seq = options.after_seq;
  std::optional<Clock::time_point> lost;
  for (;;) {
    const int64_t before = last_seq;
    if (follow(*client, name, view, last_seq)) {
      try {
        const v1::Job job = client->call(&v1::TrainingService::Stub::GetJob, request);
        view.show_state(job);
        if (has_ended(job)) return job;
      } catch (const Error& error) {
        if (error.code() != Code::kUnavailable) throw;
      }
    }
    if (last_seq > before) lost.reset();
    if (!lost) {
      lost = Clock::now();
      view.note("the control plane went away after event " + std::to_string(last_seq) + "; waiting for it");
    } else if (Clock::now() - *lost > options.patience) {
      throw Error(Code::kUnavailable,
                  "the control plane at " + client->address().endpoint +
                      " stays away: the job goes on by itself; when it is back, repeat masbak job watch " +
                      short_name(name));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    client.emplace(reconnected(*client));
  }
}

v1::Deployment wait_until_ready(const Client& client, const std::string& name, FILE* stream,
                                std::chrono::seconds limit) {
  Progress progress(stream, name);
  v1::GetDeploymentRequest request;
  request.set_name(name);
  const Clock::time_point deadline = Clock::now() + limit;
  for (;;) {
    const v1::Deployment deployment = client.call(&v1::DeploymentService::Stub::GetDeployment, request);
    if (deployment.state() == v1::DEPLOYMENT_STATE_READY) return deployment;
    if (deployment.state() == v1::DEPLOYMENT_STATE_FAILED) {
      throw Error(Code::kFailedPrecondition,
                  name + " cannot serve " + short_version(deployment.version()) + ": " + deployment.error());
    }
    if (Clock::now() > deadline) {
      throw Error(Code::kDeadlineExceeded, name + " is " + deployment_state(deployment) + " after " +
                                               duration(static_cast<double>(limit.count())) +
                                               ": it goes on; look with masbak deployment show " + short_name(name));
    }
    progress.waiting(deployment_state(deployment));
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  }
}

}  // namespace masbak::cli
