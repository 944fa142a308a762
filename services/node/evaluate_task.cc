#include "services/node/task_runner.h"

namespace masbak::services {
namespace {

// masbak-worker evaluate, for the version and, if wanted, for the base without its adapter.
class EvaluateTask : public TaskRunner {
 public:
  using TaskRunner::TaskRunner;

 private:
  std::map<std::string, std::filesystem::path> work() override {
    prepare();
    std::map<std::string, std::filesystem::path> outputs;
    run_worker("evaluate",
               {"evaluate", "base", "--adapter", "adapter", "--suite", task_.suite_file(), "--out", "report.json"});
    outputs["report"] = directory_ / "report.json";
    if (task_.evaluate_base()) {
      run_worker("evaluate-base", {"evaluate", "base", "--suite", task_.suite_file(), "--out", "base-report.json"});
      outputs["base-report"] = directory_ / "base-report.json";
    }
    return outputs;
  }
};

}  // namespace

std::unique_ptr<TaskRunner> make_evaluate_task(const v1::Task& task, const std::filesystem::path& directory,
                                               const TaskTools& tools) {
  return std::make_unique<EvaluateTask>(task, directory, tools);
}

}  // namespace masbak::services
