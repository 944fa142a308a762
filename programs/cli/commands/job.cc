// job submit|list|show|watch|logs|cancel
#include <iostream>

#include "base/document.h"
#include "base/durable_file.h"
#include "masbak/v1/training.grpc.pb.h"
#include "programs/cli/cli.h"
#include "programs/cli/names.h"
#include "programs/cli/output.h"
#include "programs/cli/watch.h"

namespace masbak::cli {
namespace {

using Service = v1::TrainingService;

struct Options {
  std::string name, run, model, base_model, dataset, eval_dataset;
  bool watch = false, follow = false, validate_only = false;
  int64_t after_seq = 0;
  int most = 50;
};

std::string kind_of(const v1::Job& job) { return plain_state(v1::JobKind_Name(job.kind()), "JOB_KIND_"); }

std::string progress_of(const v1::Job& job) {
  if (job.step() == 0) return "";
  return std::to_string(job.step()) + (job.total_steps() > 0 ? "/" + std::to_string(job.total_steps()) : "");
}

void print(const v1::Job& job) {
  print_fields({{"name", job.name()},
                {"kind", kind_of(job)},
                {"state", job_state(job)},
                {"error", job.error()},
                {"model", job.model()},
                {"base model", job.base_model()},
                {"dataset", job.dataset()},
                {"version", job.version()},
                {"node", job.node()},
                {"step", progress_of(job)},
                {"loss", number(job.loss())},
                {"eval loss", number(job.eval_loss())},
                {"created", local_time(job.create_time())},
                {"started", local_time(job.start_time())},
                {"ended", local_time(job.end_time())},
                {"by", job.creator()}});
}

// Success only for a job that succeeded.
int finish(const Common& common, const v1::Job& job) {
  if (common.json) {
    print_json(job);
  } else if (job.state() == v1::JOB_STATE_SUCCEEDED) {
    std::cout << job.name() << " succeeded" << (job.version().empty() ? "" : ": " + short_version(job.version()))
              << "\n";
  } else {
    std::cout << job.name() << " is " << job_state(job) << (job.error().empty() ? "" : ": " + job.error())
              << "; its log: masbak job logs " << short_name(job.name()) << "\n";
  }
  return job.state() == v1::JOB_STATE_SUCCEEDED ? 0 : 1;
}

int submit(const Common& common, const Options& options) {
  v1::CreateTrainingJobRequest request;
  request.set_run_yaml(base::read_file(options.run));
  const base::Fields run = base::Fields::read_yaml(options.run);
  const std::string base_model = options.base_model.empty() ? run.get<std::string>("model", "") : options.base_model;
  if (base_model.empty()) {
    base::fail_input("expected the name of a base model, as `model` in the run file or with --base-model",
                     {.file = options.run});
  }
  request.set_model(full_name("models", options.model));
  request.set_base_model(full_name("baseModels", base_model));
  request.set_dataset(full_name("datasets", options.dataset));
  if (!options.eval_dataset.empty()) request.set_eval_dataset(full_name("datasets", options.eval_dataset));
  request.set_request_id(new_request_id());
  request.set_validate_only(options.validate_only);
  const Client client = common.connect();
  const v1::Job job = client.call(&Service::Stub::CreateTrainingJob, request, kLong);
  if (options.validate_only) {
    common.json ? print_json(job) : print(job);
    return 0;
  }
  if (options.watch) {
    return finish(common, watch_job(client, job.name(), {.progress = common.json ? stderr : stdout}));
  }
  if (common.json) {
    print_json(job);
  } else {
    std::cout << job.name() << " is queued; follow it with: masbak job watch " << short_name(job.name()) << "\n";
  }
  return 0;
}

int list(const Common& common, const Options& options) {
  const auto response = common.connect().call_all(&Service::Stub::ListJobs, v1::ListJobsRequest(), options.most);
  if (common.json) {
    print_json(response);
    return 0;
  }
  Table table({"JOB", "KIND", "STATE", "MODEL", "STEP", "LOSS", "EVAL LOSS", "VERSION", "CREATED", "ERROR"});
  for (const v1::Job& job : response.jobs()) {
    table.add({short_name(job.name()), kind_of(job), job_state(job), short_name(job.model()), progress_of(job),
               number(job.loss()), number(job.eval_loss()), short_version(job.version()), local_time(job.create_time()),
               job.error()});
  }
  table.print("No job yet. Submit one: masbak job submit RUN.yaml --model NAME --dataset DATASET");
  return 0;
}

int show(const Common& common, const Options& options) {
  v1::GetJobRequest request;
  request.set_name(full_name("jobs", options.name));
  const v1::Job job = common.connect().call(&Service::Stub::GetJob, request);
  common.json ? print_json(job) : print(job);
  return 0;
}

int watch(const Common& common, const Options& options) {
  const v1::Job job = watch_job(common.connect(), full_name("jobs", options.name),
                                {.progress = stdout, .raw = common.json, .after_seq = options.after_seq});
  if (!common.json) return finish(common, job);
  return job.state() == v1::JOB_STATE_SUCCEEDED ? 0 : 1;
}

int logs(const Common& common, const Options& options) {
  const Client client = common.connect();
  v1::GetJobLogRequest request;
  request.set_name(full_name("jobs", options.name));
  v1::GetJobRequest job_request;
  job_request.set_name(request.name());
  for (;;) {
    const v1::Job job = client.call(&Service::Stub::GetJob, job_request);
    const v1::GetJobLogResponse piece = client.call(&Service::Stub::GetJobLog, request);
    if (common.json) {
      print_json(piece);
    } else {
      std::cout << piece.text() << std::flush;
    }
    if (piece.next_offset() > request.offset()) {
      request.set_offset(piece.next_offset());
      continue;
    }
    const bool over = job.state() != v1::JOB_STATE_QUEUED && job.state() != v1::JOB_STATE_RUNNING;
    if (!options.follow || over) return 0;
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
}

int cancel(const Common& common, const Options& options) {
  v1::CancelJobRequest request;
  request.set_name(full_name("jobs", options.name));
  request.set_request_id(new_request_id());
  const v1::Job job = common.connect().call(&Service::Stub::CancelJob, request);
  if (common.json) {
    print_json(job);
  } else {
    std::cout << job.name() << (job.state() == v1::JOB_STATE_CANCELLED ? " is cancelled" : " is being stopped") << "\n";
  }
  return 0;
}

}  // namespace

void add_job_commands(Commands& commands) {
  CLI::App* group = commands.group("job", "Training and evaluation jobs");
  const auto options = std::make_shared<Options>();
  CLI::App* app = commands.add(group, "submit", "Queue a training job",
                               "masbak job submit run.yaml --model pump-assistant --dataset refinery --watch",
                               [options](const Common& common) { return submit(common, *options); });
  app->add_option("RUN", options->run, "the run file; its `model` is a base model's name")->required();
  app->add_option("--model", options->model, "the model that gets the new version")->required();
  app->add_option("--dataset", options->dataset, "the dataset to train on")->required();
  app->add_option("--eval-dataset", options->eval_dataset, "the dataset for the evaluation loss");
  app->add_option("--base-model", options->base_model, "instead of the run file's `model`");
  app->add_flag("--watch", options->watch, "follow it to its end; exit status 1 if it does not succeed");
  app->add_flag("--validate-only", options->validate_only, "check everything, queue nothing");
  app = commands.add(group, "list", "List the jobs, newest first", "masbak job list",
                     [options](const Common& common) { return list(common, *options); });
  app->add_option("--limit", options->most, "at most about this many; 0: all")->capture_default_str();
  app = commands.add(group, "show", "Show one job", "masbak job show 7",
                     [options](const Common& common) { return show(common, *options); });
  app->add_option("JOB", options->name)->required();
  app = commands.add(group, "watch", "Follow a job to its end, also over a restart of the control plane",
                     "masbak job watch 7", [options](const Common& common) { return watch(common, *options); });
  app->add_option("JOB", options->name)->required();
  app->add_option("--after", options->after_seq, "only events after this number");
  app = commands.add(group, "logs", "Print what the worker wrote", "masbak job logs 7 --follow",
                     [options](const Common& common) { return logs(common, *options); });
  app->add_option("JOB", options->name)->required();
  app->add_flag("--follow,-f", options->follow, "go on until the job ends");
  app = commands.add(group, "cancel", "Stop a job", "masbak job cancel 7",
                     [options](const Common& common) { return cancel(common, *options); });
  app->add_option("JOB", options->name)->required();
}

}  // namespace masbak::cli
