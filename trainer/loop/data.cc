#include "trainer/loop/data.h"

#include <cmath>
#include <numeric>

#include "base/digest.h"
#include "base/error.h"

namespace masbak::trainer {
namespace {

namespace fs = std::filesystem;

// Several files of one role, one after the other.
Examples load_files(const RunConfig& run, const std::vector<fs::path>& files, const std::string& role, RunData* data,
                    const std::function<void(const std::string&)>& said) {
  std::vector<Examples> parts;
  std::vector<std::string> digests;
  for (const fs::path& file : files) {
    LoadedDataset loaded = load_dataset(file, run.model, run.dataset_options(), said);
    check_objective(run.objective, loaded.report.format, file.string());
    const std::vector<RowNote>& problems = loaded.report.problems;
    if (loaded.examples.empty()) {
      std::string message = "no row of the file can be learnt from";
      if (!problems.empty()) message += "; the first: " + problems.front().message;
      base::fail_input(message + "; see masbak-worker validate",
                       {file.string(), problems.empty() ? 0 : problems.front().line, ""});
    }
    parts.push_back(std::move(loaded.examples));
    digests.push_back(loaded.digest);
    data->reports.push_back(std::move(loaded.report));
    data->notes.push_back(std::move(loaded.notes));
  }
  if (digests.empty()) return {};
  const auto line = [](std::string text, const std::string& digest) { return std::move(text) + digest + "\n"; };
  data->digests[role] = digests.size() == 1
                            ? digests.front()
                            : base::digest_bytes(std::accumulate(digests.begin(), digests.end(), std::string(), line));
  return Examples::joined(parts);
}

// A number from [0, 1) that follows from what the row says. Not the digest's own beginning, which other uses share.
double place_of(uint64_t content) {
  uint64_t z = content + 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

void split(const RunConfig& run, RunData* data) {
  const double fraction = run.dataset.eval_fraction;
  std::vector<uint32_t> train, eval;
  for (int64_t i = 0; i < data->train.size(); ++i) {
    (place_of(data->train.content(i)) < fraction ? eval : train).push_back(static_cast<uint32_t>(i));
  }
  if (train.empty() || eval.empty()) {
    throw base::Error(base::Code::kFailedPrecondition,
                      "eval_fraction leaves no row for " + std::string(train.empty() ? "training" : "the evaluation") +
                          " of the " + std::to_string(data->train.size()) +
                          " there are; give more rows, another "
                          "fraction, or a file dataset.eval",
                      {run.file.string(), 0, "dataset.eval_fraction"});
  }
  const Examples all = data->train;
  data->train = all.select(std::move(train));
  data->eval = all.select(std::move(eval));
}

}  // namespace

void check_objective(const std::string& objective, Format format, const std::string& file) {
  const bool pairs = format == Format::kPreference, judged = format == Format::kKto;
  const bool wants_pairs = objective == "dpo" || objective == "orpo", wants_judged = objective == "kto";
  if (pairs == wants_pairs && judged == wants_judged) return;
  const std::string wanted = wants_pairs    ? "preference pairs (prompt, chosen, rejected)"
                             : wants_judged ? "format kto (prompt, completion, label)"
                                            : "alpaca, sharegpt, messages, prompt_completion, text or tokens";
  throw base::Error(base::Code::kFailedPrecondition,
                    "objective " + objective + " cannot learn from " +
                        (pairs ? "preference pairs" : "format " + format_name(format)) + "; give " + wanted,
                    {file, 0, ""});
}

RunData load_run_data(const RunConfig& run, const std::function<void(const std::string&)>& said) {
  RunData data;
  data.train = load_files(run, run.dataset.train, "train", &data, said);
  if (run.dataset.eval_fraction > 0) {
    split(run, &data);
  } else {
    data.eval = load_files(run, run.dataset.eval, "eval", &data, said);
  }
  return data;
}

}  // namespace masbak::trainer
