// A report on a data file for people.
#pragma once

#include <string>

#include "trainer/data/dataset.h"

namespace masbak::trainer {

// Several lines: what the file is, the balance of its rows, the lengths with a small histogram, what is cut, left out
// or repeated.
std::string report_text(const DatasetReport& report, int64_t max_length);

}  // namespace masbak::trainer
