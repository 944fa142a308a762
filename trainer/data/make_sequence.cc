// One conversation → tokens with labels.
#include <algorithm>

#include "base/error.h"
#include "trainer/data/dataset.h"
#include "trainer/data/mask.h"

namespace masbak::trainer {
namespace {

using base::Json;

struct Side {
  std::vector<int32_t> ids, labels;
};

void check_ids(const std::vector<int32_t>& ids, const char* name, int64_t vocabulary) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < vocabulary) continue;
    base::fail_input("expected an id below the vocabulary's size " + std::to_string(vocabulary) + ", found " +
                         std::to_string(ids[i]),
                     {.field = std::string(name) + "[" + std::to_string(i) + "]"});
  }
}

Side from_tokens(const Conversation& row, int64_t vocabulary) {
  if (vocabulary > 0) {
    check_ids(row.ids, "input_ids", vocabulary);
    check_ids(row.labels, "labels", vocabulary);
  }
  return {row.ids, row.labels};
}

std::vector<int32_t> encode_text(const std::string& text, const models::Tokenizer& tokenizer, bool ends) {
  std::vector<int32_t> ids = tokenizer.encode(text, true);
  const auto end = tokenizer.token_id(tokenizer.eos_token());
  if (ends && end && (ids.empty() || ids.back() != *end)) ids.push_back(*end);
  return ids;
}

// Plain text: everything is learnt, also that it ends.
Side from_text(const std::string& text, const models::Tokenizer& tokenizer) {
  Side side{encode_text(text, tokenizer, true), {}};
  side.labels = side.ids;
  return side;
}

// A prompt and its continuation as plain texts, one after the other as they stand, as trl does with texts. Learnt is
// what follows the prompt's own tokens; a token across the border is the continuation's.
Side from_texts(const std::string& prompt, const std::string& answer, const models::Tokenizer& tokenizer) {
  Side side{encode_text(prompt + answer, tokenizer, true), {}};
  const std::vector<int32_t> before = encode_text(prompt, tokenizer, false);
  const auto shared =
      std::mismatch(before.begin(),
                    before.begin() + static_cast<std::ptrdiff_t>(std::min(before.size(), side.ids.size())),
                    side.ids.begin())
          .first -
      before.begin();
  side.labels = side.ids;
  std::fill(side.labels.begin(), side.labels.begin() + shared, kIgnoredLabel);
  return side;
}

Side masked(const MaskedText& text, const models::Tokenizer& tokenizer) {
  TokenMask mask = tokenize_with_mask(text, tokenizer);
  Side side{std::move(mask.ids), {}};
  side.labels.assign(side.ids.size(), kIgnoredLabel);
  for (size_t i = 0; i < side.ids.size(); ++i) {
    if (mask.trained[i]) side.labels[i] = side.ids[i];
  }
  return side;
}

class Maker {
 public:
  Maker(const Conversation& row, const TextTools& tools, const DatasetOptions& options)
      : row_(row), tools_(tools), options_(options) {}

  MadeSequence make() {
    Side side, rejected;
    if (!row_.ids.empty()) {
      side = from_tokens(row_, tools_.vocabulary);
    } else if (!row_.text.empty()) {
      side = from_text(row_.text, tokenizer());
    } else if (!row_.chosen.is_null()) {
      side = completion(row_.chosen, row_.rejected.is_null() ? "completion" : "chosen");
      if (!row_.rejected.is_null()) rejected = completion(row_.rejected, "rejected");
    } else {
      side = chat();
    }
    result_.full_length = static_cast<int64_t>(std::max(side.ids.size(), rejected.ids.size()));
    for (std::vector<int32_t>* list : {&side.ids, &side.labels, &rejected.ids, &rejected.labels}) {
      if (list->size() > static_cast<size_t>(options_.max_length))
        list->resize(static_cast<size_t>(options_.max_length));
    }
    result_.sequence = {std::move(side.ids),     std::move(side.labels),     row_.line,
                        std::move(rejected.ids), std::move(rejected.labels), row_.desirable};
    return std::move(result_);
  }

 private:
  const models::Tokenizer& tokenizer() const {
    if (tools_.tokenizer) return *tools_.tokenizer;
    throw base::Error(base::Code::kFailedPrecondition, "the dataset holds text, but no tokenizer was given");
  }

  const models::ChatTemplate& chat_template() const {
    if (tools_.chat_template) return *tools_.chat_template;
    throw base::Error(base::Code::kFailedPrecondition,
                      "the dataset holds conversations, but the model has no chat template; add chat_template.jinja to "
                      "the model folder, or give the data as text" +
                          std::string(row_.plain ? ", or set dataset.apply_chat_template: false to take prompts and "
                                                   "answers as plain text"
                                                 : ""));
  }

  Side completion(const Json& answer, const char* field) {
    if (row_.plain && !options_.apply_chat_template) {
      return from_texts(row_.messages[0]["content"], answer[0]["content"], tokenizer());
    }
    return masked(render_completion(row_.messages, answer, row_.tools, chat_template(), field), tokenizer());
  }

  Side chat() {
    const MaskedText text = render_answers(row_, chat_template(), options_.loss_on, tokenizer().eos_token());
    result_.rewritten = text.rewritten;
    if (options_.loss_on != LossOn::kAll) return masked(text, tokenizer());
    Side side{tokenizer().encode(text.text), {}};
    side.labels = side.ids;
    return side;
  }

  const Conversation& row_;
  const TextTools& tools_;
  const DatasetOptions& options_;
  MadeSequence result_;
};

// The size of the vocabulary in config.json, 0 if it is not told: the model itself compares ids with it too.
int64_t vocabulary_of(const std::filesystem::path& model) {
  if (!std::filesystem::exists(model / "config.json")) return 0;
  const Json config = base::read_json(model / "config.json");
  const Json size = config.value("vocab_size", Json());
  return size.is_number_integer() ? size.get<int64_t>() : 0;
}

}  // namespace

TextTools TextTools::load(const std::filesystem::path& model, Format format, const DatasetOptions& options) {
  TextTools tools;
  if (format == Format::kTokens) {
    tools.vocabulary = vocabulary_of(model);
    return tools;
  }
  tools.tokenizer = models::Tokenizer::load(model);
  if (format == Format::kText) return tools;
  const bool pairs = format == Format::kPreference || format == Format::kPromptCompletion || format == Format::kKto;
  try {
    tools.chat_template = models::ChatTemplate::load(model);
  } catch (const base::Error& error) {
    // Pairs of plain texts need none; a row that does need one says so.
    if (!(pairs && !options.apply_chat_template && error.code() == base::Code::kNotFound)) throw;
  }
  return tools;
}

MadeSequence make_sequence(const Conversation& row, const TextTools& tools, const DatasetOptions& options) {
  return Maker(row, tools, options).make();
}

}  // namespace masbak::trainer
