#include "models/export/gguf_tokenizer.h"

#include <algorithm>
#include <array>
#include <map>

#include "base/error.h"
#include "models/tokenizer/chat_template_files.h"
#include "models/tokenizer/tokenizer.h"
#include "models/tokenizer/tokenizer_files.h"

namespace masbak::models {
namespace {

// Token types of GGUF.
enum TokenType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

// The expressions as the tokenizer.json of Llama 3, Qwen 2 and DeepSeek-V3 have them.
constexpr const char* kLlama3 =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr const char* kQwen2 =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr const char* kDeepseek3 =
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
    "?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+";

struct Rule {
  std::vector<std::string> steps;
  int ignore_merges;   // 0, 1, or -1: the rule does not depend on it
  bool normalised;     // with NFC in front
  const char* family;  // "" for any
  const char* name;    // tokenizer.ggml.pre
};

const std::vector<Rule>& rules() {
  static const std::vector<Rule> kRules{
      {{"words"}, 0, false, "", "gpt-2"},
      {{"words"}, 0, true, "", "olmo"},
      {{"digits", "words"}, 0, false, "", "smollm"},
      {{kLlama3, "bytes"}, 1, false, "glm4_moe_lite", "glm4"},
      {{kLlama3, "bytes"}, 0, false, "glm4_moe_lite", "chatglm-bpe"},
      {{kLlama3, "bytes"}, 1, false, "", "llama-bpe"},
      {{kLlama3, "bytes"}, 0, false, "", "smaug-bpe"},
      {{kQwen2, "bytes"}, 0, false, "", "qwen2"},
      {{kQwen2, "bytes"}, 0, true, "", "qwen2"},
      {{"\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", kDeepseek3, "bytes"}, 0, false, "", "deepseek-v3"},
  };
  return kRules;
}

[[noreturn]] void refuse(const std::filesystem::path& file, const std::string& field, const std::string& message) {
  throw base::Error(base::Code::kUnimplemented,
                    message +
                        "; llama.cpp has no name for this, so the file would cut texts "
                        "otherwise. --no-tokenizer leaves the tokenizer out",
                    {file.string(), 0, field});
}

// One step of the pre-tokenizer in the words of `rules`: an expression, "digits" (each by itself), "words" (GPT-2's
// split, then bytes) or "bytes".
std::string step_of(const TokenizerJson& step, const std::filesystem::path& file) {
  const std::string type = step.value("type", "");
  if (type == "ByteLevel") {
    if (step.value("add_prefix_space", true)) refuse(file, "pre_tokenizer", "a blank in front of each text");
    return step.value("use_regex", true) ? "words" : "bytes";
  }
  if (type == "Digits" && step.value("individual_digits", false)) return "digits";
  if (type == "Split" && step.value("behavior", "") == "Isolated" && !step.value("invert", false) &&
      step["pattern"].contains("Regex")) {
    return step["pattern"]["Regex"].get<std::string>();
  }
  refuse(file, "pre_tokenizer", "a pre-tokenizer step of type \"" + type + "\"");
}

// A list of kinds, whether it stands alone or in a Sequence.
std::vector<TokenizerJson> parts_of(const TokenizerJson& json, const char* field, const char* list) {
  if (!json.contains(field) || json[field].is_null()) return {};
  if (json[field].value("type", "") != "Sequence") return {json[field]};
  std::vector<TokenizerJson> parts;
  for (const TokenizerJson& part : json[field][list]) parts.push_back(part);
  return parts;
}

std::string pre_tokenizer_name(const TokenizerDocument& document, const std::string& family) {
  bool normalised = false;
  for (const TokenizerJson& part : parts_of(document.json, "normalizer", "normalizers")) {
    if (part.value("type", "") != "NFC") {
      refuse(document.file, "normalizer", "a normalizer of type \"" + part.value("type", "") + "\"");
    }
    normalised = true;
  }
  std::vector<std::string> steps;
  for (const TokenizerJson& part : parts_of(document.json, "pre_tokenizer", "pretokenizers")) {
    steps.push_back(step_of(part, document.file));
  }
  const TokenizerJson& model = document.json["model"];
  const int ignore_merges = model.contains("ignore_merges") && model["ignore_merges"] == true ? 1 : 0;
  for (const Rule& rule : rules()) {
    const bool here = *rule.family == '\0' || family == rule.family;
    if (here && rule.steps == steps && rule.normalised == normalised && rule.ignore_merges == ignore_merges) {
      return rule.name;
    }
  }
  std::string found;
  for (const std::string& step : steps) found += (found.empty() ? "" : ", ") + step;
  refuse(document.file, "pre_tokenizer", "the pre-tokenizer [" + found + "]");
}

struct Vocabulary {
  std::vector<std::string> texts;
  std::vector<int32_t> types;
};

Vocabulary vocabulary_of(const TokenizerDocument& document, int64_t size, bool bytes_in_brackets) {
  Vocabulary result{std::vector<std::string>(static_cast<size_t>(size)),
                    std::vector<int32_t>(static_cast<size_t>(size), kUnused)};
  const auto put = [&](int64_t id, const std::string& text, int32_t type) {
    if (id < 0 || id >= size) {
      base::fail_input("token \"" + text + "\" has the id " + std::to_string(id) + ", but the model knows " +
                           std::to_string(size) + " tokens",
                       {document.file.string(), 0, "model.vocab"});
    }
    result.texts[static_cast<size_t>(id)] = text;
    result.types[static_cast<size_t>(id)] = type;
  };
  const TokenizerJson& model = document.json["model"];
  const bool has_unknown = model.contains("unk_token") && model["unk_token"].is_string();
  const std::string unknown = has_unknown ? model["unk_token"].get<std::string>() : "";
  for (const auto& [text, id] : model["vocab"].items()) {
    const bool byte = bytes_in_brackets && text.size() == 6 && text.starts_with("<0x") && text.ends_with(">");
    put(id.get<int64_t>(), text, has_unknown && text == unknown ? kUnknown : byte ? kByte : kNormal);
  }
  for (const TokenizerJson& token : document.json.value("added_tokens", TokenizerJson::array())) {
    const auto text = token["content"].get<std::string>();
    const bool plain_unknown = bytes_in_brackets && has_unknown && text == unknown;
    put(token["id"].get<int64_t>(), text,
        plain_unknown                   ? kUnknown
        : token.value("special", false) ? kControl
                                        : kUserDefined);
  }
  for (size_t id = 0; id < result.texts.size(); ++id) {
    if (result.types[id] == kUnused) result.texts[id] = "[PAD" + std::to_string(id) + "]";
  }
  return result;
}

std::vector<std::pair<std::string, std::string>> merges_of(const TokenizerDocument& document) {
  std::vector<std::pair<std::string, std::string>> merges;
  for (const TokenizerJson& merge : document.json["model"]["merges"]) {
    if (merge.is_array()) {
      merges.push_back({merge[0].get<std::string>(), merge[1].get<std::string>()});
      continue;
    }
    const auto text = merge.get<std::string>();
    const size_t blank = text.find(' ', 1);
    merges.push_back({text.substr(0, blank), text.substr(blank + 1)});
  }
  return merges;
}

// The merges of SentencePiece's BPE follow from the scores of the pieces: the better piece is made first. The merges
// of its tokenizer.json stand in that order.
std::vector<float> scores_of(const TokenizerDocument& document, const Vocabulary& vocabulary) {
  std::map<std::string, float> by_text;
  float score = 0;
  for (const auto& [left, right] : merges_of(document)) {
    if (by_text.emplace(left + right, score).second) score -= 1;
  }
  std::vector<float> scores;
  for (size_t id = 0; id < vocabulary.texts.size(); ++id) {
    const auto found = by_text.find(vocabulary.texts[id]);
    const bool piece = vocabulary.types[id] == kNormal;
    scores.push_back(found != by_text.end() ? found->second : piece ? score - static_cast<float>(id) : 0.0F);
  }
  return scores;
}

// Whether SentencePiece's scheme puts a blank in front of a text: the normalizer of older files, or Metaspace.
bool adds_blank(const TokenizerDocument& document) {
  bool prepends = false, replaces = false;
  for (const TokenizerJson& part : parts_of(document.json, "normalizer", "normalizers")) {
    const std::string type = part.value("type", "");
    const bool replace = type == "Replace" && part["pattern"] == TokenizerJson{{"String", " "}};
    if (type == "Prepend" && part.value("prepend", "") == "▁") {
      prepends = true;
    } else if (replace && part.value("content", "") == "▁") {
      replaces = true;
    } else {
      refuse(document.file, "normalizer", "a normalizer of type \"" + type + "\"");
    }
  }
  for (const TokenizerJson& part : parts_of(document.json, "pre_tokenizer", "pretokenizers")) {
    if (part.value("type", "") != "Metaspace" || part.value("replacement", "▁") != "▁") {
      refuse(document.file, "pre_tokenizer", "a pre-tokenizer step of type \"" + part.value("type", "") + "\"");
    }
    prepends |= part.value("prepend_scheme", "always") != "never";
    replaces = true;
  }
  if (!replaces) refuse(document.file, "normalizer", "byte fallback without blanks written as ▁");
  return prepends;
}

void put_special_tokens(const TokenizerDocument& document, const Tokenizer& tokenizer, GgufWriter& out) {
  const auto put = [&](const char* name, const char* key) {
    const auto id = tokenizer.token_id(document.names.get(name));
    if (id && !document.names.get(name).empty()) out.put(key, static_cast<uint32_t>(*id));
  };
  put("bos_token", "tokenizer.ggml.bos_token_id");
  put("eos_token", "tokenizer.ggml.eos_token_id");
  put("unk_token", "tokenizer.ggml.unknown_token_id");
  put("pad_token", "tokenizer.ggml.padding_token_id");
  const auto named = tokenizer.token_id(document.names.get("eos_token"));
  for (const int32_t id : tokenizer.eos_ids()) {
    if (named && id != *named) {
      out.put("tokenizer.ggml.eot_token_id", static_cast<uint32_t>(id));
      break;
    }
  }
  // What the post-processor adds is seen best by asking.
  const std::vector<int32_t> plain = tokenizer.encode("a"), whole = tokenizer.encode("a", true);
  const auto bos = tokenizer.bos_id();
  const bool first = bos && whole.front() == *bos && plain.front() != *bos;
  const bool last = named && whole.back() == *named && plain.back() != *named;
  if (whole.size() != plain.size() + (first ? 1 : 0) + (last ? 1 : 0)) {
    refuse(document.file, "post_processor", "tokens around a text that are neither bos_token nor eos_token");
  }
  out.put("tokenizer.ggml.add_bos_token", first);
  out.put("tokenizer.ggml.add_eos_token", last);
}

}  // namespace

void put_tokenizer(const std::filesystem::path& folder, const std::string& family, int64_t vocabulary,
                   GgufWriter& out) {
  const Tokenizer tokenizer = Tokenizer::load(folder);  // refuses a damaged one
  const TokenizerDocument document = read_tokenizer_document(folder);
  const TokenizerJson& model = document.json["model"];
  const std::string type = model.value("type", "BPE");
  if (type != "BPE") refuse(document.file, "model.type", "a tokenizer of type " + type);
  const bool pieces = model.value("byte_fallback", false);
  const Vocabulary tokens = vocabulary_of(document, vocabulary, pieces);
  if (pieces) {
    out.put("tokenizer.ggml.model", "llama");
    out.put("tokenizer.ggml.pre", "default");
    out.put("tokenizer.ggml.add_space_prefix", adds_blank(document));
    out.put("tokenizer.ggml.scores", scores_of(document, tokens));
  } else {
    const std::string name = pre_tokenizer_name(document, family);
    std::vector<std::string> merges;
    for (const auto& [left, right] : merges_of(document)) merges.push_back(left + " " + right);
    out.put("tokenizer.ggml.model", "gpt2");
    out.put("tokenizer.ggml.pre", name);
    out.put("tokenizer.ggml.merges", merges);
  }
  out.put("tokenizer.ggml.tokens", tokens.texts);
  out.put("tokenizer.ggml.token_type", tokens.types);
  put_special_tokens(document, tokenizer, out);
  const ChatTemplateSources templates = read_chat_templates(folder);
  const auto main = templates.by_name.find("default");
  if (main != templates.by_name.end()) out.put("tokenizer.chat_template", main->second.text);
}

}  // namespace masbak::models
