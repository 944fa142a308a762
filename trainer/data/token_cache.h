// Datasets as token ids, made once and read again by later runs.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "trainer/data/dataset.h"

namespace masbak::trainer {

// What is said of a file's rows: in memory, or in a file of the cache.
class RowNotes {
 public:
  RowNotes() = default;
  explicit RowNotes(std::vector<RowNote> notes) : notes_(std::move(notes)) {}
  explicit RowNotes(std::filesystem::path file) : file_(std::move(file)) {}
  void for_each(const NoteSink& sink) const;

 private:
  std::vector<RowNote> notes_;
  std::filesystem::path file_;  // JSON Lines
};

struct LoadedDataset {
  Examples examples;
  DatasetReport report;
  RowNotes notes;
  std::string digest;   // of the file
  bool reused = false;  // from the cache
};

// The tokens of a file. A small file is tokenised in memory. Of a larger one the tokens are kept in
//     $MASBAK_CACHE/tokens/KEY/ (or ~/.cache/masbak/tokens/KEY/): tokens, index, notes.jsonl, report.json
// where KEY is a digest over the file's content, its name's ending, the tokenizer's files and the chat template, every
// option that has a part in the tokens, and this program. It appears whole or not at all; two runs may make it at the
// same time. When the cache outgrows MASBAK_TOKEN_CACHE_BYTES (50 GB if not set), what has not been used for longest
// and is not in use is removed; `said` gets a line about anything that takes long or is removed.
//
// INVALID_ARGUMENT as read_dataset says; RESOURCE_EXHAUSTED on a full disk.
LoadedDataset load_dataset(const std::filesystem::path& file, const std::filesystem::path& model,
                           const DatasetOptions& options, const std::function<void(const std::string&)>& said);

}  // namespace masbak::trainer
