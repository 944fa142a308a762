// The questions that services ask the program masbak-worker: what a model folder is, whether a dataset is
// sound. The services link no LibTorch, so the answer comes from a child process.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/document.h"

namespace masbak::services {

// What `masbak-worker inspect FOLDER` prints: family, parameters, weights_bytes, digest, … The worker's own
// error comes out as it is, with its code. FAILED_PRECONDITION if there is no such program.
base::Json inspect_model(const std::filesystem::path& worker, const std::filesystem::path& folder);

struct ToolOutput {
  int status = 0;
  std::string out, err;
};

// Runs the worker to its end. FAILED_PRECONDITION if there is no such program, INTERNAL if a signal ended it.
ToolOutput run_worker_tool(const std::filesystem::path& worker, const std::vector<std::string>& arguments);

// "NOT_FOUND" → kNotFound; kInternal for anything unknown.
base::Code code_of(std::string_view name);

// The Error that a worker's last line "error: CODE: message" stands for; INTERNAL with `fallback` without one.
base::Error worker_error(const std::string& log, const std::string& fallback);

}  // namespace masbak::services
