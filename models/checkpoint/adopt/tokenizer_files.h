// tokenizer.json and tokenizer_config.json of Hugging Face, rebuilt from the metadata of a GGUF file.
#pragma once

#include "base/document.h"
#include "models/checkpoint/gguf.h"

namespace masbak::models {

// tokenizer.json for a byte-level BPE tokenizer. UNIMPLEMENTED for another kind of tokenizer or an unknown
// pre-tokenizer (key tokenizer.ggml.pre): a wrong split of the text would change every prompt unnoticed.
// INVALID_ARGUMENT for metadata that contradict themselves.
base::Json tokenizer_json(const GgufFile& file);

// tokenizer_config.json: the special tokens by name, the chat template, the longest text.
base::Json tokenizer_config_json(const GgufFile& file, int64_t max_positions);

}  // namespace masbak::models
