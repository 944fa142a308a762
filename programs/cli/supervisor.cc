#include "programs/cli/supervisor.h"

#include <thread>

#include "base/durable_file.h"
#include "base/log.h"
#include "base/program.h"
#include "masbak/v1/node.grpc.pb.h"
#include "programs/cli/output.h"

namespace masbak::cli {
namespace {

namespace fs = std::filesystem;
using base::Code;
using base::Error;
using Clock = std::chrono::steady_clock;

constexpr auto kStep = std::chrono::milliseconds(100);
constexpr auto kQuickDeath = std::chrono::seconds(10);
constexpr int kMostQuickDeaths = 5;

// A node that has spoken since `start`; READY from before a restart does not count.
bool is_ready(const Client& client, const std::string& name, int64_t start_s) {
  const auto nodes = client.call_all(&v1::NodeService::Stub::ListNodes, v1::ListNodesRequest());
  for (const v1::Node& node : nodes.nodes()) {
    if (node.name() == "nodes/" + name) {
      return node.state() != v1::NODE_STATE_LOST && node.last_sync_time().seconds() >= start_s;
    }
  }
  return false;
}

}  // namespace

Supervisor::Supervisor(SupervisorOptions options) : options_(std::move(options)) {
  const fs::path& data = options_.installation.data;
  fs::create_directories(data / "log");
  fs::create_directories(data / "run");
  control_.program = "masbak-controld";
  const fs::path worker = options_.worker.empty() ? options_.programs / "masbak-worker" : fs::absolute(options_.worker);
  control_.arguments = {"--data", data.string(), "--worker", worker.string(), "--listen", options_.listen};
  control_.grace = std::chrono::seconds(60);  // its database writes out what it holds
  node_.program = "masbak-noded";
  node_.grace = std::chrono::seconds(45);  // longer than it gives its workers
}

Supervisor::~Supervisor() {
  for (Child* child : {&node_, &control_}) {
    try {
      stop(*child);
    } catch (const std::exception& fault) {
      base::log_error("stopping " + child->program + ": " + fault.what());
    }
  }
}

void Supervisor::launch(Child& child) {
  const Installation& installation = options_.installation;
  const fs::path log = installation.log_file(child.program);
  child.log_from = file_size_or_zero(log);
  std::vector<std::string> argv = {(options_.programs / child.program).string()};
  argv.insert(argv.end(), child.arguments.begin(), child.arguments.end());
  child.process.emplace(base::Process::start({.argv = argv, .stdout_file = log, .stderr_file = log}));
  child.started = Clock::now();
  write_run_file(installation.run_file(child.program), child.process->pid());
}

void Supervisor::require_alive(Child& child) {
  if (!child.process->poll()) return;
  throw reason_in_log(options_.installation.log_file(child.program), child.log_from, child.program);
}

template <typename Condition>
void Supervisor::wait_for(const std::string& what, const std::function<void(const std::string&)>& waiting_for,
                          const Condition& condition) {
  const Clock::time_point deadline = Clock::now() + options_.patience;
  while (!condition()) {
    require_alive(control_);
    if (node_.process) require_alive(node_);
    if (base::stop_requested()) throw Error(Code::kCancelled, "stopped before the installation was ready");
    if (Clock::now() > deadline) {
      throw Error(Code::kDeadlineExceeded,
                  "waited " + duration(static_cast<double>(options_.patience.count())) + " for " + what +
                      ": look at the logs, then start again",
                  {.file = (options_.installation.data / "log").string()});
    }
    waiting_for(what);
    std::this_thread::sleep_for(kStep);
  }
}

void Supervisor::start(const std::function<void(const std::string&)>& waiting_for) {
  const Installation& installation = options_.installation;
  const int64_t start_s =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  // What an earlier life wrote must not be taken for the new one's.
  fs::remove(installation.endpoint_file());
  launch(control_);
  std::optional<Client> client;
  wait_for("the control plane", waiting_for, [&] {
    if (!fs::exists(installation.endpoint_file()) || !fs::exists(installation.token_file())) return false;
    if (!client) {
      Address address;
      address.endpoint = endpoint();
      address.token = base::read_file(installation.token_file());
      std::erase_if(address.token, [](unsigned char c) { return std::isspace(c) != 0; });
      address.data = installation.data;
      client.emplace(address);
    }
    return client->healthy(std::chrono::seconds(2));
  });
  // Should it have to be started again, then where its clients know it.
  control_.arguments.back() = endpoint();
  node_.arguments = {"--control", endpoint(),           "--token-file", installation.token_file().string(),
                     "--name",    options_.node,        "--data",       (installation.data / "node").string(),
                     "--worker",  control_.arguments[3]};
  launch(node_);
  wait_for("the node " + options_.node, waiting_for, [&] { return is_ready(*client, options_.node, start_s); });
}

std::string Supervisor::endpoint() const {
  std::string text = base::read_file(options_.installation.endpoint_file());
  std::erase_if(text, [](unsigned char c) { return std::isspace(c) != 0; });
  return text;
}

void Supervisor::revive(Child& child) {
  if (!child.process) return;
  const auto ended = child.process->poll();
  if (!ended) return;
  base::log_warn(child.program + " has ended (" + ended->describe() + "); starting it again");
  child.quick_deaths = Clock::now() - child.started < kQuickDeath ? child.quick_deaths + 1 : 0;
  if (child.quick_deaths >= kMostQuickDeaths) require_alive(child);
  std::this_thread::sleep_for(kStep * (1 << child.quick_deaths));
  launch(child);
}

void Supervisor::run() {
  while (!base::stop_requested()) {
    revive(control_);
    revive(node_);
    std::this_thread::sleep_for(kStep);
  }
}

void Supervisor::stop(Child& child) {
  if (child.process) {
    child.process->stop(child.grace);
    child.process.reset();
  }
  fs::remove(options_.installation.run_file(child.program));
}

}  // namespace masbak::cli
