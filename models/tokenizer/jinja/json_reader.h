// JSON text straight to values of the interpreter: what rendering many conversations spends much of its time on.
#pragma once

#include <optional>
#include <string_view>

#include "models/tokenizer/jinja/value.h"

namespace masbak::models::jinja {

// Nothing if the text is not plain, valid JSON (RFC 8259, UTF-8, no key twice in one object): base::parse_json then
// says why. Integers of any size stay exact. LimitError if it nests deeper than kDeepestValue.
std::optional<Value> read_json_value(std::string_view text);

// A JSON string with its quotes, as Python's json.dumps writes it; `ascii`: with escapes for all else.
void append_json_string(std::string& out, std::string_view text, bool ascii);

}  // namespace masbak::models::jinja
