// Versions as a table, for model show and version list.
#pragma once

#include "masbak/v1/registry.pb.h"

namespace masbak::cli {

void print_versions(const v1::ListVersionsResponse& versions);

}  // namespace masbak::cli
