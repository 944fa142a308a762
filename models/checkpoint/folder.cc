#include "models/checkpoint/folder.h"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <vector>

#include "base/digest.h"
#include "base/durable_file.h"
#include "base/log.h"

namespace masbak::models {
namespace {

using base::Json;

// A file changed again within the clock's resolution keeps its time: a digest of a file younger than
// this is not remembered.
constexpr auto kSettled = std::chrono::seconds(2);

// What must be equal for a file to count as unchanged.
Json identity(const std::filesystem::path& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) base::fail_errno("cannot look at the file", file.string());
  const int64_t changed_ns = info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec;
  return {{"path", std::filesystem::absolute(file).lexically_normal().string()},
          {"size", info.st_size},
          {"modified_ns", changed_ns},
          {"device", info.st_dev},
          {"inode", info.st_ino}};
}

bool settled(const Json& identity) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return now - std::chrono::nanoseconds(identity["modified_ns"].get<int64_t>()) > kSettled;
}

// Empty if there is no home to keep a cache in.
std::filesystem::path cache_folder() {
  if (const char* cache = std::getenv("MASBAK_CACHE"); cache && *cache) return std::filesystem::path(cache) / "digests";
  if (const char* home = std::getenv("HOME"); home && *home) {
    return std::filesystem::path(home) / ".cache" / "masbak" / "digests";
  }
  return {};
}

// What the cache holds for the file, or "". A cache entry that cannot be read only costs time.
std::string remembered(const std::filesystem::path& entry, const Json& identity) {
  if (entry.empty() || !std::filesystem::exists(entry)) return "";
  try {
    const Json cached = base::read_json(entry);
    if (!cached.is_object() || !cached.contains("file") || cached["file"] != identity) return "";
    const std::string digest = cached.value("digest", "");
    return base::is_digest(digest) ? digest : "";
  } catch (const std::exception& fault) {
    base::log_debug("digest cache: " + entry.string() + " is of no use: " + fault.what());
    return "";
  }
}

void remember(const std::filesystem::path& entry, const Json& identity, const std::string& digest) {
  try {
    base::write_file_durably(entry, Json{{"file", identity}, {"digest", digest}}.dump() + "\n");
  } catch (const base::Error& fault) {
    base::log_debug("digest cache: not written: " + fault.describe());  // a read-only home is no fault
  }
}

// Where the digest of a file is remembered; empty if nowhere.
std::filesystem::path cache_entry(const Json& identity) {
  const std::filesystem::path cache = cache_folder();
  if (cache.empty()) return cache;
  const std::string key = base::digest_bytes(identity["path"].get_ref<const std::string&>());
  return cache / (key.substr(key.find(':') + 1) + ".json");
}

std::string cached_digest(const std::filesystem::path& file) {
  const Json before = identity(file);
  const std::filesystem::path entry = cache_entry(before);
  std::string digest = remembered(entry, before);
  if (!digest.empty()) return digest;
  digest = base::digest_file(file);
  if (!entry.empty() && settled(before) && identity(file) == before) remember(entry, before, digest);
  return digest;
}

bool defines_model(const std::filesystem::path& file) {
  const std::string ending = file.extension().string();
  return file.filename().string().front() != '.' &&
         (ending == ".safetensors" || ending == ".json" || ending == ".model" || ending == ".jinja");
}

void require_folder(const std::filesystem::path& folder) {
  if (std::filesystem::is_directory(folder)) return;
  const bool there = std::filesystem::exists(folder);
  throw base::Error(there ? base::Code::kInvalidArgument : base::Code::kNotFound,
                    std::string("a model must be a Hugging Face folder with config.json, *.safetensors and "
                                "tokenizer.json, but ") +
                        (there ? "this is a file" : "there is nothing here"),
                    {folder.string()});
}

std::vector<std::filesystem::path> defining_files(const std::filesystem::path& folder) {
  require_folder(folder);
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_regular_file() && defines_model(entry.path())) files.push_back(entry.path());
  }
  return files;
}

}  // namespace

base::Fields read_model_config(const std::filesystem::path& folder) {
  require_folder(folder);
  const std::filesystem::path config = folder / "config.json";
  if (!std::filesystem::is_regular_file(config)) {
    throw base::Error(base::Code::kNotFound,
                      "a model folder must hold config.json, *.safetensors and tokenizer.json, but config.json is "
                      "missing",
                      {folder.string()});
  }
  return base::Fields::read_json(config);
}

uint64_t undigested_bytes(const std::filesystem::path& folder) {
  uint64_t bytes = 0;
  for (const std::filesystem::path& file : defining_files(folder)) {
    const Json now = identity(file);
    if (remembered(cache_entry(now), now).empty()) bytes += now["size"].get<uint64_t>();
  }
  return bytes;
}

std::string model_digest(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files = defining_files(folder);
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) {
    return a.filename().string() < b.filename().string();  // byte order
  });
  // The lines of base::digest_folder, so that `sha256sum *.json *.safetensors | sha256sum` can repeat it.
  std::string lines;
  for (const auto& file : files) {
    const std::string digest = cached_digest(file);
    lines += digest.substr(digest.find(':') + 1) + "  " + file.filename().string() + "\n";
  }
  return base::digest_bytes(lines);
}

}  // namespace masbak::models
