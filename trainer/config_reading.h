// Numbers and choices of a run file, each checked against its range, with errors that say what there is.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "base/document.h"

namespace masbak::trainer {

[[noreturn]] void fail_unimplemented(const base::Fields& fields, const std::string& key, const std::string& message);

// The number in as many digits as bring it back exactly.
std::string number_text(double value);

// A number in [low, high], or in (low, high] if `open_below`. INVALID_ARGUMENT otherwise.
double read_number(const base::Fields& fields, const std::string& key, double fallback, double low, double high,
                   bool open_below = false);

// A whole number in [low, high].
int64_t read_count(const base::Fields& fields, const std::string& key, int64_t fallback, int64_t low,
                   int64_t high = std::numeric_limits<int32_t>::max());

// Bytes: a whole number of them, or one with a unit such as 12GiB, 512 MiB or 1.5GB. At least one.
int64_t read_bytes(const base::Fields& fields, const std::string& key, int64_t fallback);

// One of `known`; one of `later` is UNIMPLEMENTED, another INVALID_ARGUMENT with the nearest.
std::string read_choice(const base::Fields& fields, const std::string& key, const std::string& fallback,
                        const std::vector<std::string>& known, const std::vector<std::string>& later = {});

}  // namespace masbak::trainer
