// doctor: what an installation on this machine needs, and whether it is there.
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <thread>

#include "base/document.h"
#include "base/process.h"
#include "masbak/v1/node.grpc.pb.h"
#include "programs/cli/cli.h"
#include "programs/cli/installation.h"
#include "programs/cli/names.h"
#include "programs/cli/node_state.h"
#include "programs/cli/output.h"

namespace masbak::cli {
namespace {

namespace fs = std::filesystem;

struct Finding {
  std::string what;
  std::string state;  // "ok", "note", "FAILED"
  std::string detail;
};

using Findings = std::vector<Finding>;

void check_programs(Findings& findings) {
  for (const char* program : {"masbak-controld", "masbak-noded", "masbak-worker"}) {
    const fs::path path = base::executable_folder() / program;
    const bool found = ::access(path.c_str(), X_OK) == 0;
    findings.push_back({program, found ? "ok" : "FAILED",
                        found ? path.string() : "expected at " + path.string() + ": build or install it"});
  }
}

void check_postgres(Findings& findings) {
  std::error_code ignored;
  std::string found;
  for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql", ignored)) {
    if (::access((entry.path() / "bin/initdb").c_str(), X_OK) == 0) found = (entry.path() / "bin").string();
  }
  if (found.empty() && std::system("command -v initdb >/dev/null 2>&1") == 0) found = "in PATH";
  findings.push_back({"PostgreSQL", found.empty() ? "FAILED" : "ok",
                      found.empty() ? "initdb is missing: install PostgreSQL (Debian: postgresql)" : found});
}

void check_folder(Findings& findings, const fs::path& data) {
  fs::path there = data;
  while (!there.empty() && !fs::exists(there) && there != there.parent_path()) there = there.parent_path();
  const bool writable = ::access(there.c_str(), W_OK) == 0;
  struct statvfs space {};
  const bool known = ::statvfs(there.c_str(), &space) == 0;
  const int64_t free_bytes = known ? static_cast<int64_t>(space.f_bavail) * static_cast<int64_t>(space.f_frsize) : 0;
  constexpr int64_t kEnough = int64_t{5} << 30;
  findings.push_back({"data folder", writable ? "ok" : "FAILED",
                      data.string() + (writable ? "" : ": " + there.string() + " may not be written")});
  findings.push_back({"disk", free_bytes >= kEnough ? "ok" : "note",
                      bytes(free_bytes) + " free" + (free_bytes >= kEnough ? "" : ": a training needs about 5 GiB")});
}

void check_machine(Findings& findings) {
  struct sysinfo memory {};
  ::sysinfo(&memory);
  const int64_t total = static_cast<int64_t>(memory.totalram) * memory.mem_unit;
  findings.push_back(
      {"machine", "ok", std::to_string(std::thread::hardware_concurrency()) + " cores, " + bytes(total) + " memory"});
  std::ifstream driver("/proc/driver/nvidia/version");
  std::string line;
  const bool gpu = static_cast<bool>(std::getline(driver, line));
  findings.push_back({"GPU", gpu ? "ok" : "note", gpu ? line : "no NVIDIA driver: everything runs on the CPU"});
}

void check_control_plane(Findings& findings, const Common& common) {
  try {
    const Client client = common.connect();
    const std::string at = " at " + client.address().endpoint;
    if (!client.healthy(std::chrono::seconds(3))) {
      findings.push_back(
          {"control plane", "FAILED", "no healthy answer" + at + ": look at its log, or start it with masbak up"});
      return;
    }
    findings.push_back({"control plane", "ok", "healthy" + at});
    const auto nodes = client.call_all(&v1::NodeService::Stub::ListNodes, v1::ListNodesRequest());
    findings.push_back({"token", "ok", "accepted"});
    if (nodes.nodes().empty())
      findings.push_back({"nodes", "FAILED", "there is none: start one with masbak up or masbak-noded"});
    for (const v1::Node& node : nodes.nodes()) {
      findings.push_back(
          {"node " + short_name(node.name()), node.state() == v1::NODE_STATE_LOST ? "FAILED" : "ok", node_state(node)});
    }
  } catch (const base::Error& error) {
    const bool down = error.code() == base::Code::kUnavailable &&
                      find_process(Installation{common.data_folder()}.run_file("masbak")) == std::nullopt;
    findings.push_back({"control plane", down ? "note" : "FAILED", error.what()});
  }
}

int run(const Common& common) {
  Findings findings;
  check_programs(findings);
  check_postgres(findings);
  check_folder(findings, common.data_folder());
  check_machine(findings);
  check_control_plane(findings, common);
  bool sound = true;
  Table table({"CHECK", "STATE", "DETAIL"});
  base::Json json = base::Json::array();
  for (const Finding& finding : findings) {
    sound = sound && finding.state != "FAILED";
    table.add({finding.what, finding.state, finding.detail});
    json.push_back({{"check", finding.what}, {"state", finding.state}, {"detail", finding.detail}});
  }
  if (common.json) {
    std::cout << json.dump(2) << "\n";
  } else {
    table.print("");
  }
  return sound ? 0 : 1;
}

}  // namespace

void add_doctor_command(Commands& commands) {
  commands.add(&commands.root(), "doctor", "Check what an installation needs; exit status 1 if something is missing",
               "masbak doctor", run);
}

}  // namespace masbak::cli
