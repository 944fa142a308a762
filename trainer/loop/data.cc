#include "trainer/loop/data.h"

#include <algorithm>
#include <optional>

#include "base/digest.h"
#include "base/error.h"

namespace masbak::trainer {
namespace {

namespace fs = std::filesystem;

// Tokens need neither tokenizer nor template. The model checks the ids against its vocabulary.
std::vector<TokenSequence> from_tokens(const std::vector<Conversation>& rows, int64_t max_length,
                                       DatasetReport* report) {
  std::vector<TokenSequence> sequences;
  for (const Conversation& row : rows) {
    TokenSequence sequence{row.ids, row.labels, row.line};
    if (static_cast<int64_t>(sequence.ids.size()) > max_length) {
      ++report->truncated;
      sequence.ids.resize(static_cast<size_t>(max_length));
      sequence.labels.resize(static_cast<size_t>(max_length));
    }
    const int64_t trained = count_trained(sequence);
    if (trained == 0) {
      ++report->without_answer;
      report->problems.push_back({row.line, "labels", "the row has no token to learn"});
      continue;
    }
    report->tokens += static_cast<int64_t>(sequence.ids.size());
    report->trained_tokens += trained;
    sequences.push_back(std::move(sequence));
  }
  return sequences;
}

std::vector<TokenSequence> load(const RunConfig& run, const fs::path& file, RunData* data) {
  DatasetReport report;
  const std::vector<Conversation> rows = read_conversations(file, run.dataset.format, &report);
  std::vector<TokenSequence> sequences;
  if (report.format == Format::kTokens) {
    sequences = from_tokens(rows, run.training.max_length, &report);
  } else {
    const auto tokenizer = models::Tokenizer::load(run.model);
    std::optional<models::ChatTemplate> chat_template;
    if (report.format != Format::kText) chat_template = models::ChatTemplate::load(run.model);
    sequences = tokenize_conversations(rows, tokenizer, chat_template ? &*chat_template : nullptr,
                                       run.dataset_options(), &report);
  }
  if (sequences.empty()) {
    std::string message = "no row of the file can be learnt from";
    if (!report.problems.empty()) message += "; the first: " + report.problems.front().message;
    base::fail_input(message + "; see masbak-worker validate",
                     {file.string(), report.problems.empty() ? 0 : report.problems.front().line, ""});
  }
  data->reports.push_back(std::move(report));
  return sequences;
}

}  // namespace

RunData load_run_data(const RunConfig& run) {
  RunData data;
  data.digests["train"] = base::digest_file(run.dataset.train);
  data.train = load(run, run.dataset.train, &data);
  if (!run.dataset.eval.empty()) {
    data.digests["eval"] = base::digest_file(run.dataset.eval);
    data.eval = load(run, run.dataset.eval, &data);
  }
  return data;
}

}  // namespace masbak::trainer
