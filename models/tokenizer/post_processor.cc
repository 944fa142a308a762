#include "models/tokenizer/post_processor.h"

namespace masbak::models {
namespace {

std::vector<int32_t> special_ids(const Config& config, const std::string& name) {
  Config special = config.child("special_tokens").child(name);
  if (special.is_null()) config.fail("expected the ids of \"" + name + "\" in special_tokens, found none");
  std::vector<int32_t> ids;
  for (const Config& id : special.list("ids")) {
    if (!id.json().is_number_integer()) id.fail("expected an id, found " + id.json().dump());
    ids.push_back(id.json().get<int32_t>());
  }
  return ids;
}

PostProcessor read_template(const Config& config) {
  PostProcessor result;
  bool behind = false;
  for (const Config& piece : config.list("single")) {
    if (piece.has("Sequence")) {
      if (behind || piece.child("Sequence").string("id", "A") != "A") {
        piece.fail("expected the one sequence A in a template for a single text");
      }
      behind = true;
      continue;
    }
    auto ids = special_ids(config, piece.child("SpecialToken").string("id"));
    auto& side = behind ? result.after : result.before;
    side.insert(side.end(), ids.begin(), ids.end());
  }
  return result;
}

int32_t pair_id(const Config& config, const std::string& key) {
  std::vector<Config> pair = config.list(key);
  if (pair.size() != 2 || !pair[1].json().is_number_integer()) config.fail("expected " + key + " as [token, id]");
  return pair[1].json().get<int32_t>();
}

}  // namespace

PostProcessor read_post_processor(const Config& config) {
  if (config.is_null()) return {};
  std::string type = config.type();
  if (type == "ByteLevel") return {};  // moves offsets only
  if (type == "TemplateProcessing") return read_template(config);
  if (type == "RobertaProcessing" || type == "BertProcessing") {
    return {{pair_id(config, "cls")}, {pair_id(config, "sep")}};
  }
  if (type != "Sequence") config.unimplemented("post-processor", type);
  PostProcessor all;
  for (const Config& part : config.list("processors")) {
    PostProcessor one = read_post_processor(part);
    all.before.insert(all.before.begin(), one.before.begin(), one.before.end());
    all.after.insert(all.after.end(), one.after.begin(), one.after.end());
  }
  return all;
}

}  // namespace masbak::models
