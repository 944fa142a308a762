// audit list|verify
#include <iostream>

#include "masbak/v1/audit.grpc.pb.h"
#include "programs/cli/cli.h"
#include "programs/cli/output.h"

namespace masbak::cli {
namespace {

using Service = v1::AuditService;

struct Options {
  std::string resource;
  int most = 50;
};

int list(const Common& common, const Options& options) {
  v1::ListAuditRecordsRequest request;
  request.set_resource(options.resource);
  const auto response = common.connect().call_all(&Service::Stub::ListAuditRecords, request, options.most);
  if (common.json) {
    print_json(response);
    return 0;
  }
  Table table({"NUMBER", "TIME", "ACTOR", "ACTION", "RESOURCE", "DETAIL"});
  for (const v1::AuditRecord& record : response.records()) {
    table.add({std::to_string(record.number()), local_time(record.time()), record.actor(), record.action(),
               record.resource(), record.detail_json()});
  }
  table.print("No record.");
  return 0;
}

int verify(const Common& common) {
  const auto verdict = common.connect().call(&Service::Stub::VerifyAudit, v1::VerifyAuditRequest(), kLong);
  if (common.json) {
    print_json(verdict);
  } else if (verdict.intact()) {
    std::cout << verdict.records() << " records, the chain is intact\n";
  } else {
    std::cout << "the chain is broken after " << verdict.records() << " records: " << verdict.problem() << "\n";
  }
  return verdict.intact() ? 0 : 1;
}

}  // namespace

void add_audit_commands(Commands& commands) {
  CLI::App* group = commands.group("audit", "Who did what, when, to which digests");
  const auto options = std::make_shared<Options>();
  CLI::App* app = commands.add(group, "list", "List the records, newest first",
                               "masbak audit list --resource models/pump-assistant/versions/3",
                               [options](const Common& common) { return list(common, *options); });
  app->add_option("--resource", options->resource, "only this resource's");
  app->add_option("--limit", options->most, "at most about this many; 0: all")->capture_default_str();
  commands.add(group, "verify", "Check the whole chain; exit status 1 if it is broken", "masbak audit verify", verify);
}

}  // namespace masbak::cli
