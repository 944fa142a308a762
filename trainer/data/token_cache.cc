#include "trainer/data/token_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/digest.h"
#include "base/durable_file.h"
#include "base/error.h"
#include "trainer/data/scratch.h"

namespace masbak::trainer {
namespace {

namespace fs = std::filesystem;
using base::Json;
using Said = std::function<void(const std::string&)>;

constexpr const char* kLayout = "masbak tokens 1";  // of the cache's files
constexpr uintmax_t kInMemoryBytes = 4 << 20;       // of a file whose tokens are not kept
constexpr uintmax_t kDefaultCacheBytes = 50'000'000'000;

// Files of a model's folder that decide about tokens and chats.
constexpr const char* kToolFiles[] = {"config.json",
                                      "tokenizer.json",
                                      "tokenizer_config.json",
                                      "special_tokens_map.json",
                                      "generation_config.json",
                                      "added_tokens.json",
                                      "tokenizer.model",
                                      "chat_template.jinja",
                                      "chat_template.json"};

// Another program may tokenise otherwise.
std::string this_program() {
  struct stat status {};
  if (::stat("/proc/self/exe", &status) != 0) return "";
  return std::to_string(status.st_size) + "/" + std::to_string(status.st_mtim.tv_sec) + "." +
         std::to_string(status.st_mtim.tv_nsec);
}

std::string cache_key(const fs::path& file, const std::string& digest, const fs::path& model,
                      const DatasetOptions& options) {
  Json key{{"layout", kLayout},
           {"program", this_program()},
           {"file", digest},
           {"ending", file.stem().extension().string() + file.extension().string()},
           {"format", format_name(options.format)},
           {"max_length", options.max_length},
           {"loss_on", loss_on_name(options.loss_on)},
           {"apply_chat_template", options.apply_chat_template},
           {"deduplicate", deduplicate_name(options.deduplicate)},
           {"threshold", options.deduplicate_threshold}};
  for (const char* name : kToolFiles) {
    if (fs::exists(model / name)) key["tools"][name] = base::digest_file(model / name);
  }
  const std::string whole = base::digest_bytes(key.dump());
  return whole.substr(whole.find(':') + 1);
}

// A shared lock on an entry keeps it from being removed while it is used.
class EntryLock {
 public:
  EntryLock(const fs::path& entry, int operation) {
    fd_ = ::open((entry / "report.json").c_str(), O_RDONLY | O_CLOEXEC);
    if (fd_ >= 0 && ::flock(fd_, operation | LOCK_NB) == 0) return;
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  ~EntryLock() {
    if (fd_ >= 0) ::close(fd_);
  }
  EntryLock(const EntryLock&) = delete;
  EntryLock& operator=(const EntryLock&) = delete;
  bool held() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

struct Entry {
  fs::path folder;
  fs::file_time_type used;
  uintmax_t bytes = 0;
};

uintmax_t folder_bytes(const fs::path& folder) {
  uintmax_t bytes = 0;
  std::error_code ignored;
  for (const auto& file : fs::directory_iterator(folder, ignored)) {
    const uintmax_t size = file.file_size(ignored);
    if (!ignored) bytes += size;
  }
  return bytes;
}

// A folder that a run was making when it was killed: its name ends in tmp-PID-…, and there is no such process.
bool is_left_over(const std::string& name) {
  const size_t at = name.rfind(".tmp-");
  if (!name.starts_with('.') || at == std::string::npos) return false;
  const int pid = std::atoi(name.c_str() + at + 5);
  return pid > 0 && !fs::exists("/proc/" + std::to_string(pid));
}

uintmax_t cache_bound() {
  const char* text = std::getenv("MASBAK_TOKEN_CACHE_BYTES");
  if (!text || !*text) return kDefaultCacheBytes;
  char* end = nullptr;
  const double bytes = std::strtod(text, &end);
  if (*end != '\0' || !(bytes >= 0) || bytes > 1e18) {
    base::fail_input("expected a number of bytes in MASBAK_TOKEN_CACHE_BYTES, found '" + std::string(text) + "'");
  }
  return static_cast<uintmax_t>(bytes);
}

// Removes what has not been used for longest until there is room for `needed` more bytes.
void make_room(const fs::path& cache, uintmax_t needed, const Said& said) {
  std::vector<Entry> entries;
  uintmax_t bytes = 0;
  std::error_code ignored;
  for (const auto& item : fs::directory_iterator(cache, ignored)) {
    if (!item.is_directory(ignored)) continue;
    if (is_left_over(item.path().filename().string())) {
      fs::remove_all(item.path(), ignored);
      continue;
    }
    Entry entry{item.path(), fs::last_write_time(item.path() / "report.json", ignored), folder_bytes(item.path())};
    if (ignored) continue;  // being made, or being removed by another run
    bytes += entry.bytes;
    entries.push_back(std::move(entry));
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.used < b.used; });
  const uintmax_t bound = cache_bound();
  for (const Entry& entry : entries) {
    if (bytes + needed <= bound) return;
    const EntryLock lock(entry.folder, LOCK_EX);
    if (!lock.held()) continue;
    fs::remove_all(entry.folder, ignored);
    bytes -= entry.bytes;
    said("removed " + std::to_string(entry.bytes >> 20) + " MiB of old tokens from " + cache.string() +
         " (bound: MASBAK_TOKEN_CACHE_BYTES)");
  }
}

// The options as they decide about the entry: with the format that was told.
struct Source {
  const fs::path& file;
  const fs::path& model;
  DatasetOptions options;
  std::string detected;
};

// Keeps the lock as long as the examples live.
std::optional<LoadedDataset> open_entry(const fs::path& folder, std::shared_ptr<EntryLock>* lock) {
  auto held = std::make_shared<EntryLock>(folder, LOCK_SH);
  if (!held->held()) return std::nullopt;
  std::error_code ignored;
  fs::last_write_time(folder / "report.json", fs::file_time_type::clock::now(), ignored);
  LoadedDataset loaded;
  try {
    loaded.examples = Examples::open(folder);
    loaded.report = DatasetReport::from_json(base::read_json(folder / "report.json"));
  } catch (const std::exception&) {
    return std::nullopt;  // damaged, or removed by hand meanwhile: made anew
  }
  if (loaded.examples.size() != loaded.report.examples) return std::nullopt;
  loaded.notes = RowNotes(folder / "notes.jsonl");
  loaded.reused = true;
  *lock = std::move(held);
  return loaded;
}

void make_entry(const fs::path& folder, const Source& source) {
  base::DurableFolder target(folder);
  ExampleWriter writer(target.path());
  base::DurableWriter notes(target.path() / "notes.jsonl");
  const TextTools tools = TextTools::load(source.model, source.options.format, source.options);
  DatasetReport report = read_dataset(
      source.file, &tools, source.options, [&](const RowNote& note) { notes.write(note.to_json().dump() + "\n"); },
      [&](const TokenSequence& example, uint64_t content) { writer.add(example, content); });
  report.detected = source.detected;
  writer.finish();
  notes.commit();
  Json json = report.to_json();
  json["lengths"] = Json::array();
  for (const auto& [length, rows] : report.lengths) json["lengths"].push_back({length, rows});
  base::write_file_durably(target.path() / "report.json", json.dump() + "\n");
  target.commit();
}

LoadedDataset load_kept(const Source& source, const std::string& digest, const Said& said) {
  fs::path root = cache_root();
  // A service may run without a home.
  if (root.empty()) root = fs::temp_directory_path() / ("masbak-" + std::to_string(::getuid()));
  const fs::path cache = root / "tokens";
  const fs::path folder = cache / cache_key(source.file, digest, source.model, source.options);
  std::shared_ptr<EntryLock> lock;
  std::optional<LoadedDataset> loaded = open_entry(folder, &lock);
  if (!loaded) {
    std::error_code ignored;
    fs::create_directories(cache, ignored);
    make_room(cache, 2 * fs::file_size(source.file), said);
    fs::remove_all(folder, ignored);
    said("tokenising " + source.file.string() + " into " + folder.string());
    try {
      make_entry(folder, source);
    } catch (const base::Error& error) {
      // Another run was quicker: its tokens are the same.
      if (!fs::exists(folder / "report.json")) throw;
    }
    loaded = open_entry(folder, &lock);
    if (!loaded) {
      throw base::Error(base::Code::kDataLoss, "the tokens that were just written cannot be read", {folder.string()});
    }
    loaded->reused = false;
  }
  loaded->examples.keep(std::move(lock));
  return std::move(*loaded);
}

LoadedDataset load_in_memory(const Source& source) {
  std::vector<RowNote> notes;
  std::vector<TokenSequence> sequences;
  const TextTools tools = TextTools::load(source.model, source.options.format, source.options);
  LoadedDataset loaded;
  loaded.report = read_dataset(
      source.file, &tools, source.options, [&](const RowNote& note) { notes.push_back(note); },
      [&](const TokenSequence& example, uint64_t) { sequences.push_back(example); });
  loaded.report.detected = source.detected;
  loaded.examples = std::move(sequences);
  loaded.notes = RowNotes(std::move(notes));
  return loaded;
}

}  // namespace

void RowNotes::for_each(const NoteSink& sink) const {
  for (const RowNote& note : notes_) sink(note);
  if (file_.empty()) return;
  base::read_json_lines(file_, [&](int, Json&& json) {
    const std::string kind = json.at("kind");
    sink({kind == "problem"     ? RowNote::Kind::kProblem
          : kind == "duplicate" ? RowNote::Kind::kDuplicate
                                : RowNote::Kind::kTruncated,
          json.at("line"), json.at("field"), json.at("message")});
  });
}

LoadedDataset load_dataset(const fs::path& file, const fs::path& model, const DatasetOptions& options,
                           const std::function<void(const std::string&)>& said) {
  const DetectedFormat found = detect_file(file, options.format);
  Source source{file, model, options, found.detected};
  source.options.format = found.format;
  const std::string digest = base::digest_file(file);
  const bool small = fs::file_size(file) <= kInMemoryBytes && file.extension() != ".gz";
  LoadedDataset loaded = small ? load_in_memory(source) : load_kept(source, digest, said);
  loaded.digest = digest;
  loaded.report.file = file.string();
  return loaded;
}

}  // namespace masbak::trainer
