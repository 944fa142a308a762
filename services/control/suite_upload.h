// A suite as a client sent it, checked and stored.
#pragma once

#include <map>
#include <string>

#include "masbak/v1/evaluation.pb.h"
#include "services/control/context.h"

namespace masbak::services {

struct StoredSuite {
  std::string digest;                        // identity of the suite with its data
  std::map<std::string, std::string> files;  // name below a task's directory → artifact
};

// INVALID_ARGUMENT, located in the suite or its data, if it is none. The suite file becomes kSuiteFile.
StoredSuite store_suite(const ControlContext& context, const v1::CreateEvaluationJobRequest& request);

}  // namespace masbak::services
