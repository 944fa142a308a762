// Scripts as tokenizers' pre-tokenizer UnicodeScripts tells them apart: numbers without names.
#pragma once

namespace masbak::models {

constexpr int kNoScript = -2;   // of no character
constexpr int kAnyScript = -1;  // goes with its neighbours

int script_of(char32_t point);

}  // namespace masbak::models
