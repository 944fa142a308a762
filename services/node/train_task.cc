#include "base/durable_file.h"
#include "base/error.h"
#include "services/node/task_runner.h"

namespace masbak::services {
namespace {

// masbak-worker train run.yaml --out job --resume. The run file names `base` and files below the directory.
class TrainTask : public TaskRunner {
 public:
  using TaskRunner::TaskRunner;

 private:
  std::map<std::string, std::filesystem::path> work() override {
    prepare();
    auto run_file = directory_ / "run.yaml";
    if (!std::filesystem::exists(run_file)) base::write_file_durably(run_file, task_.run_yaml());
    run_worker("train", {"train", "run.yaml", "--out", "job", "--resume"});
    auto job = directory_ / "job";
    std::map<std::string, std::filesystem::path> outputs = {{"adapter", job / "adapter"},
                                                            {"result.json", job / "result.json"},
                                                            {"events", job / "events.jsonl"},
                                                            {"run.yaml", run_file}};
    for (const auto& [name, path] : outputs) {
      if (!std::filesystem::exists(path)) {
        throw base::Error(base::Code::kInternal, "the worker ended well, but left no " + name, {path.string()});
      }
    }
    return outputs;
  }
};

}  // namespace

std::unique_ptr<TaskRunner> make_train_task(const v1::Task& task, const std::filesystem::path& directory,
                                            const TaskTools& tools) {
  return std::make_unique<TrainTask>(task, directory, tools);
}

}  // namespace masbak::services
