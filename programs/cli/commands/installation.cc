// up, down, status
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <iostream>

#include "base/document.h"
#include "base/log.h"
#include "base/process.h"
#include "base/program.h"
#include "masbak/v1/deployment.grpc.pb.h"
#include "masbak/v1/node.grpc.pb.h"
#include "masbak/v1/training.grpc.pb.h"
#include "programs/cli/cli.h"
#include "programs/cli/installation.h"
#include "programs/cli/names.h"
#include "programs/cli/node_state.h"
#include "programs/cli/output.h"
#include "programs/cli/progress.h"
#include "programs/cli/supervisor.h"
#include "programs/cli/watch.h"

namespace masbak::cli {
namespace {

namespace fs = std::filesystem;
using base::Code;
using base::Error;
using Clock = std::chrono::steady_clock;

constexpr char kSupervisor[] = "masbak";  // the run file of `masbak up` itself

struct Options {
  std::string listen = "127.0.0.1:7443";
  std::string worker;
  bool detach = false;
};

void announce(const Common& common, const Installation& installation, const std::string& endpoint, bool detached) {
  if (common.json) {
    const base::Json json = {{"endpoint", endpoint},
                             {"data", installation.data.string()},
                             {"token_file", installation.token_file().string()}};
    std::cout << json.dump() << std::endl;
    return;
  }
  std::cout << "Masbak runs at " << endpoint << "\n  data:  " << installation.data.string()
            << "\n  token: " << installation.token_file().string() << "\nGo on with:\n"
            << next_steps(installation) << (detached ? "Stop it with: masbak down" : "Stop it with Ctrl-C.")
            << std::endl;
}

// In the foreground: this process is the supervisor.
int run_here(const Common& common, const Options& options, const Installation& installation) {
  base::install_stop_signals();
  write_run_file(installation.run_file(kSupervisor), ::getpid());
  struct RunFile {
    fs::path file;
    ~RunFile() {
      std::error_code ignored;
      fs::remove(file, ignored);
    }
  } run_file{installation.run_file(kSupervisor)};
  Supervisor supervisor({.installation = installation,
                         .listen = options.listen,
                         .programs = base::executable_folder(),
                         .worker = options.worker});
  {
    Progress progress(stderr, "masbak up");
    supervisor.start([&](const std::string& what) { progress.waiting("waiting for " + what); });
  }
  announce(common, installation, supervisor.endpoint(), false);
  supervisor.run();
  if (!common.json) std::cout << "stopping" << std::endl;
  return 0;
}

// Behind: the same program again, in a session of its own; returns when it is ready.
int run_behind(const Common& common, const Options& options, const Installation& installation) {
  const fs::path log = installation.log_file("masbak");
  const uint64_t log_from = file_size_or_zero(log);
  fs::remove(installation.run_file("ready"));
  std::vector<std::string> argv = {fs::read_symlink("/proc/self/exe").string(),
                                   "up",
                                   "--json",
                                   "--data",
                                   installation.data.string(),
                                   "--listen",
                                   options.listen};
  if (!options.worker.empty()) argv.insert(argv.end(), {"--worker", fs::absolute(options.worker).string()});
  base::Process process = base::Process::start({.argv = argv,
                                                .working_directory = "/",
                                                .stdout_file = installation.run_file("ready"),
                                                .stderr_file = log,
                                                .new_session = true,
                                                .die_with_parent = false});
  {
    Progress progress(stderr, "masbak up");
    while (file_size_or_zero(installation.run_file("ready")) == 0) {
      if (process.poll()) throw reason_in_log(log, log_from, "masbak up");
      progress.waiting("starting the installation");
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }
  process.release();
  announce(common, installation, find_address(installation.data).endpoint, true);
  return 0;
}

int up(const Common& common, const Options& options) {
  const Installation installation{common.data_folder()};
  fs::create_directories(installation.data / "run");
  fs::create_directories(installation.data / "log");
  if (const auto running = find_process(installation.run_file(kSupervisor))) {
    if (options.detach && fs::exists(installation.endpoint_file())) {
      announce(common, installation, find_address(installation.data).endpoint, true);
      return 0;
    }
    throw Error(Code::kFailedPrecondition,
                "an installation runs in this data folder already (process " + std::to_string(running->pid) +
                    "): stop it with masbak down, or choose another folder with --data",
                {.file = installation.data.string()});
  }
  return options.detach ? run_behind(common, options, installation) : run_here(common, options, installation);
}

int down(const Common& common) {
  const Installation installation{common.data_folder()};
  const auto running = find_process(installation.run_file(kSupervisor));
  if (!running) {
    if (common.json) {
      std::cout << "{\"stopped\":false}\n";
    } else {
      std::cout << "nothing runs in " << installation.data.string() << "\n";
    }
    return 0;
  }
  if (::kill(running->pid, SIGTERM) != 0) base::fail_errno("stopping process " + std::to_string(running->pid), "");
  Progress progress(stderr, "masbak down");
  const Clock::time_point deadline = Clock::now() + std::chrono::seconds(120);
  while (base::process_alive(running->pid, running->start_ticks)) {
    if (Clock::now() > deadline) {
      throw Error(Code::kDeadlineExceeded,
                  "process " + std::to_string(running->pid) +
                      " has not ended after 2 minutes: look at the logs, then end it by hand",
                  {.file = (installation.data / "log").string()});
    }
    progress.waiting("waiting for jobs and servers to end");
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  if (common.json) {
    std::cout << "{\"stopped\":true}\n";
  } else {
    std::cout << "stopped\n";
  }
  return 0;
}

// The processes of the folder by name, those that are alive.
base::Json processes_of(const Installation& installation) {
  base::Json json = base::Json::object();
  for (const char* program : {kSupervisor, "masbak-controld", "masbak-noded"}) {
    if (const auto process = find_process(installation.run_file(program))) json[program] = process->pid;
  }
  return json;
}

int status(const Common& common) {
  const Client client(find_address(common.data_folder()));
  const Installation installation{client.address().data};
  const auto nodes = client.call_all(&v1::NodeService::Stub::ListNodes, v1::ListNodesRequest());
  const auto deployments = client.call_all(&v1::DeploymentService::Stub::ListDeployments, v1::ListDeploymentsRequest());
  const auto jobs = client.call_all(&v1::TrainingService::Stub::ListJobs, v1::ListJobsRequest(), 200);
  base::Json json = {{"endpoint", client.address().endpoint}, {"data", installation.data.string()}};
  if (!installation.data.empty()) json["processes"] = processes_of(installation);
  json["nodes"] = base::Json::object();
  for (const v1::Node& node : nodes.nodes()) json["nodes"][short_name(node.name())] = node_state(node);
  json["jobs"] = base::Json::object();
  for (const v1::Job& job : jobs.jobs()) {
    if (job.state() == v1::JOB_STATE_QUEUED || job.state() == v1::JOB_STATE_RUNNING) {
      json["jobs"][short_name(job.name())] = job_state(job);
    }
  }
  json["deployments"] = base::Json::object();
  for (const v1::Deployment& deployment : deployments.deployments()) {
    json["deployments"][short_name(deployment.name())] = deployment_state(deployment);
  }
  if (common.json) {
    std::cout << json.dump(2) << "\n";
    return 0;
  }
  std::vector<std::pair<std::string, std::string>> fields = {{"endpoint", client.address().endpoint},
                                                             {"data", installation.data.string()}};
  for (const char* part : {"processes", "nodes", "jobs", "deployments"}) {
    std::string text;
    const base::Json things = json.value(part, base::Json::object());
    for (const auto& [name, value] : things.items()) {
      text += (text.empty() ? "" : ", ") + name + " " + (value.is_string() ? value.get<std::string>() : value.dump());
    }
    fields.emplace_back(part, text.empty() ? "none" : text);
  }
  print_fields(fields);
  return 0;
}

}  // namespace

void add_installation_commands(Commands& commands) {
  const auto options = std::make_shared<Options>();
  CLI::App* app =
      commands.add(&commands.root(), "up", "Start an installation on this machine: control plane, database, node",
                   "masbak up --detach", [options](const Common& common) { return up(common, *options); });
  app->add_option("--listen", options->listen, "address and port of the control plane; port 0: any free one")
      ->capture_default_str();
  app->add_option("--worker", options->worker, "the program masbak-worker; else the one beside this program");
  app->add_flag("--detach", options->detach, "return when it is ready; it goes on behind");
  commands.add(&commands.root(), "down", "Stop the installation", "masbak down", down);
  commands.add(&commands.root(), "status", "Show what runs", "masbak status", status);
}

}  // namespace masbak::cli
