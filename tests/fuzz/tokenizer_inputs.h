// What the targets for tokenizers do with one: texts through it and back.
#pragma once

#include <string>
#include <vector>

#include "models/tokenizer/tokenizer.h"
#include "models/tokenizer/tokenizer_files.h"
#include "tests/fuzz/harness.h"

namespace masbak::fuzz {

// A text or a list of ids may be refused, as long as it is done clearly; the others still are to go through.
inline void use_tokenizer(const models::Tokenizer& tokenizer) {
  std::vector<int32_t> few;
  for (int32_t id = 0; id < 64; ++id) few.push_back(id);
  for (const char* text :
       {"", " ", "The pump's 3.2 bar\n\n  ok", "صَبُّ الفولاذ ٣٫٢", "größe ﬁ e\u0301 👩‍🏭 換熱器カナ",
        "<s>aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa</s>", "\x01\x7f\u200d\U0010FFFF"}) {
    std::vector<int32_t> ids;
    expect_clear_errors([&] { ids = tokenizer.encode(text, true); });
    expect_clear_errors([&] { tokenizer.decode(ids, true); });
  }
  for (int32_t id : few) expect_clear_errors([&] { tokenizer.decode({id, id}); });
  expect_clear_errors([&] { tokenizer.decode(few); });
}

}  // namespace masbak::fuzz
