// What was found in a data file, as JSON and back.
#include <cmath>

#include "trainer/data/dataset.h"

namespace masbak::trainer {
namespace {

using base::Json;

const char* kind_name(RowNote::Kind kind) {
  return kind == RowNote::Kind::kProblem ? "problem" : kind == RowNote::Kind::kDuplicate ? "duplicate" : "truncated";
}

// Rows in bands of lengths: [from, to], each band twice as wide as the one before.
Json histogram(const std::map<int64_t, int64_t>& lengths) {
  Json bands = Json::array();
  int64_t to = 16;
  for (auto at = lengths.begin(); at != lengths.end();) {
    int64_t rows = 0;
    for (; at != lengths.end() && at->first <= to; ++at) rows += at->second;
    if (rows > 0 || !bands.empty()) bands.push_back({{"from", to == 16 ? 1 : to / 2 + 1}, {"to", to}, {"rows", rows}});
    to *= 2;
  }
  return bands;
}

}  // namespace

Json RowNote::to_json() const {
  return {{"kind", kind_name(kind)}, {"line", line}, {"field", field}, {"message", message}};
}

int64_t DatasetReport::percentile(double share) const {
  int64_t all = 0, so_far = 0;
  for (const auto& [length, count] : lengths) all += count;
  const auto wanted = static_cast<int64_t>(std::ceil(share * static_cast<double>(all)));
  for (const auto& [length, count] : lengths) {
    so_far += count;
    if (so_far >= std::max<int64_t>(wanted, 1)) return length;
  }
  return 0;
}

Json DatasetReport::to_json() const {
  Json list = Json::array();
  for (const RowNote& problem : problems) {
    list.push_back({{"line", problem.line}, {"field", problem.field}, {"message", problem.message}});
  }
  Json json{{"file", file}, {"format", format_name(format)}, {"kind", kind}};
  if (!detected.empty()) json["detected"] = detected;
  json.update(
      Json{{"rows", rows},
           {"examples", examples},
           {"bad_rows", bad_rows},
           {"problems", std::move(list)},
           {"duplicates", duplicates},
           {"near_duplicates", near_duplicates},
           {"removed_duplicates", removed_duplicates},
           {"truncated", truncated},
           {"without_answer", without_answer},
           {"rewritten", rewritten},
           {"tokens", tokens},
           {"trained_tokens", trained_tokens},
           {"shortest", lengths.empty() ? 0 : lengths.begin()->first},
           {"median", percentile(0.5)},
           {"longest", lengths.empty() ? 0 : lengths.rbegin()->first},
           {"percentiles",
            {{"p50", percentile(0.5)}, {"p90", percentile(0.9)}, {"p95", percentile(0.95)}, {"p99", percentile(0.99)}}},
           {"histogram", histogram(lengths)}});
  return json;
}

DatasetReport DatasetReport::from_json(const Json& json) {
  DatasetReport report;
  report.file = json.at("file");
  report.format = parse_format(json.at("format"));
  report.kind = json.at("kind");
  report.detected = json.value("detected", "");
  for (const Json& problem : json.at("problems")) {
    report.problems.push_back(
        {RowNote::Kind::kProblem, problem.at("line"), problem.at("field"), problem.at("message")});
  }
  const std::pair<const char*, int64_t*> numbers[] = {{"rows", &report.rows},
                                                      {"examples", &report.examples},
                                                      {"bad_rows", &report.bad_rows},
                                                      {"duplicates", &report.duplicates},
                                                      {"near_duplicates", &report.near_duplicates},
                                                      {"removed_duplicates", &report.removed_duplicates},
                                                      {"truncated", &report.truncated},
                                                      {"without_answer", &report.without_answer},
                                                      {"rewritten", &report.rewritten},
                                                      {"tokens", &report.tokens},
                                                      {"trained_tokens", &report.trained_tokens}};
  for (const auto& [key, number] : numbers) *number = json.at(key);
  // Only the token cache keeps all lengths.
  if (json.contains("lengths")) {
    for (const Json& entry : json["lengths"]) report.lengths[entry.at(0)] = entry.at(1);
  }
  return report;
}

}  // namespace masbak::trainer
