// In-house files → conversations → token sequences with loss masks → batches. No LibTorch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/document.h"
#include "models/tokenizer/chat_template.h"
#include "models/tokenizer/tokenizer.h"
#include "trainer/data/examples.h"

namespace masbak::trainer {

// alpaca: instruction, input?, output. sharegpt: conversations [{from, value}]. messages: messages
// [{role, content, tool_calls?}], tools?. text: text. preference: prompt?, chosen, rejected. kto: prompt, completion,
// label. prompt_completion: prompt, completion. tokens: input_ids, labels. auto: told by the fields that most of the
// first rows have.
enum class Format { kAuto, kAlpaca, kShareGpt, kMessages, kText, kPreference, kTokens, kPromptCompletion, kKto };
Format parse_format(const std::string& name);
std::string format_name(Format format);

// What of a conversation is learnt: the assistant's answers, those after the last user's message, or everything.
enum class LossOn { kAssistant, kLastTurn, kAll };
std::string loss_on_name(LossOn loss_on);  // "assistant", "last_turn", "all"

// What becomes of a row that says what an earlier one says (exact), or nearly so (near): kept, or left out and named.
enum class Deduplicate { kNone, kExact, kNear };
std::string deduplicate_name(Deduplicate deduplicate);  // "none", "exact", "near"

// One row, in the one form that everything after uses.
struct Conversation {
  int line = 0;         // in the file, from 1
  base::Json messages;  // [{role, content, …}], empty for text and tokens; the prompt of a pair
  base::Json tools;     // null if none
  base::Json chosen,
      rejected;           // the messages that follow the prompt: preference both, prompt_completion and kto chosen
  bool plain = false;     // prompt and answers were texts, not messages
  bool desirable = true;  // format kto: the label
  std::string text;       // format text
  std::vector<int32_t> ids, labels;  // format tokens
};

// Something to be said of one row.
struct RowNote {
  enum class Kind { kProblem, kDuplicate, kTruncated };
  Kind kind = Kind::kProblem;  // problem: the row is left out. duplicate: it is left out too. truncated: it was cut
  int line = 0;
  std::string field;
  std::string message;
  base::Json to_json() const;  // kind, line, field, message
};
using NoteSink = std::function<void(const RowNote&)>;

// rows = examples + bad_rows + removed_duplicates: nothing is lost silently.
struct DatasetReport {
  std::string file;
  Format format = Format::kAuto;
  std::string kind;      // "JSON Lines", "CSV with ';' between the cells", …
  std::string detected;  // format auto: what was seen, in words
  int64_t rows = 0;
  int64_t examples = 0;            // rows that are learnt from
  int64_t bad_rows = 0;            // rows left out because something is wrong with them
  std::vector<RowNote> problems;   // the first kProblemsKept of these; a NoteSink gets them all
  int64_t duplicates = 0;          // rows that say exactly what an earlier row says, kept or not
  int64_t near_duplicates = 0;     // deduplicate near: rows that nearly say what an earlier row says
  int64_t removed_duplicates = 0;  // of both, those left out
  int64_t truncated = 0;           // rows cut at max_length
  int64_t without_answer = 0;      // rows in which the mask leaves nothing to learn; each is a bad row too
  int64_t rewritten = 0;           // rows with an answer that the template writes otherwise once turns follow
  int64_t tokens = 0, trained_tokens = 0;
  std::map<int64_t, int64_t> lengths;  // rows by their number of tokens, before any cut

  static constexpr size_t kProblemsKept = 1000;
  // The length that a share of the rows does not exceed; 0 if there are none.
  int64_t percentile(double share) const;
  base::Json to_json() const;
  static DatasetReport from_json(const base::Json& json);
};

struct DatasetOptions {
  Format format = Format::kAuto;
  int64_t max_length = 1024;
  LossOn loss_on = LossOn::kAssistant;
  bool apply_chat_template = true;  // prompts and answers given as texts become turns of a chat
  Deduplicate deduplicate = Deduplicate::kNone;
  double deduplicate_threshold = 0.8;  // near: the least Jaccard similarity of three-word sequences
};

// What makes tokens of conversations. Rows of format tokens need the vocabulary's size alone, rows of format text no
// chat template.
struct TextTools {
  std::optional<models::Tokenizer> tokenizer;
  std::optional<models::ChatTemplate> chat_template;
  int64_t vocabulary = 0;  // 0: not known, the ids of format tokens are not compared with it
  // From a model folder, what the format needs. NOT_FOUND as Tokenizer and ChatTemplate say.
  static TextTools load(const std::filesystem::path& model, Format format, const DatasetOptions& options);
};

// The format and container of a file, by its first rows. INVALID_ARGUMENT if there is no row, or none has the fields
// of a format.
struct DetectedFormat {
  Format format = Format::kAuto;
  std::string detected, kind;
};
DetectedFormat detect_file(const std::filesystem::path& file, Format format);

// Reads a file row by row in constant memory, by several threads; the order of the rows is kept. `tools` null: rows
// are read and checked, nothing is tokenised and `example` is not called. Bad rows become notes, never an exception;
// thrown is what concerns the file or the run as a whole. `content` is as Examples::content.
using ExampleSink = std::function<void(const TokenSequence& example, uint64_t content)>;
DatasetReport read_dataset(const std::filesystem::path& file, const TextTools* tools, const DatasetOptions& options,
                           const NoteSink& note, const ExampleSink& example);

// The same, into memory.
Examples read_examples(const std::filesystem::path& file, const TextTools& tools, const DatasetOptions& options,
                       DatasetReport* report);

// One conversation as tokens with labels, cut at max_length. INVALID_ARGUMENT with the field for what is wrong with
// this row, FAILED_PRECONDITION for what is wrong with the run.
struct MadeSequence {
  TokenSequence sequence;
  int64_t full_length = 0;  // before the cut
  bool rewritten = false;
};
MadeSequence make_sequence(const Conversation& row, const TextTools& tools, const DatasetOptions& options);

// The order of the examples in one epoch: the identity, or a permutation fixed by (seed, epoch).
std::vector<uint32_t> epoch_order(int64_t examples, bool shuffle, uint64_t seed, int64_t epoch);

// Groups of examples: a group is one row of a batch. 4 bytes an example and a row.
struct PackedRows {
  std::vector<uint32_t> examples;   // of all rows, one row after the other
  std::vector<uint32_t> begins{0};  // of each row in `examples`, and the end of the last
  int64_t size() const { return static_cast<int64_t>(begins.size()) - 1; }
};

// Without packing each example is a row, in `order`. With packing the examples are taken by falling length, equal ones
// in `order`, and each goes to the row that it fills best (best-fit decreasing; of equal ones the oldest); rows come
// in the order of their longest example. Their number follows from the lengths alone. Examples never mix: positions
// restart, and attention sees one example.
PackedRows pack_rows(const Examples& examples, const std::vector<uint32_t>& order, bool packing, int64_t max_length);

}  // namespace masbak::trainer
