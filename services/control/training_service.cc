#include "services/control/training_service.h"

#include <fstream>

#include "base/error.h"
#include "services/control/check_run.h"
#include "services/control/run_file.h"
#include "services/control/wire.h"
#include "services/middleware/once.h"

namespace masbak::services {
namespace {

constexpr int kEventsAtOnce = 500;
constexpr int64_t kLogBytesAtOnce = 1 << 20;

registry::Job new_training_job(const registry::Reader& reader, const v1::CreateTrainingJobRequest& request) {
  registry::id_of("models", request.model(), "model");
  registry::Job job;
  job.kind = registry::JobKind::kTrain;
  job.model = request.model();
  job.base_model = reader.get_base_model(request.base_model()).name;
  registry::Dataset dataset = reader.get_dataset(request.dataset());
  job.dataset = dataset.name;
  job.files[kTrainFile] = dataset.digest;
  if (!request.eval_dataset().empty()) {
    registry::Dataset eval = reader.get_dataset(request.eval_dataset());
    job.eval_dataset = eval.name;
    job.files[kEvalFile] = eval.digest;
  }
  job.run_yaml = run_for_task(request.run_yaml(), !request.eval_dataset().empty());
  return job;
}

// One stream of a job's events. A message without an event carries the job after each change of its state.
class Watch {
 public:
  Watch(ControlContext& context, const v1::WatchJobRequest& request)
      : context_(context), name_(request.name()), seq_(request.after_seq()) {}

  // Sends what is new. False once everything of an ended job was sent, or nobody listens.
  bool send(grpc::ServerWriter<v1::JobEvent>& writer) {
    auto [job, events] = context_.store.read([&](const registry::Reader& reader) {
      return std::pair(reader.get_job(name_), reader.job_events(name_, seq_, kEventsAtOnce));
    });
    for (const auto& event : events) {
      if (!writer.Write(to_wire(event))) return false;
      seq_ = event.seq;
    }
    more_ = events.size() == kEventsAtOnce;
    if (more_) return true;
    if (job.state != last_state_ || !said_) {
      v1::JobEvent change;
      change.set_seq(seq_);
      change.set_type("state");
      *change.mutable_job() = to_wire(job);
      if (!writer.Write(change)) return false;
      last_state_ = job.state;
      said_ = true;
    }
    return !registry::job_has_ended(job.state);
  }
  bool more() const { return more_; }

 private:
  ControlContext& context_;
  std::string name_;
  int64_t seq_;
  registry::JobState last_state_ = registry::JobState::kQueued;
  bool said_ = false, more_ = false;
};

// What the agent said last of a running job, else the stored log.
v1::GetJobLogResponse read_log(ControlContext& context, const registry::Job& job, int64_t offset) {
  v1::GetJobLogResponse response;
  auto stored = job.outputs.find("log");
  if (stored != job.outputs.end()) {
    std::ifstream in(context.artifacts.path(stored->second), std::ios::binary);
    in.seekg(offset);
    std::string text(kLogBytesAtOnce, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<size_t>(std::max<std::streamsize>(in.gcount(), 0)));
    response.set_next_offset(offset + static_cast<int64_t>(text.size()));
    response.set_text(text);
    return response;
  }
  v1::TaskStatus status;
  response.set_next_offset(offset);
  if (!context.live_tasks.find(job.node, job.name, &status)) return response;
  // Before its tail a running log cannot be read: the reader is put where the tail begins.
  int64_t start = std::max(offset, status.log_tail_offset());
  int64_t skip = start - status.log_tail_offset();
  if (skip < static_cast<int64_t>(status.log_tail().size())) {
    response.set_text(status.log_tail().substr(static_cast<size_t>(skip)));
  }
  response.set_next_offset(start + static_cast<int64_t>(response.text().size()));
  return response;
}

}  // namespace

grpc::Status TrainingService::CreateTrainingJob(grpc::ServerContext* context,
                                                const v1::CreateTrainingJobRequest* request, v1::Job* response) {
  return context_.boundary.run(context, "TrainingService.CreateTrainingJob", [&](const Call& call) {
    if (auto before = context_.store.remembered(call.actor, request_key(call, *request))) {
      response->ParseFromString(*before);
      return;
    }
    auto [job, base] = context_.store.read([&](const registry::Reader& reader) {
      registry::Job found = new_training_job(reader, *request);
      return std::pair(found, reader.get_base_model(found.base_model));
    });
    check_run(context_, job, base);
    *response = change_once<v1::Job>(context_.store, call, *request, [&](registry::Writer& writer) {
      return to_wire(writer.create_job(new_training_job(writer, *request)));
    });
    context_.changes.announce();
  });
}

grpc::Status TrainingService::GetJob(grpc::ServerContext* context, const v1::GetJobRequest* request,
                                     v1::Job* response) {
  return context_.boundary.run(context, "TrainingService.GetJob", [&](const Call&) {
    *response =
        to_wire(context_.store.read([&](const registry::Reader& reader) { return reader.get_job(request->name()); }));
  });
}

grpc::Status TrainingService::ListJobs(grpc::ServerContext* context, const v1::ListJobsRequest* request,
                                       v1::ListJobsResponse* response) {
  return context_.boundary.run(context, "TrainingService.ListJobs", [&](const Call&) {
    auto page =
        context_.store.read([&](const registry::Reader& reader) { return reader.list_jobs(page_of(*request)); });
    fill_page(page, response, [](auto* list) { return list->add_jobs(); });
  });
}

grpc::Status TrainingService::CancelJob(grpc::ServerContext* context, const v1::CancelJobRequest* request,
                                        v1::Job* response) {
  return context_.boundary.run(context, "TrainingService.CancelJob", [&](const Call& call) {
    *response = change_once<v1::Job>(context_.store, call, *request, [&](registry::Writer& writer) {
      registry::Job job = writer.get_job(request->name());
      if (registry::job_has_ended(job.state)) {
        throw base::Error(base::Code::kFailedPrecondition, "cannot cancel " + job.name + ": it has ended as " +
                                                               std::string(registry::job_state_name(job.state)));
      }
      registry::JobUpdate update;
      update.cancel_requested = true;
      if (job.state == registry::JobState::kQueued) update.state = registry::JobState::kCancelled;
      return to_wire(writer.update_job(job.name, update));
    });
    context_.changes.announce();
  });
}

grpc::Status TrainingService::WatchJob(grpc::ServerContext* context, const v1::WatchJobRequest* request,
                                       grpc::ServerWriter<v1::JobEvent>* writer) {
  return context_.boundary.run(context, "TrainingService.WatchJob", [&](const Call&) {
    Watch watch(context_, *request);
    while (true) {
      uint64_t seen = context_.changes.count();
      if (!watch.send(*writer) || context->IsCancelled()) return;
      if (!watch.more()) context_.changes.wait(seen, std::chrono::milliseconds(500));
    }
  });
}

grpc::Status TrainingService::GetJobLog(grpc::ServerContext* context, const v1::GetJobLogRequest* request,
                                        v1::GetJobLogResponse* response) {
  return context_.boundary.run(context, "TrainingService.GetJobLog", [&](const Call&) {
    if (request->offset() < 0) base::fail_input("expected an offset of at least 0", {.field = "offset"});
    auto job = context_.store.read([&](const registry::Reader& reader) { return reader.get_job(request->name()); });
    *response = read_log(context_, job, request->offset());
  });
}

}  // namespace masbak::services
