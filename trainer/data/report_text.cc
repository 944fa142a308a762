#include "trainer/data/report_text.h"

#include <algorithm>

namespace masbak::trainer {
namespace {

constexpr int64_t kBarWidth = 30;

std::string bar(int64_t part, int64_t most) {
  std::string text;
  const int64_t length = most > 0 ? (part * kBarWidth + most - 1) / most : 0;
  for (int64_t i = 0; i < length; ++i) text += "█";
  return text;
}

std::string padded(const std::string& text, size_t width) {
  return text.size() < width ? std::string(width - text.size(), ' ') + text : text;
}

std::string histogram_text(const base::Json& bands) {
  int64_t most = 0;
  for (const base::Json& band : bands) most = std::max(most, band["rows"].get<int64_t>());
  std::string text;
  for (const base::Json& band : bands) {
    const std::string range = band["from"].dump() + "-" + band["to"].dump();
    text += "  " + padded(range, 15) + " " + padded(band["rows"].dump(), 9) + " " +
            bar(band["rows"].get<int64_t>(), most) + "\n";
  }
  return text;
}

}  // namespace

std::string report_text(const DatasetReport& report, int64_t max_length) {
  const auto number = [](int64_t value) { return std::to_string(value); };
  std::string text = report.file + ": " + (report.detected.empty() ? format_name(report.format) : report.detected) +
                     " (" + report.kind + ")\n";
  text += "  " + number(report.rows) + " rows = " + number(report.examples) + " to learn from + " +
          number(report.bad_rows) + " bad + " + number(report.removed_duplicates) + " duplicates left out\n";
  const int64_t kept = report.duplicates + report.near_duplicates - report.removed_duplicates;
  if (kept > 0) text += "  " + number(kept) + " rows repeat an earlier row and are kept\n";
  if (report.lengths.empty()) return text;
  text += "  tokens a row: " + number(report.lengths.begin()->first) + " to " + number(report.lengths.rbegin()->first) +
          "; half have at most " + number(report.percentile(0.5)) + ", 90 % " + number(report.percentile(0.9)) +
          ", 95 % " + number(report.percentile(0.95)) + ", 99 % " + number(report.percentile(0.99)) + "\n";
  text += histogram_text(report.to_json()["histogram"]);
  text += "  " + number(report.tokens) + " tokens, " + number(report.trained_tokens) + " of them learnt\n";
  if (report.truncated > 0) {
    text +=
        "  " + number(report.truncated) + " rows are longer than max_length " + number(max_length) + " and are cut\n";
  }
  if (report.without_answer > 0) text += "  " + number(report.without_answer) + " rows have nothing to learn\n";
  if (report.rewritten > 0) {
    text += "  in " + number(report.rewritten) +
            " rows the chat template writes an earlier answer otherwise than when it was given\n";
  }
  return text;
}

}  // namespace masbak::trainer
