#include "gui/models/workspace.h"

#include "gui/models/columns.h"

namespace masbak::gui {

using namespace masbak::v1;

namespace {

constexpr int kRefreshMs = 1500;
constexpr int kPageSize = 200;

template <typename Request>
Request first_page() {
  Request request;
  request.set_page_size(kPageSize);
  return request;
}

}  // namespace

Workspace::Workspace(Client& client, QObject* parent)
    : QObject(parent),
      jobs(job_columns()),
      versions(version_columns()),
      deployments(deployment_columns()),
      nodes(node_columns()),
      datasets(dataset_columns()),
      base_models(base_model_columns()),
      client_(client) {
  connect(&timer_, &QTimer::timeout, this, &Workspace::refresh);
  timer_.start(kRefreshMs);
  refresh();
}

template <typename Stub, typename Request, typename Response, typename Resource>
void Workspace::fetch(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                      const Request& request,
                      const google::protobuf::RepeatedPtrField<Resource>& (Response::*list)() const,
                      ResourceModel<Resource>& model) {
  ++pending_;
  auto first = std::make_shared<bool>(!loaded());
  client_.call<Stub, Request, Response>(
      method, request, this,
      [this, list, &model, first](const Response& response) {
        --pending_;
        const auto& rows = (response.*list)();
        model.update({rows.begin(), rows.end()});
        if (*first) ++loaded_;
        Q_EMIT changed();
      },
      // The banner tells a person about a lost connection; the next refresh tries again.
      [this](const Fault&) { --pending_; });
}

void Workspace::refresh() {
  if (pending_ > 0) return;
  auto versions_request = first_page<ListVersionsRequest>();
  versions_request.set_parent("models/-");
  fetch(&TrainingService::Stub::ListJobs, first_page<ListJobsRequest>(), &ListJobsResponse::jobs, jobs);
  fetch(&RegistryService::Stub::ListVersions, versions_request, &ListVersionsResponse::versions, versions);
  fetch(&DeploymentService::Stub::ListDeployments, first_page<ListDeploymentsRequest>(),
        &ListDeploymentsResponse::deployments, deployments);
  fetch(&NodeService::Stub::ListNodes, first_page<ListNodesRequest>(), &ListNodesResponse::nodes, nodes);
  fetch(&DatasetService::Stub::ListDatasets, first_page<ListDatasetsRequest>(), &ListDatasetsResponse::datasets,
        datasets);
  fetch(&RegistryService::Stub::ListBaseModels, first_page<ListBaseModelsRequest>(),
        &ListBaseModelsResponse::base_models, base_models);
}

void Workspace::retranslate() {
  jobs.retranslate();
  versions.retranslate();
  deployments.retranslate();
  nodes.retranslate();
  datasets.retranslate();
  base_models.retranslate();
}

}  // namespace masbak::gui
