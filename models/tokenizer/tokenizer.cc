#include "models/tokenizer/tokenizer.h"

#include <algorithm>
#include <functional>

#include "base/error.h"
#include "models/tokenizer/added_tokens.h"
#include "models/tokenizer/config.h"
#include "models/tokenizer/decoder.h"
#include "models/tokenizer/normalizer.h"
#include "models/tokenizer/parallel.h"
#include "models/tokenizer/post_processor.h"
#include "models/tokenizer/pre_tokenizer.h"
#include "models/tokenizer/special_names.h"
#include "models/tokenizer/token_model.h"
#include "models/tokenizer/tokenizer_files.h"
#include "models/tokenizer/unicode.h"

namespace masbak::models {

struct Tokenizer::State {
  std::unique_ptr<Normalizer> normalizer;
  std::unique_ptr<PreTokenizer> pre_tokenizer;
  std::unique_ptr<TokenModel> model;
  std::unique_ptr<Decoder> decoder;
  std::unique_ptr<AddedTokens> added;
  PostProcessor post;
  SpecialNames names;
  std::optional<int32_t> bos, pad;
  std::vector<int32_t> eos;
  size_t size = 0;
  bool clean_up = false;  // transformers' clean_up_tokenization_spaces

  std::optional<int32_t> id(std::string_view token) const {
    auto found = added->id(token);
    return found ? found : model->id(token);
  }

  const std::string* token(int32_t id) const {
    if (const std::string* content = added->decoded(id)) return content;
    const auto& tokens = model->tokens();
    if (id < 0 || static_cast<size_t>(id) >= tokens.size() || !tokens[static_cast<size_t>(id)]) return nullptr;
    return &*tokens[static_cast<size_t>(id)];
  }

  void name_special_tokens() {
    auto named = [&](const std::string& name) -> std::optional<int32_t> {
      std::string content = names.get(name);
      return content.empty() ? std::nullopt : id(content);
    };
    bos = named("bos_token");
    pad = named("pad_token");
    if (auto first = named("eos_token")) eos.push_back(*first);
    for (int32_t id : names.eos_ids) {
      if (std::find(eos.begin(), eos.end(), id) == eos.end()) eos.push_back(id);
    }
  }

  // Ids of a stretch of text without added tokens.
  void encode_plain(std::string text, bool at_start, std::vector<int32_t>& ids) const {
    if (text.empty()) return;
    Pieces pieces;
    pieces.text = std::move(text);
    pieces.ranges.push_back({0, pieces.text.size(), at_start});
    if (pre_tokenizer) pre_tokenizer->apply(pieces);
    for (const Pieces::Range& range : pieces.ranges) model->encode(pieces.view(range), pieces.bytes, ids);
  }
};

namespace {

// BOS and EOS as tokenizer_config asks for them: where there is no tokenizer.json to say it.
TokenizerJson marks_template(const SpecialNames& names, const std::function<std::optional<int32_t>(std::string)>& id) {
  TokenizerJson single = TokenizerJson::array(), special = TokenizerJson::object();
  auto mark = [&](bool wanted, const char* name) {
    const std::string token = names.get(name);
    const auto number = wanted && !token.empty() ? id(token) : std::nullopt;
    if (!number) return;
    single.push_back({{"SpecialToken", {{"id", token}}}});
    special[token] = {{"ids", TokenizerJson::array({*number})}};
  };
  mark(names.add_bos_token, "bos_token");
  single.push_back({{"Sequence", {{"id", "A"}}}});
  mark(names.add_eos_token, "eos_token");
  return {{"type", "TemplateProcessing"}, {"single", std::move(single)}, {"special_tokens", std::move(special)}};
}

}  // namespace

Tokenizer Tokenizer::load(const std::filesystem::path& folder) {
  return from_document(read_tokenizer_document(folder));
}

Tokenizer Tokenizer::from_document(TokenizerDocument document) {
  Config config(document.json, document.file.string());
  if (!document.json.is_object()) config.fail("expected an object, found another value");
  auto state = std::make_shared<State>();
  state->names = std::move(document.names);
  if (config.has("normalizer")) state->normalizer = make_normalizer(config.child("normalizer"));
  if (config.has("pre_tokenizer")) state->pre_tokenizer = make_pre_tokenizer(config.child("pre_tokenizer"));
  state->model = make_token_model(config.child("model"));
  state->added = std::make_unique<AddedTokens>(*state->model, state->normalizer.get());
  state->added->add_all(config);
  state->added->add(tokens_to_add(state->names, *state->added));
  state->added->split_special_tokens(state->names.split_special_tokens);
  if (config.has("decoder")) state->decoder = make_decoder(config.child("decoder"));
  if (document.file.extension() == ".json") {
    state->post = PostProcessor(config.child("post_processor"));
  } else {
    auto id = [&](const std::string& token) { return state->id(token); };
    const TokenizerJson marks = marks_template(state->names, id);
    state->post = PostProcessor(Config(marks, document.file.string(), "post_processor"));
  }
  const bool merges = config.child("model").has("merges");
  state->clean_up = state->names.clean_up_tokenization_spaces && !merges;
  state->size = state->model->size();
  for (const auto& [id, token] : state->added->tokens()) state->size += !state->model->id(token.content);
  state->name_special_tokens();
  return Tokenizer(std::move(state));
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  if (size_t valid = valid_utf8_prefix(text); valid < text.size()) {
    base::fail_input("expected UTF-8, found an ill-formed byte at offset " + std::to_string(valid) +
                     "; convert the text to UTF-8");
  }
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 4 + 8);
  for (const AddedSplit& raw : state_->added->split(text, false)) {
    if (raw.id >= 0) {
      ids.push_back(raw.id);
      continue;
    }
    std::string part(text.substr(raw.begin, raw.end - raw.begin));
    bool begins = raw.begin == 0;
    if (state_->normalizer) part = state_->normalizer->apply(std::move(part), begins);
    std::vector<AddedSplit> inner = state_->added->split(part, true);
    for (const AddedSplit& split : inner) {
      if (split.id >= 0) {
        ids.push_back(split.id);
      } else {
        bool whole = inner.size() == 1;
        bool at_start = begins && split.begin == 0;
        state_->encode_plain(whole ? std::move(part) : part.substr(split.begin, split.end - split.begin), at_start,
                             ids);
        if (whole) break;
      }
    }
  }
  return state_->post.apply(std::move(ids), add_special_tokens);
}

std::vector<std::vector<int32_t>> Tokenizer::encode_batch(const std::vector<std::string_view>& texts,
                                                          bool add_special_tokens, int threads) const {
  std::vector<std::vector<int32_t>> all(texts.size());
  parallel_for(texts.size(), threads, [&](size_t i) { all[i] = encode(texts[i], add_special_tokens); });
  return all;
}

std::string Tokenizer::decode(const std::vector<int32_t>& ids, bool skip_special_tokens) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (int32_t id : ids) {
    const std::string* token = state_->token(id);
    if (token == nullptr) {
      throw base::Error(base::Code::kOutOfRange, "expected ids of this tokenizer (" + std::to_string(state_->size) +
                                                     " tokens), found " + std::to_string(id) +
                                                     "; decode with the tokenizer that made them");
    }
    if (!skip_special_tokens || !state_->added->is_special(*token)) tokens.push_back(*token);
  }
  if (state_->decoder) state_->decoder->apply(tokens);
  std::string text;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0 && !state_->decoder) text += ' ';
    text += tokens[i];
  }
  if (state_->clean_up) clean_up_text(text);
  return text;
}

size_t Tokenizer::vocabulary_size() const { return state_->size; }
std::optional<int32_t> Tokenizer::token_id(std::string_view token) const { return state_->id(token); }
std::optional<int32_t> Tokenizer::bos_id() const { return state_->bos; }
const std::vector<int32_t>& Tokenizer::eos_ids() const { return state_->eos; }
std::optional<int32_t> Tokenizer::pad_id() const { return state_->pad; }
std::string Tokenizer::bos_token() const { return state_->names.get("bos_token"); }
std::string Tokenizer::eos_token() const { return state_->names.get("eos_token"); }

}  // namespace masbak::models
