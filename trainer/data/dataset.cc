#include "trainer/data/dataset.h"

#include <map>

#include "base/digest.h"
#include "base/durable_file.h"
#include "base/error.h"
#include "base/text.h"
#include "trainer/data/conversation.h"
#include "trainer/data/format.h"
#include "trainer/data/row_text.h"

namespace masbak::trainer {
namespace {

using base::Json;

struct ParsedRow {
  int line = 0;
  Json json;
};

RowProblem problem_of(const base::Error& error, int line) {
  return {error.where().line > 0 ? error.where().line : line, error.where().field, error.what()};
}

// The rows that are JSON; the others become problems.
std::vector<ParsedRow> parse_rows(std::string_view bytes, const std::string& name, DatasetReport* report) {
  std::vector<ParsedRow> parsed;
  for (const RowText& row : split_rows(bytes)) {
    ++report->rows;
    if (const size_t bad = base::find_invalid_utf8(row.text); bad != std::string_view::npos) {
      report->problems.push_back({row.line, "", "expected UTF-8, found byte " + std::to_string(bad + 1) +
                                                    " of the row that is not; save the file as UTF-8"});
      continue;
    }
    try {
      parsed.push_back({row.line, base::parse_json(row.text, name, row.line)});
    } catch (const base::Error& error) {
      report->problems.push_back(problem_of(error, row.line));
    }
  }
  return parsed;
}

std::string fields_of(const std::vector<ParsedRow>& rows) {
  if (rows.empty()) return "no row that is JSON";
  if (!rows.front().json.is_object()) return "a first row that is " + type_words(rows.front().json);
  std::string names;
  for (const auto& entry : rows.front().json.items()) names += (names.empty() ? "" : ", ") + entry.key();
  return names.empty() ? "a first row without fields" : "a first row with the fields " + base::shortened(names, 200);
}

Format tell_format(const std::vector<ParsedRow>& rows, const std::string& name, DatasetReport* report) {
  for (const ParsedRow& row : rows) {
    std::string seen;
    const Format format = detect_format(row.json, &seen);
    if (format == Format::kAuto) continue;
    report->detected = format_name(format) + ": line " + std::to_string(row.line) + " has the field" +
                       (seen.find(" and ") == std::string::npos ? " " : "s ") + seen;
    return format;
  }
  base::fail_input("cannot tell the format of the dataset: expected the fields of " + known_formats() + "; found " +
                       fields_of(rows) + "; rename the fields",
                   {.file = name, .line = rows.empty() ? 0 : rows.front().line});
}

}  // namespace

std::vector<Conversation> read_conversations(const std::filesystem::path& file, Format format, DatasetReport* report) {
  DatasetReport unused;
  if (!report) report = &unused;
  report->file = file.string();
  const base::MappedFile map(file);
  const std::vector<ParsedRow> rows = parse_rows(map.bytes(), report->file, report);
  if (report->rows == 0) {
    base::fail_input("expected at least one row, found an empty file", {.file = report->file});
  }
  if (format == Format::kAuto) format = tell_format(rows, report->file, report);
  report->format = format;

  std::vector<Conversation> conversations;
  std::map<std::string, int> first_seen;
  for (const ParsedRow& row : rows) {
    if (!first_seen.emplace(base::digest_bytes(row.json.dump()), row.line).second) ++report->duplicates;
    try {
      conversations.push_back(read_row(row.json, format));
      conversations.back().line = row.line;
    } catch (const base::Error& error) {
      report->problems.push_back(problem_of(error, row.line));
    }
  }
  return conversations;
}

Json DatasetReport::to_json() const {
  Json list = Json::array();
  for (const RowProblem& problem : problems) {
    list.push_back({{"line", problem.line}, {"field", problem.field}, {"message", problem.message}});
  }
  Json json{{"file", file}, {"format", format_name(format)}};
  if (!detected.empty()) json["detected"] = detected;
  json.update(Json{{"rows", rows},
                   {"problems", std::move(list)},
                   {"duplicates", duplicates},
                   {"truncated", truncated},
                   {"without_answer", without_answer},
                   {"tokens", tokens},
                   {"trained_tokens", trained_tokens},
                   {"shortest", shortest},
                   {"median", median},
                   {"longest", longest}});
  return json;
}

}  // namespace masbak::trainer
