// model add|list|show
#include <algorithm>
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
  std::string name, path;
  bool validate_only = false;
};

void print(const v1::BaseModel& model) {
  print_fields({{"name", model.name()},
                {"family", model.family()},
                {"parameters", std::to_string(model.parameters())},
                {"weights", bytes(model.weights_bytes())},
                {"path", model.path()},
                {"digest", model.digest()},
                {"created", local_time(model.create_time())},
                {"by", model.creator()}});
}

int add(const Common& common, const Options& options) {
  v1::CreateBaseModelRequest request;
  const std::filesystem::path path = std::filesystem::absolute(options.path).lexically_normal();
  request.set_path(path.string());
  const std::string folder = (path.has_filename() ? path : path.parent_path()).filename().string();
  request.set_base_model_id(options.name.empty() ? id_from_file(folder + "/")
                                                 : short_name(full_name("baseModels", options.name)));
  request.set_request_id(new_request_id());
  request.set_validate_only(options.validate_only);
  const v1::BaseModel model = common.connect().call(&Service::Stub::CreateBaseModel, request, kLong);
  common.json ? print_json(model) : print(model);
  return 0;
}

std::string aliases_of(const v1::Model& model) {
  std::string text;
  for (const auto& [alias, version] : model.aliases()) {
    text += (text.empty() ? "" : ", ") + alias + " → " + short_version(version);
  }
  return text;
}

int list(const Common& common) {
  const Client client = common.connect();
  const auto bases = client.call_all(&Service::Stub::ListBaseModels, v1::ListBaseModelsRequest());
  const auto models = client.call_all(&Service::Stub::ListModels, v1::ListModelsRequest());
  if (common.json) {
    std::cout << "{\"base\":";
    print_json(bases);
    std::cout << ",\"fine_tuned\":";
    print_json(models);
    std::cout << "}\n";
    return 0;
  }
  Table base_table({"BASE MODEL", "FAMILY", "PARAMETERS", "WEIGHTS", "DIGEST", "PATH"});
  for (const v1::BaseModel& model : bases.base_models()) {
    base_table.add({short_name(model.name()), model.family(), std::to_string(model.parameters()),
                    bytes(model.weights_bytes()), short_digest(model.digest()), model.path()});
  }
  base_table.print("No base model yet. Add one: masbak model add FOLDER --name NAME");
  std::cout << "\n";
  Table table({"MODEL", "VERSIONS", "ALIASES", "CREATED"});
  for (const v1::Model& model : models.models()) {
    table.add({short_name(model.name()), std::to_string(model.version_count()), aliases_of(model),
               local_time(model.create_time())});
  }
  table.print("No fine-tuned model yet. Make one: masbak job submit RUN.yaml --model NAME --dataset DATASET");
  return 0;
}

// A bare name may be a base model's or a fine-tuned one's; the fine-tuned one is asked for first.
int show(const Common& common, const Options& options) {
  const Client client = common.connect();
  const std::string wanted = full_name("models", options.name);
  if (!options.name.starts_with("baseModels/")) {
    const auto models = client.call_all(&Service::Stub::ListModels, v1::ListModelsRequest());
    const auto found = std::find_if(models.models().begin(), models.models().end(),
                                    [&](const v1::Model& model) { return model.name() == wanted; });
    if (found != models.models().end()) {
      if (common.json) {
        print_json(*found);
        return 0;
      }
      print_fields({{"name", found->name()},
                    {"versions", std::to_string(found->version_count())},
                    {"aliases", aliases_of(*found)},
                    {"created", local_time(found->create_time())}});
      std::cout << "\n";
      v1::ListVersionsRequest request;
      request.set_parent(found->name());
      print_versions(client.call_all(&Service::Stub::ListVersions, request));
      return 0;
    }
  }
  v1::GetBaseModelRequest request;
  request.set_name(full_name("baseModels", options.name));
  const v1::BaseModel model = client.call(&Service::Stub::GetBaseModel, request);
  common.json ? print_json(model) : print(model);
  return 0;
}

}  // namespace

void add_model_commands(Commands& commands) {
  CLI::App* group = commands.group("model", "Base models and fine-tuned models");
  const auto options = std::make_shared<Options>();
  CLI::App* app = commands.add(group, "add", "Register a Hugging Face folder as a base model",
                               "masbak model add /models/deepseek-v3 --name deepseek",
                               [options](const Common& common) { return add(common, *options); });
  app->add_option("FOLDER", options->path, "as it lies on the nodes")->required();
  app->add_option("--name", options->name, "name of the base model; else the folder's");
  app->add_flag("--validate-only", options->validate_only, "check everything, keep nothing");
  commands.add(group, "list", "List base models and fine-tuned models", "masbak model list", list);
  app =
      commands.add(group, "show", "Show a model with its versions, or a base model", "masbak model show pump-assistant",
                   [options](const Common& common) { return show(common, *options); });
  app->add_option("NAME", options->name)->required();
}

}  // namespace masbak::cli
