// A base model with an adapter merged in, as a Hugging Face folder of its own.
#pragma once

#include <filesystem>

namespace masbak::adapters {

// Writes `out` durably: every weight file of `model` with W + ΔW in place of W (the sum in float32, rounded once to
// the file's type), and every other file of the folder as it is. Holds at most the changed tensors of one weight file
// in memory. ALREADY_EXISTS if `out` holds something; UNIMPLEMENTED if a target has no known place in the files. With
// `check` the merged model is loaded afterwards, in float32, and DATA_LOSS if its logits on a few tokens are not those
// of base and adapter up to rounding; then nothing is written.
void merge_adapter(const std::filesystem::path& model, const std::filesystem::path& adapter,
                   const std::filesystem::path& out, bool check = true);

}  // namespace masbak::adapters
