#include "services/control/registry_service.h"

#include "base/document.h"
#include "base/error.h"
#include "services/control/gate_check.h"
#include "services/control/wire.h"
#include "services/launcher/worker_tool.h"
#include "services/middleware/once.h"

namespace masbak::services {
namespace {

registry::BaseModel inspected_model(const std::filesystem::path& worker, const v1::CreateBaseModelRequest& request) {
  registry::BaseModel model;
  model.name = registry::make_name("baseModels", request.base_model_id());
  if (!std::filesystem::path(request.path()).is_absolute()) {
    base::fail_input("expected the absolute path of a model folder, found \"" + request.path() + "\"",
                     {.field = "path"});
  }
  model.path = std::filesystem::path(request.path()).lexically_normal();
  base::Json json = inspect_model(worker, model.path);
  model.digest = json.at("digest").get<std::string>();
  model.family = json.at("family").get<std::string>();
  model.parameters = json.at("parameters").get<int64_t>();
  model.weights_bytes = json.at("weights_bytes").get<int64_t>();
  return model;
}

// One artifact of a version, hashed again.
v1::VerifyVersionResponse::Artifact verified(const std::string& kind, const std::string& digest,
                                             const std::function<void()>& check) {
  v1::VerifyVersionResponse::Artifact artifact;
  artifact.set_kind(kind);
  artifact.set_digest(digest);
  artifact.set_intact(true);
  try {
    check();
  } catch (const base::Error& error) {
    artifact.set_intact(false);
    artifact.set_problem(error.describe());
  }
  return artifact;
}

void check_base(const ControlContext& context, const registry::BaseModel& model) {
  std::string found = inspect_model(context.worker, model.path).at("digest").get<std::string>();
  if (found == model.digest) return;
  throw base::Error(base::Code::kDataLoss, "expected " + model.digest + ", found " + found, {model.path});
}

}  // namespace

grpc::Status RegistryService::CreateBaseModel(grpc::ServerContext* context, const v1::CreateBaseModelRequest* request,
                                              v1::BaseModel* response) {
  return context_.boundary.run(context, "RegistryService.CreateBaseModel", [&](const Call& call) {
    if (auto before = context_.store.remembered(call.actor, request_key(call, *request))) {
      response->ParseFromString(*before);
      return;
    }
    registry::BaseModel model = inspected_model(context_.worker, *request);
    *response = change_once<v1::BaseModel>(context_.store, call, *request, [&](registry::Writer& writer) {
      return to_wire(writer.create_base_model(model));
    });
  });
}

grpc::Status RegistryService::GetBaseModel(grpc::ServerContext* context, const v1::GetBaseModelRequest* request,
                                           v1::BaseModel* response) {
  return context_.boundary.run(context, "RegistryService.GetBaseModel", [&](const Call&) {
    *response = to_wire(
        context_.store.read([&](const registry::Reader& reader) { return reader.get_base_model(request->name()); }));
  });
}

grpc::Status RegistryService::ListBaseModels(grpc::ServerContext* context, const v1::ListBaseModelsRequest* request,
                                             v1::ListBaseModelsResponse* response) {
  return context_.boundary.run(context, "RegistryService.ListBaseModels", [&](const Call&) {
    auto page =
        context_.store.read([&](const registry::Reader& reader) { return reader.list_base_models(page_of(*request)); });
    fill_page(page, response, [](auto* list) { return list->add_base_models(); });
  });
}

grpc::Status RegistryService::ListModels(grpc::ServerContext* context, const v1::ListModelsRequest* request,
                                         v1::ListModelsResponse* response) {
  return context_.boundary.run(context, "RegistryService.ListModels", [&](const Call&) {
    auto page =
        context_.store.read([&](const registry::Reader& reader) { return reader.list_models(page_of(*request)); });
    fill_page(page, response, [](auto* list) { return list->add_models(); });
  });
}

grpc::Status RegistryService::GetVersion(grpc::ServerContext* context, const v1::GetVersionRequest* request,
                                         v1::Version* response) {
  return context_.boundary.run(context, "RegistryService.GetVersion", [&](const Call&) {
    *response = to_wire(
        context_.store.read([&](const registry::Reader& reader) { return reader.get_version(request->name()); }));
  });
}

grpc::Status RegistryService::ListVersions(grpc::ServerContext* context, const v1::ListVersionsRequest* request,
                                           v1::ListVersionsResponse* response) {
  return context_.boundary.run(context, "RegistryService.ListVersions", [&](const Call&) {
    auto page = context_.store.read(
        [&](const registry::Reader& reader) { return reader.list_versions(request->parent(), page_of(*request)); });
    fill_page(page, response, [](auto* list) { return list->add_versions(); });
  });
}

grpc::Status RegistryService::VerifyVersion(grpc::ServerContext* context, const v1::VerifyVersionRequest* request,
                                            v1::VerifyVersionResponse* response) {
  return context_.boundary.run(context, "RegistryService.VerifyVersion", [&](const Call&) {
    auto [version, base] = context_.store.read([&](const registry::Reader& reader) {
      auto found = reader.get_version(request->name());
      return std::pair(found, reader.get_base_model(found.base_model));
    });
    *response->add_artifacts() =
        verified("base", version.base_digest, [&, base = base] { check_base(context_, base); });
    for (const auto& [kind, digest] :
         {std::pair("dataset", version.dataset_digest), std::pair("adapter", version.adapter_digest),
          std::pair("run", version.run_digest)}) {
      *response->add_artifacts() = verified(kind, digest, [&, digest = digest] { context_.artifacts.verify(digest); });
    }
  });
}

grpc::Status RegistryService::ApproveVersion(grpc::ServerContext* context, const v1::ApproveVersionRequest* request,
                                             v1::Version* response) {
  return context_.boundary.run(context, "RegistryService.ApproveVersion", [&](const Call& call) {
    *response = change_once<v1::Version>(context_.store, call, *request, [&](registry::Writer& writer) {
      std::string name = writer.get_version(request->name()).name;
      writer.approve_version(name, request->comment());
      return to_wire(writer.get_version(name));
    });
  });
}

grpc::Status RegistryService::PromoteVersion(grpc::ServerContext* context, const v1::PromoteVersionRequest* request,
                                             v1::Version* response) {
  return context_.boundary.run(context, "RegistryService.PromoteVersion", [&](const Call& call) {
    try {
      *response = change_once<v1::Version>(context_.store, call, *request, [&](registry::Writer& writer) {
        writer.lock_model(registry::parse_version_name(request->name()).model);
        registry::Version version = writer.get_version(request->name());
        require_passed_gate(version, "promote");
        std::optional<std::string> expected;
        if (!request->expected_current().empty()) expected = writer.get_version(request->expected_current()).name;
        writer.set_alias(request->alias(), version.name, expected);
        return to_wire(writer.get_version(version.name));
      });
    } catch (const base::Error& error) {
      if (error.code() == base::Code::kFailedPrecondition && !request->validate_only()) {
        base::Json detail = {{"alias", request->alias()}, {"reason", error.what()}};
        context_.store.write(call.actor, [&](registry::Writer& writer) {
          writer.audit("version.promote_refused", request->name(), detail.dump());
        });
      }
      throw;
    }
  });
}

}  // namespace masbak::services
