// A training example as people look at it: its text, and which parts of it are learnt.
#pragma once

#include <string>

#include "base/document.h"
#include "models/tokenizer/tokenizer.h"
#include "trainer/data/examples.h"

namespace masbak::trainer {

// {"line", "tokens", "pieces": [{"text", "learnt"}, …]}, of a preference pair also "rejected". A piece ends where the
// mask changes; a character that lies on both sides of a border shows as U+FFFD.
base::Json sample_json(const TokenView& example, const models::Tokenizer& tokenizer);

// The same for a terminal, at most `most_bytes` of text: with `colours` what is learnt is green, else it stands in
// ⟦ ⟧. Control characters are written out, so that a row cannot command the terminal.
std::string sample_text(const base::Json& sample, bool colours, size_t most_bytes);

}  // namespace masbak::trainer
