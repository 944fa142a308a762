#include "services/control/run_file.h"

#include <yaml-cpp/yaml.h>

#include <filesystem>

#include "base/document.h"
#include "base/error.h"

namespace masbak::services {
namespace {

// yaml-cpp keeps numbers as they were written ("2.0e-4"), which a detour through JSON would not.
YAML::Node load_mapping(const std::string& text, const std::string& file) {
  base::Fields::from_yaml_text(text, file);  // its errors name the line
  YAML::Node node = YAML::Load(text);
  if (!node.IsMap()) base::fail_input("expected a mapping of fields, found something else", {.file = file});
  return node;
}

std::string dump(const YAML::Node& node) { return YAML::Dump(node) + "\n"; }

}  // namespace

std::string run_for_task(const std::string& run_yaml, bool with_eval) {
  YAML::Node run = load_mapping(run_yaml, "run.yaml");
  run["model"] = "base";
  if (!run["dataset"] || !run["dataset"].IsMap()) run["dataset"] = YAML::Node(YAML::NodeType::Map);
  run["dataset"]["train"] = kTrainFile;
  run["dataset"].remove("eval");
  if (with_eval) run["dataset"]["eval"] = kEvalFile;
  return dump(run);
}

std::string suite_for_task(const std::string& suite_yaml, const std::string& data_file) {
  YAML::Node suite = load_mapping(suite_yaml, "suite.yaml");
  bool replaced = false;
  for (const char* field : {"dataset", "questions"}) {
    if (!suite[field]) continue;
    if (data_file.empty()) {
      base::fail_input(std::string("the suite names a data file, and none was sent: send it as suite_data"),
                       {.file = "suite.yaml", .field = field});
    }
    suite[field] = data_file;
    replaced = true;
  }
  if (!replaced && !data_file.empty()) {
    base::fail_input("expected a field `dataset` or `questions` for the data file " + data_file + ", found neither",
                     {.file = "suite.yaml"});
  }
  return dump(suite);
}

std::string plain_file_name(const std::string& path, const std::string& field) {
  std::string name = std::filesystem::path(path).filename();
  if (!name.empty() && name != "." && name != ".." && name.find('\0') == std::string::npos) return name;
  base::fail_input("expected a file name, found \"" + path + "\"", {.field = field});
}

}  // namespace masbak::services
