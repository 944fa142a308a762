// Comma-separated values (RFC 4180) as rows of a dataset.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "trainer/data/byte_source.h"
#include "trainer/data/row_source.h"

namespace masbak::trainer {

// The one of , ; tab and | that the first record has most of outside quotes; `fallback` if it has none.
char csv_separator(std::string_view head, char fallback);

// The first record is a header that has the fields of a format.
bool looks_like_csv(std::string_view head);

// The rows after the header. INVALID_ARGUMENT for a header with an empty, repeated or invalid name.
std::unique_ptr<RowSource> open_csv(ByteStream bytes, const std::string& name, char separator);

}  // namespace masbak::trainer
