#include "services/control/suite_upload.h"

#include "base/durable_file.h"
#include "policies/suites/suite.h"
#include "services/control/run_file.h"
#include "services/control/scratch.h"

namespace masbak::services {

StoredSuite store_suite(const ControlContext& context, const v1::CreateEvaluationJobRequest& request) {
  std::string data_name;
  if (!request.suite_file_name().empty()) data_name = plain_file_name(request.suite_file_name(), "suite_file_name");
  std::string suite_text = suite_for_task(request.suite_yaml(), data_name);

  // Read where it is laid out as on the node, so that the digest is the one that the worker will find.
  ScratchFolder folder(context.scratch);
  auto suite_file = folder.path() / kSuiteFile;
  base::write_file_durably(suite_file, suite_text);
  StoredSuite stored;
  if (!data_name.empty()) {
    base::write_file_durably(suite_file.parent_path() / data_name, request.suite_data());
    auto name = std::filesystem::path(kSuiteFile).parent_path() / data_name;
    stored.files[name] = context.artifacts.put_bytes(request.suite_data());
  }
  stored.digest = policies::Suite::read(suite_file).digest;
  stored.files[kSuiteFile] = context.artifacts.put_bytes(suite_text);
  return stored;
}

}  // namespace masbak::services
