#include "services/control/complete_job.h"

#include "base/digest.h"
#include "base/document.h"
#include "base/error.h"
#include "base/log.h"

namespace masbak::services {
namespace {

using Outputs = std::map<std::string, std::string>;
const registry::Actor kSystem{"system"};

std::string require_output(const Outputs& outputs, const std::string& name) {
  auto found = outputs.find(name);
  if (found != outputs.end()) return found->second;
  throw base::Error(base::Code::kInternal, "the agent stored no output `" + name + "` of the job");
}

double number_or(const base::Json& json, const std::string& key, double fallback) {
  auto found = json.find(key);
  return found != json.end() && found->is_number() ? found->get<double>() : fallback;
}

// Of the base model, before the first step: what an evaluation at step 0 found. 0 if there was none.
double eval_loss_before(const registry::Reader& reader, const registry::Job& job) {
  constexpr int kBeforeTheFirstStep = 100;  // events
  for (const auto& event : reader.job_events(job.name, 0, kBeforeTheFirstStep)) {
    if (event.type != "eval") continue;
    base::Json json = base::parse_json(event.json, "events.jsonl");
    return json.value("step", -1) == 0 ? number_or(json, "eval_loss", 0) : 0;
  }
  return 0;
}

// The version that result.json and the artifacts tell of.
registry::Version trained_version(ControlContext& context, const registry::Reader& reader, const registry::Job& job,
                                  const Outputs& outputs) {
  base::Json result = base::parse_json(context.artifacts.read(require_output(outputs, "result.json")), "result.json");
  registry::Version version;
  version.model = job.model;
  version.base_model = job.base_model;
  version.base_digest = reader.get_base_model(job.base_model).digest;
  version.dataset = job.dataset;
  version.dataset_digest = reader.get_dataset(job.dataset).digest;
  version.job = job.name;
  version.adapter_digest = require_output(outputs, "adapter");
  version.run_digest = require_output(outputs, "run.yaml");
  version.plan_digest = result.at("digests").at("plan").get<std::string>();
  version.eval_loss = number_or(result, "eval_loss", 0);
  version.eval_loss_before = eval_loss_before(reader, job);
  return version;
}

registry::Report read_report(ControlContext& context, const std::string& digest, const registry::Job& job,
                             const std::string& base_digest) {
  registry::Report report;
  report.json = context.artifacts.read(digest);
  report.digest = digest;
  report.base_model = job.base_model;
  report.base_digest = base_digest;
  report.suite_digest = job.suite_digest;
  report.job = job.name;
  base::Json json = base::parse_json(report.json, "report.json");
  report.suite = json.value("suite", "");
  for (const auto& [metric, value] : json.at("metrics").items()) {
    if (value.is_number()) report.metrics[metric] = value.get<double>();
  }
  return report;
}

std::vector<registry::Report> evaluation_reports(ControlContext& context, const registry::Reader& reader,
                                                 const registry::Job& job, const Outputs& outputs) {
  std::string base_digest = reader.get_base_model(job.base_model).digest;
  std::vector<registry::Report> reports;
  if (job.evaluate_base) {
    reports.push_back(read_report(context, require_output(outputs, "base-report"), job, base_digest));
  }
  registry::Report report = read_report(context, require_output(outputs, "report"), job, base_digest);
  report.version = job.version;
  report.adapter_digest = job.adapter_digest;
  reports.push_back(report);
  return reports;
}

void complete(ControlContext& context, const std::string& name, const Outputs& outputs) {
  std::string done = context.store.write(kSystem, [&](registry::Writer& writer) -> std::string {
    registry::Job job = writer.get_job(name);
    if (registry::job_has_ended(job.state)) return "";
    registry::JobUpdate update{.state = registry::JobState::kSucceeded, .outputs = outputs};
    std::string result = "its reports";
    if (job.kind == registry::JobKind::kTrain) {
      result = writer.create_version(trained_version(context, writer, job, outputs)).name;
      update.version = result;
    } else {
      for (const auto& report : evaluation_reports(context, writer, job, outputs)) writer.create_report(report);
    }
    writer.update_job(name, update);
    return result;
  });
  if (!done.empty()) base::log_info(name + " SUCCEEDED: " + done);
}

}  // namespace

void complete_job(ControlContext& context, const std::string& job, const Outputs& outputs) {
  std::string reason;
  try {
    complete(context, job, outputs);
    return;
  } catch (const base::Error& error) {
    // The store is away, or somebody was faster: decided anew the next time.
    bool passing = error.code() == base::Code::kUnavailable || error.code() == base::Code::kAborted ||
                   error.code() == base::Code::kResourceExhausted;
    if (passing) throw;
    reason = error.describe();
  } catch (const nlohmann::json::exception& error) {
    reason = std::string("INTERNAL: the worker's result is not as expected: ") + error.what();
  }
  base::log_warn(job + " FAILED: " + reason);
  context.store.write(kSystem, [&](registry::Writer& writer) {
    writer.update_job(job, {.state = registry::JobState::kFailed, .error = reason, .outputs = outputs});
  });
}

}  // namespace masbak::services
