// Conversations → token sequences with labels.
#include <algorithm>

#include "base/error.h"
#include "trainer/data/dataset.h"
#include "trainer/data/mask.h"

namespace masbak::trainer {
namespace {

TokenSequence from_tokens(const Conversation& row, int64_t size) {
  for (const auto* list : {&row.ids, &row.labels}) {
    for (size_t i = 0; i < list->size(); ++i) {
      if ((*list)[i] < size) continue;
      const std::string name = list == &row.ids ? "input_ids" : "labels";
      base::fail_input("expected an id below the vocabulary's size " + std::to_string(size) + ", found " +
                           std::to_string((*list)[i]),
                       {.field = name + "[" + std::to_string(i) + "]"});
    }
  }
  return {row.ids, row.labels, row.line};
}

// Plain text: everything is learnt, also that it ends.
TokenSequence from_text(const Conversation& row, const models::Tokenizer& tokenizer) {
  TokenSequence sequence{tokenizer.encode(row.text, true), {}, row.line};
  const auto end = tokenizer.token_id(tokenizer.eos_token());
  if (end && (sequence.ids.empty() || sequence.ids.back() != *end)) sequence.ids.push_back(*end);
  sequence.labels = sequence.ids;
  return sequence;
}

TokenSequence from_chat(const Conversation& row, const models::Tokenizer& tokenizer,
                        const models::ChatTemplate* chat_template, bool assistant_only_loss) {
  if (!chat_template) {
    throw base::Error(base::Code::kFailedPrecondition,
                      "the dataset holds conversations, but the model has no chat template; add chat_template.jinja to "
                      "the model folder, or give the data as text");
  }
  if (!assistant_only_loss) {
    base::Json context{{"messages", row.messages}, {"add_generation_prompt", false}};
    if (!row.tools.is_null()) context["tools"] = row.tools;
    TokenSequence sequence{tokenizer.encode(chat_template->render(context).text), {}, row.line};
    sequence.labels = sequence.ids;
    return sequence;
  }
  TokenMask mask = tokenize_with_mask(render_answers(row, *chat_template), tokenizer);
  TokenSequence sequence{std::move(mask.ids), {}, row.line};
  sequence.labels.assign(sequence.ids.size(), kIgnoredLabel);
  for (size_t i = 0; i < sequence.ids.size(); ++i) {
    if (mask.trained[i]) sequence.labels[i] = sequence.ids[i];
  }
  return sequence;
}

// Cuts at max_length and counts. False if nothing is left to learn: then the row is a problem.
bool accept(TokenSequence* sequence, const DatasetOptions& options, DatasetReport* report) {
  const size_t limit = static_cast<size_t>(options.max_length);
  const size_t length = sequence->ids.size();
  if (length > limit) {
    ++report->truncated;
    sequence->ids.resize(limit);
    sequence->labels.resize(limit);
  }
  const int64_t trained = count_trained(*sequence);
  if (trained == 0) {
    ++report->without_answer;
    report->problems.push_back({sequence->line, "",
                                length > limit
                                    ? "nothing to learn is left after the cut at max_length " + std::to_string(limit) +
                                          " (the row has " + std::to_string(length) + " tokens); raise max_length"
                                    : "the row has no token to learn"});
    return false;
  }
  report->tokens += static_cast<int64_t>(sequence->ids.size());
  report->trained_tokens += trained;
  return true;
}

void measure(const std::vector<TokenSequence>& sequences, DatasetReport* report) {
  if (sequences.empty()) return;
  std::vector<int64_t> lengths;
  for (const TokenSequence& sequence : sequences) lengths.push_back(static_cast<int64_t>(sequence.ids.size()));
  std::sort(lengths.begin(), lengths.end());
  report->shortest = lengths.front();
  report->median = lengths[lengths.size() / 2];
  report->longest = lengths.back();
}

TokenSequence make_sequence(const Conversation& row, const models::Tokenizer& tokenizer,
                            const models::ChatTemplate* chat_template, const DatasetOptions& options) {
  if (!row.chosen.is_null()) {
    throw base::Error(base::Code::kFailedPrecondition,
                      "objective sft cannot learn from preference pairs; give alpaca, sharegpt, messages, text or "
                      "tokens");
  }
  if (!row.ids.empty()) return from_tokens(row, static_cast<int64_t>(tokenizer.vocabulary_size()));
  if (!row.text.empty()) return from_text(row, tokenizer);
  return from_chat(row, tokenizer, chat_template, options.assistant_only_loss);
}

// Makes a sequence of each row. What is wrong with one row is its problem; what is wrong with the run as a whole
// goes up.
template <typename Make>
std::vector<TokenSequence> make_all(const std::vector<Conversation>& conversations, const DatasetOptions& options,
                                    DatasetReport* report, const Make& make) {
  DatasetReport unused;
  if (!report) report = &unused;
  std::vector<TokenSequence> sequences;
  for (const Conversation& row : conversations) {
    try {
      TokenSequence sequence = make(row);
      if (accept(&sequence, options, report)) sequences.push_back(std::move(sequence));
    } catch (const base::Error& error) {
      if (error.code() == base::Code::kFailedPrecondition) throw;
      report->problems.push_back({row.line, error.where().field, error.what()});
    }
  }
  measure(sequences, report);
  return sequences;
}

}  // namespace

std::vector<TokenSequence> tokenize_conversations(const std::vector<Conversation>& conversations,
                                                  const models::Tokenizer& tokenizer,
                                                  const models::ChatTemplate* chat_template,
                                                  const DatasetOptions& options, DatasetReport* report) {
  return make_all(conversations, options, report,
                  [&](const Conversation& row) { return make_sequence(row, tokenizer, chat_template, options); });
}

std::vector<TokenSequence> take_tokens(const std::vector<Conversation>& conversations, int64_t vocabulary,
                                       const DatasetOptions& options, DatasetReport* report) {
  return make_all(conversations, options, report,
                  [&](const Conversation& row) { return from_tokens(row, vocabulary); });
}

}  // namespace masbak::trainer
