#include "models/tokenizer/post_processor.h"

#include <algorithm>

#include "models/tokenizer/vocabulary.h"

namespace masbak::models {
namespace {

using Ids = std::vector<int32_t>;

int32_t read_id(const Config& id) {
  if (!id.json().is_number_integer() || id.json() < 0 || id.json() > kLargestTokenId) {
    id.fail("expected the id of a token, found " + id.json().dump());
  }
  return id.json().get<int32_t>();
}

Ids special_ids(const Config& config, const std::string& name) {
  Config special = config.child("special_tokens").child(name);
  if (special.is_null()) config.fail("expected the ids of \"" + name + "\" in special_tokens, found none");
  Ids ids;
  for (const Config& id : special.list("ids")) ids.push_back(read_id(id));
  return ids;
}

// The template for one text, or the one for two if an earlier template has already made two parts of it: this is
// how tokenizers runs templates one after the other.
std::vector<Ids> apply_template(const Config& config, const std::vector<Ids>& parts, bool add_special_tokens) {
  if (parts.empty() || parts.size() > 2) config.unimplemented("post-processor", "a template behind one of many parts");
  std::vector<Ids> result;
  for (const Config& piece : config.list(parts.size() == 1 ? "single" : "pair")) {
    if (piece.has("Sequence")) {
      const size_t index = piece.child("Sequence").string("id", "A") == "A" ? 0 : 1;
      if (index >= parts.size()) piece.fail("expected the one sequence A in a template for a single text");
      result.push_back(parts[index]);
    } else {
      Ids ids = special_ids(config, piece.child("SpecialToken").string("id"));
      if (add_special_tokens) result.push_back(std::move(ids));
    }
  }
  return result;
}

int32_t pair_id(const Config& config, const std::string& key) {
  std::vector<Config> pair = config.list(key);
  if (pair.size() != 2) config.fail("expected " + key + " as [token, id]");
  return read_id(pair[1]);
}

// [CLS] text [SEP]; of further parts, RoBERTa opens each with [SEP], too.
std::vector<Ids> apply_bert(const Config& config, std::vector<Ids> parts, bool roberta) {
  const int32_t start = pair_id(config, "cls"), end = pair_id(config, "sep");
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i == 0 || roberta) parts[i].insert(parts[i].begin(), i == 0 ? start : end);
    parts[i].push_back(end);
  }
  return parts;
}

Ids joined(const std::vector<Ids>& parts) {
  Ids all;
  for (const Ids& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

}  // namespace

PostProcessor::PostProcessor(const Config& config) : PostProcessor() {
  if (config.is_null()) return;
  with_special_ = joined(run(config, {{kText}}, true));
  plain_ = joined(run(config, {{kText}}, false));
}

std::vector<Ids> PostProcessor::run(const Config& config, std::vector<Ids> parts, bool add_special_tokens) const {
  const std::string type = config.type();
  if (type == "ByteLevel") return parts;  // moves offsets only
  if (type == "TemplateProcessing") return apply_template(config, parts, add_special_tokens);
  if (type == "RobertaProcessing" || type == "BertProcessing") {
    auto marked = apply_bert(config, parts, type == "RobertaProcessing");
    return add_special_tokens ? marked : parts;
  }
  if (type != "Sequence") config.unimplemented("post-processor", type);
  for (const Config& part : config.list("processors")) parts = run(part, std::move(parts), add_special_tokens);
  return parts;
}

std::vector<int32_t> PostProcessor::apply(std::vector<int32_t> ids, bool add_special_tokens) const {
  const Ids& row = add_special_tokens ? with_special_ : plain_;
  if (row.size() == 1 && row[0] == kText) return ids;
  if (std::count(row.begin(), row.end(), kText) == 1) {
    const auto text = std::find(row.begin(), row.end(), kText);
    ids.insert(ids.begin(), row.begin(), text);
    ids.insert(ids.end(), text + 1, row.end());
    return ids;
  }
  std::vector<int32_t> all;
  for (int32_t id : row) {
    if (id == kText) {
      all.insert(all.end(), ids.begin(), ids.end());
    } else {
      all.push_back(id);
    }
  }
  return all;
}

}  // namespace masbak::models
