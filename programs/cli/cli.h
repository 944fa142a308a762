// How a command is declared. To add one: a file in commands/, its function here, its line in main.cc.
#pragma once

#include <CLI/CLI.hpp>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "programs/cli/client.h"

namespace masbak::cli {

// What every command can be told.
struct Common {
  std::string data;
  bool json = false;

  std::filesystem::path data_folder() const {
    return data.empty() ? default_data_folder() : std::filesystem::absolute(data).lexically_normal();
  }
  Client connect() const { return Client(find_address(data_folder())); }
};

// The commands of a program: the parser and, once parsed, what to run.
class Commands {
 public:
  explicit Commands(CLI::App& root) : root_(root) {}

  CLI::App& root() { return root_; }
  // A command that groups others: "dataset".
  CLI::App* group(const std::string& name, const std::string& description);
  // A command that does something; `example` is a whole command line. `run` returns the exit status. Options are
  // added to the App that is returned; their variables live in `Options`, shared with `run`.
  CLI::App* add(CLI::App* parent, const std::string& name, const std::string& description, const std::string& example,
                std::function<int(const Common&)> run);
  // Runs what was parsed.
  int run() const { return chosen_(common_); }

 private:
  CLI::App& root_;
  Common common_;
  std::function<int(const Common&)> chosen_;
};

void add_installation_commands(Commands& commands);  // up, down, status
void add_doctor_command(Commands& commands);
void add_dataset_commands(Commands& commands);
void add_model_commands(Commands& commands);
void add_job_commands(Commands& commands);
void add_version_commands(Commands& commands);  // version, approve, promote
void add_gate_commands(Commands& commands);
void add_deployment_commands(Commands& commands);  // deploy, deployment
void add_node_commands(Commands& commands);
void add_ask_command(Commands& commands);
void add_audit_commands(Commands& commands);
void add_completion_command(Commands& commands);

}  // namespace masbak::cli
