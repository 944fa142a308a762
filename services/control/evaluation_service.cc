#include "services/control/evaluation_service.h"

#include "base/error.h"
#include "services/control/judge.h"
#include "services/control/run_file.h"
#include "services/control/suite_upload.h"
#include "services/control/wire.h"
#include "services/middleware/once.h"

namespace masbak::services {
namespace {

registry::Job new_evaluation_job(const registry::Reader& reader, const std::string& version_name,
                                 const StoredSuite& suite) {
  registry::Version version = reader.get_version(version_name);
  registry::Job job;
  job.kind = registry::JobKind::kEvaluate;
  job.model = version.model;
  job.base_model = version.base_model;
  job.version = version.name;
  job.adapter_digest = version.adapter_digest;
  job.files = suite.files;
  job.suite_file = kSuiteFile;
  job.suite_digest = suite.digest;
  job.evaluate_base = !reader.find_report(version.base_digest, "", suite.digest);
  return job;
}

}  // namespace

grpc::Status EvaluationService::CreateEvaluationJob(grpc::ServerContext* context,
                                                    const v1::CreateEvaluationJobRequest* request, v1::Job* response) {
  return context_.boundary.run(context, "EvaluationService.CreateEvaluationJob", [&](const Call& call) {
    StoredSuite suite = store_suite(context_, *request);
    *response = change_once<v1::Job>(context_.store, call, *request, [&](registry::Writer& writer) {
      return to_wire(writer.create_job(new_evaluation_job(writer, request->version(), suite)));
    });
    context_.changes.announce();
  });
}

grpc::Status EvaluationService::ListReports(grpc::ServerContext* context, const v1::ListReportsRequest* request,
                                            v1::ListReportsResponse* response) {
  return context_.boundary.run(context, "EvaluationService.ListReports", [&](const Call&) {
    auto page = context_.store.read([&](const registry::Reader& reader) {
      std::string version = request->version().empty() ? "" : reader.get_version(request->version()).name;
      return reader.list_reports(version, page_of(*request));
    });
    fill_page(page, response, [](auto* list) { return list->add_reports(); });
  });
}

grpc::Status EvaluationService::RunGate(grpc::ServerContext* context, const v1::RunGateRequest* request,
                                        v1::GateReport* response) {
  return context_.boundary.run(context, "EvaluationService.RunGate", [&](const Call& call) {
    *response = change_once<v1::GateReport>(context_.store, call, *request, [&](registry::Writer& writer) {
      writer.lock_model(registry::parse_version_name(request->version(), "version").model);
      registry::Version version = writer.get_version(request->version());
      auto gate = judge(version, request->rules_yaml(), writer.latest_reports(version.name, false),
                        writer.latest_reports(version.name, true));
      return to_wire(writer.create_gate_report(gate));
    });
  });
}

grpc::Status EvaluationService::GetGateReport(grpc::ServerContext* context, const v1::GetGateReportRequest* request,
                                              v1::GateReport* response) {
  return context_.boundary.run(context, "EvaluationService.GetGateReport", [&](const Call&) {
    *response = to_wire(context_.store.read([&](const registry::Reader& reader) {
      return reader.get_gate_report(reader.get_version(request->version()).name);
    }));
  });
}

}  // namespace masbak::services
