// A tokenizer small enough to read: one token a byte, a few merges, two special tokens.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/document.h"
#include "base/durable_file.h"
#include "models/tokenizer/tokenizer.h"
#include "tests/base/temporary_folder.h"

namespace masbak::trainer {

// GPT-2's printable stand-ins for the 256 bytes: printable Latin-1 as it is, the others from U+0100 on.
inline std::vector<std::string> byte_symbols() {
  const auto utf8 = [](int code) {
    if (code < 0x80) return std::string(1, static_cast<char>(code));
    return std::string{static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 0x3f))};
  };
  std::vector<std::string> symbols;
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    symbols.push_back(utf8(printable ? byte : next++));
  }
  return symbols;
}

// Ids: the byte itself for 0 to 255; "Ab" 256, "hi" 257, "<bos>" 258, "<end>" 259.
inline models::Tokenizer toy_tokenizer() {
  using base::Json;
  Json vocabulary = Json::object();
  int id = 0;
  for (const std::string& symbol : byte_symbols()) vocabulary[symbol] = id++;
  vocabulary["Ab"] = id++;
  vocabulary["hi"] = id++;
  const auto special = [](int id, const char* content) {
    return Json{{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
                {"rstrip", false}, {"normalized", false}, {"special", true}};
  };
  const Json byte_level{
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  const Json tokenizer{{"version", "1.0"},
                       {"truncation", nullptr},
                       {"padding", nullptr},
                       {"added_tokens", {special(258, "<bos>"), special(259, "<end>")}},
                       {"normalizer", nullptr},
                       {"pre_tokenizer", byte_level},
                       {"post_processor", nullptr},
                       {"decoder", byte_level},
                       {"model",
                        {{"type", "BPE"},
                         {"dropout", nullptr},
                         {"unk_token", nullptr},
                         {"continuing_subword_prefix", nullptr},
                         {"end_of_word_suffix", nullptr},
                         {"fuse_unk", false},
                         {"byte_fallback", false},
                         {"ignore_merges", false},
                         {"vocab", std::move(vocabulary)},
                         {"merges", Json::array({Json::array({"A", "b"}), Json::array({"h", "i"})})}}}};
  base::TemporaryFolder folder;
  base::write_file_durably(folder / "tokenizer.json", tokenizer.dump());
  base::write_file_durably(folder / "tokenizer_config.json", Json{{"tokenizer_class", "PreTrainedTokenizerFast"},
                                                                  {"bos_token", "<bos>"},
                                                                  {"eos_token", "<end>"},
                                                                  {"clean_up_tokenization_spaces", false}}
                                                                 .dump());
  return models::Tokenizer::load(folder.path());
}

}  // namespace masbak::trainer
