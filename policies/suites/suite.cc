#include "policies/suites/suite.h"

#include <set>

#include "base/digest.h"

namespace masbak::policies {
namespace {

using base::Fields;
using base::Json;
namespace fs = std::filesystem;

constexpr int64_t kMostTokens = 65536;

fs::path read_path(const Fields& suite, const std::string& key, const fs::path& suite_file) {
  const fs::path path = suite.get<std::string>(key);
  if (path.empty()) suite.fail(key, "expected a path, found an empty text");
  const fs::path resolved = path.is_absolute() ? path : (suite_file.parent_path() / path).lexically_normal();
  if (!fs::is_regular_file(resolved)) {
    suite.fail(key, "expected a file, found none at " + resolved.string() + " (paths count from the suite file)");
  }
  return resolved;
}

int64_t read_count(const Fields& suite, const std::string& key, int64_t fallback) {
  const int64_t value = suite.get<int64_t>(key, fallback);
  if (value < 1 || value > kMostTokens) {
    suite.fail(key,
               "expected a whole number from 1 to " + std::to_string(kMostTokens) + ", found " + std::to_string(value));
  }
  return value;
}

std::string text_of(const Fields& row, const std::string& key) {
  const std::string text = row.get<std::string>(key);
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) row.fail(key, "expected text, found an empty one");
  return text;
}

Question read_question(const Json& json, const std::string& file, int line) {
  const Fields row = Fields::from_json(json, file, line);
  Question question;
  question.line = line;
  question.question = text_of(row, "question");
  if (row.has("key") && row.raw("key").is_string()) {
    question.key = {text_of(row, "key")};
  } else {
    question.key = row.get<std::vector<std::string>>("key");
  }
  if (question.key.empty()) row.fail("key", "expected at least one key fact, found none");
  for (const std::string& key : question.key) {
    if (key.find_first_not_of(" \t") == std::string::npos) row.fail("key", "expected text, found an empty one");
  }
  question.id = row.get<std::string>("id", "line-" + std::to_string(line));
  question.language = row.get<std::string>("language", "");
  row.finish();
  return question;
}

std::vector<Question> read_questions(const fs::path& file) {
  std::vector<Question> questions;
  std::set<std::string> ids;
  base::read_json_lines(file, [&](int line, Json&& row) {
    questions.push_back(read_question(row, file.string(), line));
    if (!ids.insert(questions.back().id).second) {
      base::fail_input("the id '" + questions.back().id + "' stands for two questions; give each its own",
                       {.file = file.string(), .line = line, .field = "id"});
    }
  });
  if (questions.empty()) base::fail_input("expected questions, found none", {.file = file.string()});
  return questions;
}

SuiteKind read_kind(const Fields& suite) {
  const std::string kind = suite.get<std::string>("kind");
  if (kind == "contains") return SuiteKind::kContains;
  if (kind == "loss") return SuiteKind::kLoss;
  const auto nearest = base::nearest_name(kind, {"contains", "loss"});
  suite.fail("kind",
             "expected contains or loss, found '" + kind + "'" + (nearest ? "; did you mean '" + *nearest + "'?" : ""));
}

}  // namespace

std::string suite_kind_name(SuiteKind kind) { return kind == SuiteKind::kContains ? "contains" : "loss"; }

Suite Suite::read(const fs::path& file) {
  const Fields fields = Fields::read_yaml(file);
  Suite suite;
  suite.file = file;
  suite.name = text_of(fields, "name");
  suite.kind = read_kind(fields);
  if (suite.kind == SuiteKind::kContains) {
    suite.data = read_path(fields, "questions", file);
    suite.max_tokens = read_count(fields, "max_tokens", suite.max_tokens);
    suite.system = fields.get<std::string>("system", "");
  } else {
    suite.data = read_path(fields, "dataset", file);
    suite.format = fields.get<std::string>("format", suite.format);
    suite.max_length = read_count(fields, "max_length", suite.max_length);
  }
  fields.finish();
  if (suite.kind == SuiteKind::kContains) suite.questions = read_questions(suite.data);
  suite.digest = base::digest_bytes(base::digest_file(file) + "\n" + base::digest_file(suite.data) + "\n");
  return suite;
}

}  // namespace masbak::policies
