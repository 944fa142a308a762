#include "models/tokenizer/tokenizer_files.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "base/document.h"
#include "models/tokenizer/sentencepiece.h"
#include "models/tokenizer/tiktoken.h"

namespace masbak::models {
namespace {

constexpr int kDeepest = 100;

std::string read_text(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) base::fail_errno("opening the tokenizer", file.string());
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

std::filesystem::path find_vocabulary(const std::filesystem::path& folder) {
  for (const char* name : {"tokenizer.json", "tokenizer.model", "tiktoken.model"}) {
    if (std::filesystem::exists(folder / name)) return folder / name;
  }
  std::vector<std::filesystem::path> found;
  if (std::filesystem::is_directory(folder)) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().extension() == ".tiktoken") found.push_back(entry.path());
    }
  }
  if (found.empty()) {
    throw base::Error(base::Code::kNotFound,
                      "expected tokenizer.json, tokenizer.model or tiktoken.model in the model folder, found none; "
                      "give a folder of Hugging Face's format",
                      {.file = (folder / "tokenizer.json").string()});
  }
  return *std::min_element(found.begin(), found.end());
}

}  // namespace

TokenizerJson parse_tokenizer_json(const std::string& text, const std::string& file) {
  try {
    return TokenizerJson::parse(text, [&](int depth, TokenizerJson::parse_event_t, TokenizerJson&) {
      if (depth <= kDeepest) return true;
      throw base::Error(base::Code::kInvalidArgument,
                        "expected JSON of at most " + std::to_string(kDeepest) +
                            " levels, found deeper nesting; take the file from the model's publisher again",
                        {.file = file});
    });
  } catch (const nlohmann::json::exception&) {
    base::parse_json(text, file);  // the slower reader, which says where
    base::fail_input("expected JSON, found another text", {.file = file});
  }
}

TokenizerDocument read_tokenizer_document(const std::filesystem::path& folder) {
  TokenizerDocument document;
  document.file = find_vocabulary(folder);
  document.names = read_special_names(folder);
  const std::string file = document.file.string(), text = read_text(document.file);
  if (document.file.extension() == ".json") {
    document.json = parse_tokenizer_json(text, file);
  } else if (document.file.filename() == "tokenizer.model" && text.starts_with('\n')) {
    // The first field of a SentencePiece model has this key; no line of tiktoken begins so.
    document.json = sentencepiece_document(parse_sentencepiece(text, file), file, document.names);
  } else {
    document.json = tiktoken_document(parse_tiktoken(text, file), file, document.names);
  }
  return document;
}

}  // namespace masbak::models
