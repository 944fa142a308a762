// gate run|show
#include <filesystem>
#include <iostream>

#include "base/document.h"
#include "base/durable_file.h"
#include "masbak/v1/evaluation.grpc.pb.h"
#include "programs/cli/cli.h"
#include "programs/cli/names.h"
#include "programs/cli/output.h"
#include "programs/cli/watch.h"

namespace masbak::cli {
namespace {

using Service = v1::EvaluationService;

struct Options {
  std::string version, rules;
  std::vector<std::string> suites;
};

int print(const Common& common, const v1::GateReport& report) {
  if (common.json) {
    print_json(report);
    return report.passed() ? 0 : 1;
  }
  Table table({"RULE", "METRIC", "VERSION", "REQUIRED", "BASE", "RESULT"});
  for (const v1::GateResult& result : report.results()) {
    table.add({result.rule(), result.metric(), number(result.observed()), number(result.required()),
               number(result.base()), result.passed() ? "passed" : "FAILED: " + result.message()});
  }
  table.print("The rules ask for nothing.");
  std::cout << short_version(report.version())
            << (report.passed() ? " passes the gate\n" : " does not pass the gate\n");
  return report.passed() ? 0 : 1;
}

// The data that a suite names, beside it: a file of questions or a dataset.
std::filesystem::path data_of(const std::string& suite) {
  const base::Fields fields = base::Fields::read_yaml(suite);
  for (const char* key : {"questions", "dataset"}) {
    if (fields.has(key)) return std::filesystem::path(suite).parent_path() / fields.get<std::string>(key);
  }
  return {};
}

v1::Job start_evaluation(const Client& client, const std::string& version, const std::string& suite) {
  v1::CreateEvaluationJobRequest request;
  request.set_version(version);
  request.set_suite_yaml(base::read_file(suite));
  if (const std::filesystem::path data = data_of(suite); !data.empty()) {
    request.set_suite_data(base::read_file(data));
    request.set_suite_file_name(data.filename().string());
  }
  request.set_request_id(new_request_id());
  return client.call(&Service::Stub::CreateEvaluationJob, request, kLong);
}

int run(const Common& common, const Options& options) {
  const Client client = common.connect();
  v1::RunGateRequest request;
  request.set_version(version_name(options.version));
  request.set_rules_yaml(base::read_file(options.rules));
  std::vector<v1::Job> jobs;
  for (const std::string& suite : options.suites) jobs.push_back(start_evaluation(client, request.version(), suite));
  for (size_t i = 0; i < jobs.size(); ++i) {
    std::cerr << "evaluating " << short_version(request.version()) << " with " << options.suites[i] << " ("
              << jobs[i].name() << ")\n";
    const v1::Job job = watch_job(client, jobs[i].name(), {.progress = stderr});
    if (job.state() != v1::JOB_STATE_SUCCEEDED) {
      throw base::Error(base::Code::kFailedPrecondition,
                        "the evaluation is " + job_state(job) + (job.error().empty() ? "" : ": " + job.error()) +
                            "; its log: masbak job logs " + short_name(job.name()),
                        {.file = options.suites[i]});
    }
  }
  request.set_request_id(new_request_id());
  return print(common, client.call(&Service::Stub::RunGate, request));
}

int show(const Common& common, const Options& options) {
  v1::GetGateReportRequest request;
  request.set_version(version_name(options.version));
  print(common, common.connect().call(&Service::Stub::GetGateReport, request));
  return 0;
}

}  // namespace

void add_gate_commands(Commands& commands) {
  CLI::App* group = commands.group("gate", "Rules that a version must pass before it may be promoted");
  const auto options = std::make_shared<Options>();
  CLI::App* app = commands.add(group, "run", "Evaluate a version and judge it by rules; exit status 1 if it fails",
                               "masbak gate run pump-assistant@3 --rules gates.yaml --suite suites/questions.yaml",
                               [options](const Common& common) { return run(common, *options); });
  app->add_option("VERSION", options->version, "NAME@3 or NAME@ALIAS")->required();
  app->add_option("--rules", options->rules, "the rules, YAML")->required();
  app->add_option("--suite", options->suites, "evaluate with these first; without one, the reports there are count");
  app = commands.add(group, "show", "Show the latest gate report of a version", "masbak gate show pump-assistant@3",
                     [options](const Common& common) { return show(common, *options); });
  app->add_option("VERSION", options->version, "NAME@3 or NAME@ALIAS")->required();
}

}  // namespace masbak::cli
