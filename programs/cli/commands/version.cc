// version list|show|verify, approve, promote
#include <iostream>

#include "masbak/v1/registry.grpc.pb.h"
#include "programs/cli/cli.h"
#include "programs/cli/names.h"
#include "programs/cli/output.h"
#include "programs/cli/version_table.h"

namespace masbak::cli {
namespace {

using Service = v1::RegistryService;

struct Options {
  std::string name, comment, alias, expected;
  bool validate_only = false;
};

template <typename List>
std::string joined(const List& list) {
  std::string text;
  for (const std::string& item : list) text += (text.empty() ? "" : ", ") + item;
  return text;
}

void print(const v1::Version& version) {
  print_fields({{"name", version.name()},
                {"base model", version.base_model()},
                {"dataset", version.dataset()},
                {"job", version.job()},
                {"eval loss", number(version.eval_loss())},
                {"eval loss before", number(version.eval_loss_before())},
                {"gate", version.gate_state() + (version.gate_summary().empty() ? "" : ": " + version.gate_summary())},
                {"aliases", joined(version.aliases())},
                {"approved by", joined(version.approvals())},
                {"adapter digest", version.adapter_digest()},
                {"base digest", version.base_digest()},
                {"dataset digest", version.dataset_digest()},
                {"run digest", version.run_digest()},
                {"plan digest", version.plan_digest()},
                {"created", local_time(version.create_time())},
                {"by", version.creator()}});
}

int list(const Common& common, const Options& options) {
  v1::ListVersionsRequest request;
  request.set_parent(options.name.empty() ? "models/-" : full_name("models", options.name));
  const auto versions = common.connect().call_all(&Service::Stub::ListVersions, request);
  common.json ? print_json(versions) : print_versions(versions);
  return 0;
}

int show(const Common& common, const Options& options) {
  v1::GetVersionRequest request;
  request.set_name(version_name(options.name));
  const v1::Version version = common.connect().call(&Service::Stub::GetVersion, request);
  common.json ? print_json(version) : print(version);
  return 0;
}

int verify(const Common& common, const Options& options) {
  v1::VerifyVersionRequest request;
  request.set_name(version_name(options.name));
  const auto verdict = common.connect().call(&Service::Stub::VerifyVersion, request, kLong);
  bool intact = true;
  Table table({"ARTIFACT", "DIGEST", "STATE"});
  for (const auto& artifact : verdict.artifacts()) {
    intact = intact && artifact.intact();
    table.add({artifact.kind(), short_digest(artifact.digest()), artifact.intact() ? "intact" : artifact.problem()});
  }
  if (common.json) {
    print_json(verdict);
  } else {
    table.print("This version names no artifact.");
  }
  return intact ? 0 : 1;
}

int approve(const Common& common, const Options& options) {
  v1::ApproveVersionRequest request;
  request.set_name(version_name(options.name));
  request.set_comment(options.comment);
  request.set_request_id(new_request_id());
  const v1::Version version = common.connect().call(&Service::Stub::ApproveVersion, request);
  if (common.json) {
    print_json(version);
  } else {
    std::cout << short_version(version.name()) << " is approved by " << joined(version.approvals()) << "\n";
  }
  return 0;
}

int promote(const Common& common, const Options& options) {
  v1::PromoteVersionRequest request;
  request.set_name(version_name(options.name));
  request.set_alias(options.alias);
  if (!options.expected.empty()) request.set_expected_current(version_name(options.expected));
  request.set_request_id(new_request_id());
  request.set_validate_only(options.validate_only);
  const v1::Version version = common.connect().call(&Service::Stub::PromoteVersion, request);
  if (common.json) {
    print_json(version);
  } else {
    std::cout << model_id(version.name()) << "@" << options.alias
              << (options.validate_only ? " could point at " : " points at ") << short_version(version.name()) << "\n";
  }
  return 0;
}

}  // namespace

void add_version_commands(Commands& commands) {
  CLI::App* group = commands.group("version", "Immutable versions of fine-tuned models");
  const auto options = std::make_shared<Options>();
  CLI::App* app =
      commands.add(group, "list", "List the versions of a model, or of all", "masbak version list pump-assistant",
                   [options](const Common& common) { return list(common, *options); });
  app->add_option("MODEL", options->name);
  app = commands.add(group, "show", "Show a version with its digests", "masbak version show pump-assistant@production",
                     [options](const Common& common) { return show(common, *options); });
  app->add_option("VERSION", options->name, "NAME@3 or NAME@ALIAS")->required();
  app = commands.add(group, "verify", "Hash every artifact again; exit status 1 if one differs",
                     "masbak version verify pump-assistant@3",
                     [options](const Common& common) { return verify(common, *options); });
  app->add_option("VERSION", options->name, "NAME@3 or NAME@ALIAS")->required();
  app = commands.add(&commands.root(), "approve", "Approve a version",
                     "masbak approve pump-assistant@3 --comment 'checked by operations'",
                     [options](const Common& common) { return approve(common, *options); });
  app->add_option("VERSION", options->name, "NAME@3 or NAME@ALIAS")->required();
  app->add_option("--comment", options->comment, "kept with the approval");
  app = commands.add(&commands.root(), "promote", "Point an alias at a version whose gate passed",
                     "masbak promote pump-assistant@3 --to production",
                     [options](const Common& common) { return promote(common, *options); });
  app->add_option("VERSION", options->name, "NAME@3 or NAME@ALIAS")->required();
  app->add_option("--to", options->alias, "the alias")->required();
  app->add_option("--expected", options->expected, "refuse unless the alias points at this version now");
  app->add_flag("--validate-only", options->validate_only, "check everything, change nothing");
}

}  // namespace masbak::cli
