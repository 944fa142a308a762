#include "services/control/wire.h"

namespace masbak::services {
namespace {

using google::protobuf::Timestamp;

// Left unset for "not yet".
template <typename Message>
void set_time(registry::Time time, Message* message, Timestamp* (Message::*field)()) {
  if (!registry::is_set(time)) return;
  auto micros = time.time_since_epoch().count();
  Timestamp* stamp = (message->*field)();
  stamp->set_seconds(micros / 1000000);
  stamp->set_nanos(static_cast<int>(micros % 1000000) * 1000);
}

v1::DeploymentState wire_state(registry::RevisionState state) {
  switch (state) {
    case registry::RevisionState::kPending: return v1::DEPLOYMENT_STATE_PENDING;
    case registry::RevisionState::kStarting: return v1::DEPLOYMENT_STATE_STARTING;
    case registry::RevisionState::kReady: return v1::DEPLOYMENT_STATE_READY;
    case registry::RevisionState::kFailed: return v1::DEPLOYMENT_STATE_FAILED;
    case registry::RevisionState::kStopping:
    case registry::RevisionState::kStopped: return v1::DEPLOYMENT_STATE_STOPPING;
  }
  return v1::DEPLOYMENT_STATE_UNSPECIFIED;
}

}  // namespace

v1::Dataset to_wire(const registry::Dataset& dataset) {
  v1::Dataset wire;
  wire.set_name(dataset.name);
  wire.set_digest(dataset.digest);
  wire.set_size_bytes(dataset.size_bytes);
  wire.set_rows(dataset.rows);
  wire.set_format(dataset.format);
  set_time(dataset.create_time, &wire, &v1::Dataset::mutable_create_time);
  wire.set_creator(dataset.creator);
  wire.set_etag(dataset.etag);
  return wire;
}

v1::BaseModel to_wire(const registry::BaseModel& model) {
  v1::BaseModel wire;
  wire.set_name(model.name);
  wire.set_path(model.path);
  wire.set_digest(model.digest);
  wire.set_family(model.family);
  wire.set_parameters(model.parameters);
  wire.set_weights_bytes(model.weights_bytes);
  set_time(model.create_time, &wire, &v1::BaseModel::mutable_create_time);
  wire.set_creator(model.creator);
  wire.set_etag(model.etag);
  return wire;
}

v1::Model to_wire(const registry::Model& model) {
  v1::Model wire;
  wire.set_name(model.name);
  wire.set_version_count(model.version_count);
  for (const auto& [alias, version] : model.aliases) (*wire.mutable_aliases())[alias] = version;
  set_time(model.create_time, &wire, &v1::Model::mutable_create_time);
  return wire;
}

v1::Version to_wire(const registry::Version& version) {
  v1::Version wire;
  wire.set_name(version.name);
  wire.set_base_model(version.base_model);
  wire.set_dataset(version.dataset);
  wire.set_job(version.job);
  wire.set_base_digest(version.base_digest);
  wire.set_dataset_digest(version.dataset_digest);
  wire.set_adapter_digest(version.adapter_digest);
  wire.set_run_digest(version.run_digest);
  wire.set_plan_digest(version.plan_digest);
  wire.set_eval_loss(version.eval_loss);
  wire.set_eval_loss_before(version.eval_loss_before);
  for (const auto& alias : version.aliases) wire.add_aliases(alias);
  wire.set_gate_state(version.gate_state);
  wire.set_gate_summary(version.gate_summary);
  for (const auto& who : version.approvals) wire.add_approvals(who);
  set_time(version.create_time, &wire, &v1::Version::mutable_create_time);
  wire.set_creator(version.creator);
  wire.set_etag(version.etag);
  return wire;
}

v1::Job to_wire(const registry::Job& job) {
  v1::Job wire;
  wire.set_name(job.name);
  wire.set_kind(static_cast<v1::JobKind>(job.kind));
  wire.set_state(static_cast<v1::JobState>(job.state));
  wire.set_model(job.model);
  wire.set_base_model(job.base_model);
  wire.set_dataset(job.dataset);
  wire.set_version(job.version);
  wire.set_node(job.node);
  wire.set_error(job.error);
  wire.set_run_yaml(job.run_yaml);
  set_time(job.create_time, &wire, &v1::Job::mutable_create_time);
  set_time(job.start_time, &wire, &v1::Job::mutable_start_time);
  set_time(job.end_time, &wire, &v1::Job::mutable_end_time);
  wire.set_creator(job.creator);
  wire.set_etag(job.etag);
  wire.set_last_seq(job.last_seq);
  wire.set_step(job.step);
  wire.set_total_steps(job.total_steps);
  wire.set_loss(job.loss);
  wire.set_eval_loss(job.eval_loss);
  return wire;
}

v1::JobEvent to_wire(const registry::JobEvent& event) {
  v1::JobEvent wire;
  wire.set_seq(event.seq);
  wire.set_type(event.type);
  wire.set_json(event.json);
  return wire;
}

v1::Report to_wire(const registry::Report& report) {
  v1::Report wire;
  wire.set_name(report.name);
  wire.set_version(report.version);
  wire.set_base_model(report.base_model);
  wire.set_suite(report.suite);
  wire.set_suite_digest(report.suite_digest);
  wire.set_digest(report.digest);
  for (const auto& [metric, value] : report.metrics) (*wire.mutable_metrics())[metric] = value;
  wire.set_json(report.json);
  set_time(report.create_time, &wire, &v1::Report::mutable_create_time);
  return wire;
}

v1::GateReport to_wire(const registry::GateReport& gate) {
  v1::GateReport wire;
  wire.set_name(gate.name);
  wire.set_version(gate.version);
  wire.set_passed(gate.passed);
  for (const auto& result : gate.results) {
    auto* item = wire.add_results();
    item->set_rule(result.rule);
    item->set_passed(result.passed);
    item->set_metric(result.metric);
    item->set_observed(result.observed);
    item->set_required(result.required);
    item->set_base(result.base);
    item->set_message(result.message);
  }
  wire.set_rules_digest(gate.rules_digest);
  set_time(gate.create_time, &wire, &v1::GateReport::mutable_create_time);
  wire.set_creator(gate.creator);
  return wire;
}

v1::Deployment to_wire(const registry::Deployment& deployment) {
  v1::Deployment wire;
  const registry::Revision& target = deployment.target;
  wire.set_name(deployment.name);
  wire.set_version(target.version);
  wire.set_previous_version(deployment.previous_version);
  wire.set_state(deployment.deleted ? v1::DEPLOYMENT_STATE_STOPPING : wire_state(target.state));
  wire.set_node(target.node);
  wire.set_endpoint(deployment.active ? deployment.active->endpoint : target.endpoint);
  wire.set_served_model_name(target.served_model_name);
  wire.set_base_model_name(target.base_model_name);
  wire.set_error(target.error);
  set_time(deployment.create_time, &wire, &v1::Deployment::mutable_create_time);
  set_time(deployment.update_time, &wire, &v1::Deployment::mutable_update_time);
  wire.set_creator(deployment.creator);
  wire.set_etag(deployment.etag);
  return wire;
}

v1::Node to_wire(const registry::Node& node) {
  v1::Node wire;
  wire.set_name(node.name);
  wire.set_state(static_cast<v1::NodeState>(node.state));
  wire.set_address(node.address);
  wire.set_cpu_cores(node.cpu_cores);
  wire.set_memory_bytes(node.memory_bytes);
  for (const auto& gpu : node.gpus) wire.add_gpus(gpu);
  set_time(node.last_sync_time, &wire, &v1::Node::mutable_last_sync_time);
  wire.set_running_tasks(node.running_tasks);
  wire.set_agent_version(node.agent_version);
  return wire;
}

v1::AuditRecord to_wire(const registry::AuditRecord& record) {
  v1::AuditRecord wire;
  wire.set_number(record.number);
  set_time(record.time, &wire, &v1::AuditRecord::mutable_time);
  wire.set_actor(record.actor);
  wire.set_action(record.action);
  wire.set_resource(record.resource);
  wire.set_detail_json(record.detail_json);
  wire.set_digest(record.digest);
  wire.set_previous_digest(record.previous_digest);
  return wire;
}

registry::Node from_wire(const v1::Node& node) {
  registry::Node result;
  result.name = node.name();
  result.address = node.address();
  result.cpu_cores = node.cpu_cores();
  result.memory_bytes = node.memory_bytes();
  result.gpus.assign(node.gpus().begin(), node.gpus().end());
  result.running_tasks = node.running_tasks();
  result.agent_version = node.agent_version();
  return result;
}

}  // namespace masbak::services
