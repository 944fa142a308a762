// The file formats of in-house data by their fields.
#pragma once

#include <string>

#include "base/document.h"
#include "trainer/data/dataset.h"

namespace masbak::trainer {

// The format whose fields this row has; kAuto if none. `seen` gets the fields that told it.
Format detect_format(const base::Json& row, std::string* seen);

// "messages; or instruction and output; …": what detect_format looks for, for messages to the user.
std::string known_formats();

}  // namespace masbak::trainer
