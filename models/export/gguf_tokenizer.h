// A tokenizer as metadata of a GGUF file.
#pragma once

#include <filesystem>

#include "models/export/gguf_writer.h"

namespace masbak::models {

// tokenizer.ggml.* and tokenizer.chat_template of a model folder with `vocabulary` rows in its embedding. GGUF names
// the rule by which text is cut into words and does not hold it: UNIMPLEMENTED, with the rule, where llama.cpp has no
// name for it, and for what it would cut otherwise. NOT_FOUND if the folder has no tokenizer.
void put_tokenizer(const std::filesystem::path& folder, const std::string& family, int64_t vocabulary, GgufWriter& out);

}  // namespace masbak::models
