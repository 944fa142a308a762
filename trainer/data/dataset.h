// In-house files → conversations → token sequences with loss masks → batches. No LibTorch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/document.h"
#include "models/tokenizer/chat_template.h"
#include "models/tokenizer/tokenizer.h"
#include "trainer/data/examples.h"

namespace masbak::trainer {

// alpaca: instruction, input?, output. sharegpt: conversations [{from, value}]. messages: messages
// [{role, content, tool_calls?}], tools?. text: text. preference: prompt, chosen, rejected.
// tokens: input_ids, labels. auto: told by the fields of the first row that has those of a format.
enum class Format { kAuto, kAlpaca, kShareGpt, kMessages, kText, kPreference, kTokens };
Format parse_format(const std::string& name);
std::string format_name(Format format);

// One row, in the one form that everything after uses.
struct Conversation {
  int line = 0;                      // in the file, from 1
  base::Json messages;               // [{role, content, …}], empty for text and tokens; the prompt of a preference
  base::Json tools;                  // null if none
  base::Json chosen, rejected;       // format preference: the messages that follow the prompt
  std::string text;                  // format text
  std::vector<int32_t> ids, labels;  // format tokens
};

struct RowProblem {
  int line = 0;
  std::string field;
  std::string message;
};

// Rows in = sequences out + problems: nothing is lost silently.
struct DatasetReport {
  std::string file;
  Format format = Format::kAuto;
  std::string detected;  // format auto: what was seen, in words
  int64_t rows = 0;
  std::vector<RowProblem> problems;
  int64_t duplicates = 0;      // rows that say exactly what an earlier row says; kept
  int64_t truncated = 0;       // rows cut at max_length
  int64_t without_answer = 0;  // rows in which the mask leaves nothing to learn; each is a problem too
  int64_t tokens = 0, trained_tokens = 0;
  int64_t shortest = 0, median = 0, longest = 0;  // tokens a row
  base::Json to_json() const;
};

struct DatasetOptions {
  Format format = Format::kAuto;
  int64_t max_length = 1024;
  bool assistant_only_loss = true;
};

// Reads every row; bad ones become problems (line, field, message), never an exception.
// Throws only if the file cannot be read at all, or (auto) no row has the fields of a format.
// A file is JSON Lines, or one JSON array of rows.
std::vector<Conversation> read_conversations(const std::filesystem::path& file, Format format, DatasetReport* report);

// Renders, tokenises and masks. With assistant_only_loss the loss is on the assistant's answers and
// their end-of-turn token: from the template's generation blocks, else derived by rendering the
// conversation up to each answer.
std::vector<TokenSequence> tokenize_conversations(const std::vector<Conversation>& conversations,
                                                  const models::Tokenizer& tokenizer,
                                                  const models::ChatTemplate* chat_template,
                                                  const DatasetOptions& options, DatasetReport* report);

// The same for rows of format tokens alone, which need no tokenizer. Rows with an id not below `vocabulary`
// become problems.
std::vector<TokenSequence> take_tokens(const std::vector<Conversation>& conversations, int64_t vocabulary,
                                       const DatasetOptions& options, DatasetReport* report);

// The order of the examples in one epoch: the identity, or a permutation fixed by (seed, epoch).
std::vector<int64_t> epoch_order(int64_t examples, bool shuffle, uint64_t seed, int64_t epoch);

// Groups of example indices: a group is one row of a batch. Without packing each example is a row; with
// packing rows are filled up to max_length tokens (best fit), examples never mixed: positions restart.
std::vector<std::vector<int64_t>> pack_rows(const Examples& examples, const std::vector<int64_t>& order, bool packing,
                                            int64_t max_length);

}  // namespace masbak::trainer
