#include "services/node/task_runner.h"

#include <google/protobuf/util/json_util.h>

#include "base/document.h"
#include "base/durable_file.h"
#include "base/error.h"
#include "base/log.h"
#include "registry/artifacts/tar.h"
#include "services/launcher/worker_tool.h"

namespace masbak::services {
namespace {

constexpr int kTracelessRestarts = 2;
constexpr size_t kLogTailBytes = 16 * 1024;

void write_message(const std::filesystem::path& file, const google::protobuf::Message& message) {
  std::string json;
  auto status = google::protobuf::util::MessageToJsonString(message, &json);
  if (!status.ok()) throw base::Error(base::Code::kInternal, status.ToString(), {file.string()});
  base::write_file_durably(file, json + "\n");
}

void parse_message(const std::string& json, google::protobuf::Message& message, const std::filesystem::path& file) {
  auto status = google::protobuf::util::JsonStringToMessage(json, &message);
  if (!status.ok()) throw base::Error(base::Code::kDataLoss, status.ToString(), {file.string()});
}

bool ended(v1::TaskStatus::State state) {
  return state == v1::TaskStatus::STATE_SUCCEEDED || state == v1::TaskStatus::STATE_FAILED ||
         state == v1::TaskStatus::STATE_STOPPED;
}

}  // namespace

std::unique_ptr<TaskRunner> TaskRunner::make(const v1::Task& task, const std::filesystem::path& directory,
                                             const TaskTools& tools) {
  switch (task.kind()) {
    case v1::Task::KIND_TRAIN: return make_train_task(task, directory, tools);
    case v1::Task::KIND_EVALUATE: return make_evaluate_task(task, directory, tools);
    case v1::Task::KIND_SERVE: return make_serve_task(task, directory, tools);
    default:
      throw base::Error(base::Code::kUnimplemented,
                        "task " + task.id() + " is of kind " + std::to_string(task.kind()) +
                            ", which this agent does not know: install the control plane's version of it");
  }
}

std::unique_ptr<TaskRunner> TaskRunner::create(const v1::Task& task, const std::filesystem::path& directory,
                                               const TaskTools& tools) {
  auto runner = make(task, directory, tools);
  write_message(directory / "task.json", task);
  runner->start();
  return runner;
}

std::unique_ptr<TaskRunner> TaskRunner::load(const std::filesystem::path& directory, const TaskTools& tools) {
  auto file = directory / "task.json";
  if (!std::filesystem::exists(file)) {
    base::log_warn("no task in " + directory.string() + ": it is removed");
    std::filesystem::remove_all(directory);
    return nullptr;
  }
  v1::Task task;
  parse_message(base::read_file(file), task, file);
  auto runner = make(task, directory, tools);
  runner->restore();
  runner->start();
  return runner;
}

TaskRunner::TaskRunner(v1::Task task, std::filesystem::path directory, const TaskTools& tools)
    : task_(std::move(task)),
      directory_(std::move(directory)),
      tools_(tools),
      events_(directory_ / "job" / "events.jsonl") {
  status_.set_id(task_.id());
  status_.set_state(v1::TaskStatus::STATE_PREPARING);
  stop_ = task_.stop();
}

TaskRunner::~TaskRunner() { join(); }

void TaskRunner::join() {
  if (thread_.joinable()) thread_.join();
}

void TaskRunner::start() {
  if (is_final()) {
    thread_ended_ = true;
    return;
  }
  thread_ = std::thread([this] { run(); });
}

void TaskRunner::interrupt(bool end_workers) {
  end_workers_ = end_workers;
  interrupted_ = true;
}

void TaskRunner::check() const {
  if (interrupted_) throw Interrupted{};
  if (stop_) throw Stopped{};
}

void TaskRunner::run() {
  try {
    auto outputs = work();
    finish(v1::TaskStatus::STATE_SUCCEEDED, "", outputs);
  } catch (const Stopped&) {
    finish(v1::TaskStatus::STATE_STOPPED, "", {});
  } catch (const Interrupted&) {
    base::log_info(id() + ": left for the next agent");
  } catch (const base::Error& error) {
    if (interrupted_) {
      base::log_info(id() + ": left for the next agent");
    } else if (stop_) {
      finish(v1::TaskStatus::STATE_STOPPED, "", {});
    } else {
      base::log_warn(id() + " failed: " + error.describe());
      finish(v1::TaskStatus::STATE_FAILED, error.describe(), {});
    }
  } catch (const std::exception& error) {
    finish(v1::TaskStatus::STATE_FAILED, std::string("INTERNAL: ") + error.what(), {});
  }
  thread_ended_ = true;
}

void TaskRunner::finish(v1::TaskStatus::State state, const std::string& error,
                        const std::map<std::string, std::filesystem::path>& outputs) {
  std::map<std::string, std::string> digests;
  auto all = outputs;
  if (std::filesystem::exists(log_file())) all["log"] = log_file();
  try {
    for (const auto& [name, path] : all) {
      std::filesystem::path file = path;
      if (std::filesystem::is_directory(path)) {
        file = directory_ / (name + ".tar");
        base::DurableWriter writer(file);
        registry::pack_folder(path, [&](std::string_view bytes) { writer.write(bytes); });
        writer.commit();
      }
      digests[name] = tools_.control.upload(file, [this] { return !interrupted_; });
    }
  } catch (const base::Error& fault) {
    if (interrupted_) return;  // the next agent goes on here
    base::log_error(id() + ": its outputs could not be stored: " + fault.describe());
    if (state == v1::TaskStatus::STATE_SUCCEEDED) {
      finish(v1::TaskStatus::STATE_FAILED, fault.describe(), {});
      return;
    }
  }
  std::lock_guard lock(mutex_);
  status_.set_state(state);
  status_.set_error(error);
  status_.clear_endpoint();
  for (const auto& [name, digest] : digests) (*status_.mutable_outputs())[name] = digest;
  try {
    save();
  } catch (const base::Error& fault) {
    // Reported all the same; after a restart of the agent the last steps are done again.
    base::log_error(id() + ": its end could not be written down: " + fault.describe());
  }
}

v1::TaskStatus TaskRunner::status(int64_t acknowledged_seq) {
  v1::TaskStatus status;
  {
    std::lock_guard lock(mutex_);
    status = status_;
  }
  auto batch = events_.after(acknowledged_seq);
  for (auto& line : batch.lines) status.add_events(std::move(line));
  if (batch.more && ended(status.state())) status.set_state(v1::TaskStatus::STATE_RUNNING);
  int64_t offset = 0;
  status.set_log_tail(file_tail(log_file(), kLogTailBytes, &offset));
  status.set_log_tail_offset(offset);
  return status;
}

bool TaskRunner::is_final() const {
  std::lock_guard lock(mutex_);
  return ended(status_.state());
}

int TaskRunner::remembered(const std::string& key) const {
  std::lock_guard lock(mutex_);
  auto found = numbers_.find(key);
  return found == numbers_.end() ? 0 : found->second;
}

void TaskRunner::remember(const std::string& key, int value) {
  std::lock_guard lock(mutex_);
  numbers_[key] = value;
  save();
}

void TaskRunner::set_state(v1::TaskStatus::State state, const std::string& error, const std::string& endpoint) {
  std::lock_guard lock(mutex_);
  status_.set_state(state);
  status_.set_error(error);
  status_.set_endpoint(endpoint);
}

void TaskRunner::save() {
  base::Json json;
  json["numbers"] = base::Json::object();
  for (const auto& [key, value] : numbers_) json["numbers"][key] = value;
  if (ended(status_.state())) {
    std::string text;
    auto status = google::protobuf::util::MessageToJsonString(status_, &text);
    if (!status.ok()) throw base::Error(base::Code::kInternal, status.ToString());
    json["final"] = text;
  }
  base::write_file_durably(directory_ / "state.json", json.dump() + "\n");
}

void TaskRunner::restore() {
  auto file = directory_ / "state.json";
  if (!std::filesystem::exists(file)) return;
  base::Json json = base::read_json(file);
  for (const auto& [key, value] : json.at("numbers").items()) numbers_[key] = value.get<int>();
  if (json.contains("final")) parse_message(json.at("final").get<std::string>(), status_, file);
}

void TaskRunner::prepare() {
  check();
  auto keep_going = [this] { return !interrupted_ && !stop_; };
  tools_.base_models.require(task_.base_model_path(), task_.base_model_digest());
  auto link = directory_ / "base";
  if (!std::filesystem::is_symlink(link)) std::filesystem::create_symlink(task_.base_model_path(), link);
  for (const auto& [name, digest] : task_.files()) {
    auto file = directory_ / name;
    if (!std::filesystem::exists(file)) tools_.control.download(digest, file, keep_going);
  }
  if (!task_.adapter_digest().empty() && !std::filesystem::exists(directory_ / "adapter")) {
    auto tar = directory_ / "adapter.tar";
    tools_.control.download(task_.adapter_digest(), tar, keep_going);
    registry::unpack_tar(tar, directory_ / "adapter");
    std::filesystem::remove(tar);
  }
}

LocalWorker TaskRunner::start_worker(const std::string& name, const std::vector<std::string>& arguments) {
  if (auto found = LocalWorker::find(directory_, name)) return std::move(*found);
  check();
  Supervision supervision{.directory = directory_, .name = name, .log = log_file(), .grace = tools_.grace};
  supervision.argv = {tools_.worker.string()};
  supervision.argv.insert(supervision.argv.end(), arguments.begin(), arguments.end());
  return LocalWorker::start(supervision, tools_.supervisor);
}

std::optional<WorkerEnd> TaskRunner::watch(LocalWorker& worker, const std::function<bool()>& done) {
  bool asked = false;
  while (true) {
    if (auto end = worker.poll()) return end;
    if (interrupted_ && !end_workers_) throw Interrupted{};
    if ((interrupted_ || stop_) && !asked) {
      worker.request_stop();
      asked = true;
    }
    if (!asked && done()) return std::nullopt;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

void TaskRunner::run_worker(const std::string& name, const std::vector<std::string>& arguments) {
  for (int restarts = 0;; ++restarts) {
    int attempt = std::max(1, remembered(name));
    LocalWorker worker = start_worker(name + "-" + std::to_string(attempt), arguments);
    set_state(v1::TaskStatus::STATE_RUNNING);
    WorkerEnd end = *watch(worker, [] { return false; });
    // One that was asked to stop may end well without having done its work: the next start finds out.
    if (end.ok() && !end.stopped) return;
    // Stopped because the agent or the machine goes down: it is started again, to go on from its last checkpoint.
    bool again = interrupted_ || ((end.traceless || end.stopped) && restarts < kTracelessRestarts);
    if (again) remember(name, attempt + 1);
    check();
    if (again) continue;
    if (end.traceless || !end.error.empty() || end.exit.signal != 0) {
      throw base::Error(base::Code::kInternal, "the worker was ended: " + end.describe());
    }
    int64_t offset = 0;
    throw worker_error(file_tail(log_file(), kLogTailBytes, &offset), "the worker ended with " + end.describe());
  }
}

}  // namespace masbak::services
