#include "gui/models/workspace.h"

#include "gui/models/columns.h"

namespace masbak::gui {

using namespace masbak::v1;

namespace {

constexpr int kRefreshMs = 1500;
constexpr int kPageSize = 200;
constexpr size_t kMostRows = 5000;  // more than a person scrolls through

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
                      ResourceModel<Resource>& model, std::vector<Resource> so_far) {
  ++pending_;
  client_.call<Stub, Request, Response>(
      method, request, this,
      [this, method, request, list, &model, all = std::move(so_far)](const Response& response) mutable {
        --pending_;
        const auto& rows = (response.*list)();
        all.insert(all.end(), rows.begin(), rows.end());
        if (!response.next_page_token().empty() && all.size() < kMostRows) {
          Request next = request;
          next.set_page_token(response.next_page_token());
          fetch(method, next, list, model, std::move(all));
          return;
        }
        model.update(all);
        loaded_.insert(&model);
        Q_EMIT changed();
      },
      [this](const Fault& fault) {
        --pending_;
        // A lost connection has a banner of its own; in both cases the next refresh tries again.
        if (!fault.unreachable()) Q_EMIT refused(fault.message);
      });
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
