// Rows of in-house data, judged by `masbak-worker scan`: the very code that training reads them with.
#pragma once

#include <filesystem>
#include <string>

#include "masbak/v1/dataset.pb.h"
#include "services/control/context.h"

namespace masbak::services {

// Every row of the artifact. INVALID_ARGUMENT if the file cannot be read as data at all.
v1::ScanDatasetResponse scan_dataset(const ControlContext& context, const std::string& digest);

// INVALID_ARGUMENT with the first problem, located in `file_name`, and how many there are, if there is one; also
// if there is no row.
void require_sound(const v1::ScanDatasetResponse& scan, const std::string& file_name);

}  // namespace masbak::services
