#include "trainer/data/format.h"

#include <array>
#include <vector>

#include "base/error.h"

namespace masbak::trainer {
namespace {

struct FormatFields {
  Format format;
  const char* name;
  std::vector<std::string> fields;  // all of them must be there
};

// In the order in which they are tried: the more particular first. `chosen` and `rejected` may come
// without a prompt, when both hold whole conversations.
const std::vector<FormatFields>& table() {
  static const std::vector<FormatFields> rows{
      {Format::kTokens, "tokens", {"input_ids", "labels"}},
      {Format::kPreference, "preference", {"chosen", "rejected"}},
      {Format::kKto, "kto", {"prompt", "completion", "label"}},
      {Format::kPromptCompletion, "prompt_completion", {"prompt", "completion"}},
      {Format::kMessages, "messages", {"messages"}},
      {Format::kShareGpt, "sharegpt", {"conversations"}},
      {Format::kAlpaca, "alpaca", {"instruction", "output"}},
      {Format::kText, "text", {"text"}},
  };
  return rows;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " and ") + word;
  return text;
}

}  // namespace

Format parse_format(const std::string& name) {
  if (name == "auto") return Format::kAuto;
  std::vector<std::string> names{"auto"};
  for (const FormatFields& row : table()) {
    if (name == row.name) return row.format;
    names.emplace_back(row.name);
  }
  std::string list;
  for (const std::string& known : names) list += (list.empty() ? "" : ", ") + known;
  const auto nearest = base::nearest_name(name, names);
  base::fail_input("expected a dataset format (" + list + "), found '" + name + "'" +
                   (nearest ? "; did you mean '" + *nearest + "'?" : ""));
}

std::string format_name(Format format) {
  for (const FormatFields& row : table()) {
    if (row.format == format) return row.name;
  }
  return "auto";
}

Format detect_format(const base::Json& row, std::string* seen) {
  if (!row.is_object()) return Format::kAuto;
  for (const FormatFields& candidate : table()) {
    bool all = true;
    for (const std::string& field : candidate.fields) all = all && row.contains(field);
    if (!all) continue;
    if (seen) *seen = joined(candidate.fields);
    return candidate.format;
  }
  return Format::kAuto;
}

std::string loss_on_name(LossOn loss_on) {
  return loss_on == LossOn::kAssistant ? "assistant" : loss_on == LossOn::kLastTurn ? "last_turn" : "all";
}

std::string deduplicate_name(Deduplicate deduplicate) {
  return deduplicate == Deduplicate::kNone ? "none" : deduplicate == Deduplicate::kExact ? "exact" : "near";
}

std::string known_formats() {
  std::string text;
  for (const FormatFields& row : table()) {
    text += (text.empty() ? "" : ", ") + std::string(row.name) + " (" + joined(row.fields) + ")";
  }
  return text;
}

}  // namespace masbak::trainer
