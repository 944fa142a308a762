#include "services/node/base_models.h"

#include <set>

#include "base/digest.h"
#include "base/document.h"
#include "base/durable_file.h"
#include "base/error.h"
#include "services/launcher/worker_tool.h"

namespace masbak::services {
namespace {

// Changes whenever a file of the folder was written.
std::string fingerprint(const std::filesystem::path& folder) {
  std::set<std::string> lines;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    lines.insert(entry.path().lexically_relative(folder).string() + " " + std::to_string(entry.file_size()) + " " +
                 std::to_string(entry.last_write_time().time_since_epoch().count()));
  }
  base::Sha256 hash;
  for (const auto& line : lines) hash.update(line + "\n");
  return hash.finish();
}

}  // namespace

BaseModels::BaseModels(std::filesystem::path worker, std::filesystem::path cache_file)
    : worker_(std::move(worker)), cache_file_(std::move(cache_file)) {}

void BaseModels::require(const std::filesystem::path& folder, const std::string& digest) {
  if (!std::filesystem::is_directory(folder)) {
    throw base::Error(base::Code::kNotFound, "expected the base model's folder on this node, found none: copy it there",
                      {folder.string()});
  }
  std::string found = digest_of(folder);
  if (found != digest) {
    throw base::Error(base::Code::kFailedPrecondition,
                      "expected the base model " + digest + ", found a folder of digest " + found +
                          ": its files changed since it was registered; restore them or register it anew",
                      {folder.string()});
  }
}

std::string BaseModels::digest_of(const std::filesystem::path& folder) {
  std::lock_guard lock(mutex_);
  base::Json cache = std::filesystem::exists(cache_file_) ? base::read_json(cache_file_) : base::Json::object();
  std::string now = fingerprint(folder);
  auto known = cache.find(folder.string());
  if (known != cache.end() && known->at("fingerprint") == now) return known->at("digest").get<std::string>();
  std::string digest = inspect_model(worker_, folder).at("digest").get<std::string>();
  cache[folder.string()] = {{"fingerprint", now}, {"digest", digest}};
  base::write_file_durably(cache_file_, cache.dump(1) + "\n");
  return digest;
}

}  // namespace masbak::services
