#include "models/checkpoint/adopt/tokenizer_files.h"

#include <set>

namespace masbak::models {
namespace {

using base::Code;
using base::Error;
using base::Json;

// Token types of GGUF that matter here; the others are ordinary pieces of text.
constexpr int64_t kControl = 3, kUserDefined = 4;

Json byte_level(bool add_prefix_space) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", add_prefix_space}, {"trim_offsets", true}, {"use_regex", true}};
}

// What the name in tokenizer.ggml.pre stands for. GGUF does not hold the rule itself.
Json pre_tokenizer(const GgufFile& file) {
  const std::string key = "tokenizer.ggml.pre";
  const auto name = file.get<std::string>(key);
  if (name == "gpt-2") return byte_level(false);
  // Every digit by itself, then the words of GPT-2.
  if (name == "smollm" || name == "starcoder" || name == "refact") {
    return {{"type", "Sequence"},
            {"pretokenizers", {Json{{"type", "Digits"}, {"individual_digits", true}}, byte_level(false)}}};
  }
  throw Error(Code::kUnimplemented,
              "the pre-tokenizer \"" + name + "\" is not known; expected smollm, starcoder, refact or gpt-2",
              {file.path().string(), 0, key});
}

// "left right", where only the blank in the middle separates: pieces of byte-level BPE hold none.
Json split_merge(const GgufFile& file, const std::string& merge) {
  const size_t blank = merge.find(' ');
  if (blank == std::string::npos || blank == 0 || blank + 1 == merge.size() ||
      merge.find(' ', blank + 1) != std::string::npos) {
    base::fail_input("a merge must be two pieces with a blank between, found \"" + merge + "\"",
                     {file.path().string(), 0, "tokenizer.ggml.merges"});
  }
  return {merge.substr(0, blank), merge.substr(blank + 1)};
}

Json vocabulary(const GgufFile& file, const std::vector<std::string>& tokens) {
  // Filled directly: a look-up by key in an ordered object is linear, 49,152 of them take a minute.
  std::set<std::string> seen;
  Json vocab = Json::object();
  auto& entries = vocab.get_ref<Json::object_t&>();
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (!seen.insert(tokens[id]).second) {
      base::fail_input("the vocabulary holds \"" + tokens[id] + "\" twice",
                       {file.path().string(), 0, "tokenizer.ggml.tokens"});
    }
    entries.push_back({tokens[id], Json(id)});
  }
  return vocab;
}

Json added_tokens(const GgufFile& file, const std::vector<std::string>& tokens) {
  const std::string key = "tokenizer.ggml.token_type";
  Json added = Json::array();
  if (!file.has(key)) return added;
  const auto types = file.get<std::vector<int64_t>>(key);
  if (types.size() != tokens.size()) {
    base::fail_input("expected a type for each of the " + std::to_string(tokens.size()) + " tokens, found " +
                         std::to_string(types.size()),
                     {file.path().string(), 0, key});
  }
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (types[id] != kControl && types[id] != kUserDefined) continue;
    added.push_back({{"id", id},
                     {"content", tokens[id]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", types[id] == kControl}});
  }
  return added;
}

// The text of the token whose id stands under `key`, null if there is none.
Json token_of(const GgufFile& file, const std::vector<std::string>& tokens, const std::string& key) {
  if (!file.has(key)) return nullptr;
  const auto id = file.get<int64_t>(key);
  if (id < 0 || id >= static_cast<int64_t>(tokens.size())) {
    base::fail_input("the token id " + std::to_string(id) + " lies outside the vocabulary",
                     {file.path().string(), 0, key});
  }
  return tokens[id];
}

Json post_processor(const GgufFile& file, const std::vector<std::string>& tokens) {
  if (!file.get<bool>("tokenizer.ggml.add_bos_token", false)) return nullptr;
  const Json bos = token_of(file, tokens, "tokenizer.ggml.bos_token_id");
  if (bos.is_null()) {
    base::fail_input("a first token is to be added, but tokenizer.ggml.bos_token_id does not say which",
                     {file.path().string(), 0, "tokenizer.ggml.add_bos_token"});
  }
  const auto part = [](const char* kind, const Json& id, int type) {
    return Json{{kind, {{"id", id}, {"type_id", type}}}};
  };
  const Json first = part("SpecialToken", bos, 0), a = part("Sequence", "A", 0);
  return {{"type", "TemplateProcessing"},
          {"single", Json::array({first, a})},
          {"pair", Json::array({first, a, part("SpecialToken", bos, 1), part("Sequence", "B", 1)})},
          {"special_tokens",
           {{bos.get<std::string>(),
             {{"id", bos},
              {"ids", Json::array({file.get<int64_t>("tokenizer.ggml.bos_token_id")})},
              {"tokens", Json::array({bos})}}}}}};
}

}  // namespace

Json tokenizer_json(const GgufFile& file) {
  const auto model = file.get<std::string>("tokenizer.ggml.model");
  if (model != "gpt2") {
    throw Error(Code::kUnimplemented,
                "only byte-level BPE tokenizers (\"gpt2\") can be adopted, but this one is \"" + model + "\"",
                {file.path().string(), 0, "tokenizer.ggml.model"});
  }
  const auto tokens = file.get<std::vector<std::string>>("tokenizer.ggml.tokens");
  Json merges = Json::array();
  for (const std::string& merge : file.get<std::vector<std::string>>("tokenizer.ggml.merges")) {
    merges.push_back(split_merge(file, merge));
  }
  Json tokenizer{{"version", "1.0"},
                 {"truncation", nullptr},
                 {"padding", nullptr},
                 {"added_tokens", added_tokens(file, tokens)},
                 {"normalizer", nullptr},
                 {"pre_tokenizer", pre_tokenizer(file)},
                 {"post_processor", post_processor(file, tokens)},
                 {"decoder", byte_level(true)}};
  tokenizer["model"] = {{"type", "BPE"},
                        {"dropout", nullptr},
                        {"unk_token", nullptr},
                        {"continuing_subword_prefix", nullptr},
                        {"end_of_word_suffix", nullptr},
                        {"fuse_unk", false},
                        {"byte_fallback", false},
                        {"ignore_merges", false}};
  tokenizer["model"]["vocab"] = vocabulary(file, tokens);
  tokenizer["model"]["merges"] = std::move(merges);
  return tokenizer;
}

Json tokenizer_config_json(const GgufFile& file, int64_t max_positions) {
  const auto tokens = file.get<std::vector<std::string>>("tokenizer.ggml.tokens");
  const std::pair<const char*, const char*> names[] = {{"bos_token", "tokenizer.ggml.bos_token_id"},
                                                       {"eos_token", "tokenizer.ggml.eos_token_id"},
                                                       {"pad_token", "tokenizer.ggml.padding_token_id"},
                                                       {"unk_token", "tokenizer.ggml.unknown_token_id"}};
  Json config{{"tokenizer_class", "PreTrainedTokenizerFast"},
              {"model_max_length", max_positions},
              {"add_prefix_space", file.get<bool>("tokenizer.ggml.add_space_prefix", false)},
              {"clean_up_tokenization_spaces", false}};
  for (const auto& [name, key] : names) {
    const Json token = token_of(file, tokens, key);
    if (!token.is_null()) config[name] = token;
  }
  if (file.has("tokenizer.chat_template")) {
    config["chat_template"] = file.get<std::string>("tokenizer.chat_template");
  }
  return config;
}

}  // namespace masbak::models
