#include "trainer/loop/train.h"

#include <new>

#include "base/durable_file.h"
#include "base/error.h"
#include "trainer/estimate/estimate.h"
#include "trainer/loop/job.h"
#include "trainer/loop/tensor_pool.h"

namespace masbak::trainer {
namespace {

namespace fs = std::filesystem;

void write_run_file(const RunConfig& run, const fs::path& job) {
  const fs::path copy = job / "run.yaml";
  if (fs::exists(copy) && fs::exists(run.file) && fs::equivalent(copy, run.file)) return;
  base::write_file_durably(copy, run.to_yaml());
}

bool finished(const fs::path& job) {
  const fs::path file = job / "result.json";
  return fs::exists(file) && base::read_json(file).value("state", "") == "finished";
}

// What is calculated is right to a third; where memory is not that much more, it is measured.
constexpr double kSafe = 1.6;

// Plans which layers are computed again, where the run leaves that open. `refuse`: RESOURCE_EXHAUSTED for a run that
// memory will not hold.
void fit_memory(RunConfig* run, bool refuse) {
  Checkpointing& checkpointing = run->training.checkpointing;
  const bool plans = checkpointing.choice == Checkpointing::Choice::kAuto;
  if (!plans && !refuse) return;
  std::string advice;
  try {
    Estimate needed = estimate(*run, /*measure=*/false);
    const auto near = static_cast<double>(needed.peak_memory_bytes) * kSafe;
    const bool has_room =
        needed.available_memory_bytes < 0 || near < static_cast<double>(needed.available_memory_bytes);
    if (has_room && needed.checkpointed_layers == 0) return;
    if (tensor_pool()) needed = estimate(*run, /*measure=*/true);
    advice = needed.advice(*run);
    if (plans) checkpointing.first = needed.checkpointed_layers;
  } catch (const base::Error&) {
    return;  // the run itself says what is wrong with it
  }
  if (advice.empty() || !refuse) return;
  throw base::Error(base::Code::kResourceExhausted, advice + "; train --ignore-memory-estimate starts it all the same",
                    {run->file.string(), 0, ""});
}

// By type, or by the words of LibTorch's allocator and of oneDNN.
bool out_of_memory(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error)) return true;
  const std::string text = error.what();
  for (const char* words : {"allocate memory", "not enough memory", "out of memory", "bad_alloc"}) {
    if (text.find(words) != std::string::npos) return true;
  }
  return false;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

base::Error memory_ran_out(const RunConfig& run) {
  std::string advice = "lower per_device_train_batch_size or max_length";
  if (run.training.checkpointing.may_save()) advice += ", or set gradient_checkpointing: auto";
  try {
    const Estimate needed = estimate(run, /*measure=*/false);
    advice = "the run needs about " + std::to_string(needed.peak_memory_bytes >> 20) + " MiB; " + advice;
  } catch (const std::exception&) {
    // Even for the estimate there is no memory left; the plain advice stands.
  }
  return base::Error(base::Code::kResourceExhausted, "memory ran out; " + advice, {run.file.string(), 0, ""});
}

}  // namespace

void train(const RunConfig& given, const fs::path& job, bool resume, bool check_memory) {
  const bool old = fs::exists(job / "events.jsonl") && fs::file_size(job / "events.jsonl") > 0;
  if (old && !resume) {
    throw base::Error(base::Code::kAlreadyExists,
                      "the folder holds a job already; go on with it by --resume, or give another folder",
                      {job.string(), 0, ""});
  }
  if (resume && finished(job)) {
    Progress(0).note("the job in " + job.string() + " is finished already");
    return;
  }
  fs::create_directories(job);
  write_run_file(given, job);
  fs::remove(job / "result.json");
  RunConfig run = given;
  Job work(run, job, resume);
  try {
    fit_memory(&run, /*refuse=*/check_memory);
    work.run();
  } catch (const base::Error& error) {
    work.fail(error);
    throw;
  } catch (const std::exception& error) {
    const base::Error wrapped =
        out_of_memory(error) ? memory_ran_out(run) : base::Error(base::Code::kInternal, first_line(error.what()));
    work.fail(wrapped);
    throw wrapped;
  }
}

}  // namespace masbak::trainer
