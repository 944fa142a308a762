// The registry's types as messages. Pure conversions.
#pragma once

#include "masbak/v1/audit.pb.h"
#include "masbak/v1/dataset.pb.h"
#include "masbak/v1/deployment.pb.h"
#include "masbak/v1/evaluation.pb.h"
#include "masbak/v1/node.pb.h"
#include "masbak/v1/registry.pb.h"
#include "masbak/v1/training.pb.h"
#include "registry/store/reader.h"

namespace masbak::services {

v1::Dataset to_wire(const registry::Dataset& dataset);
v1::BaseModel to_wire(const registry::BaseModel& model);
v1::Model to_wire(const registry::Model& model);
v1::Version to_wire(const registry::Version& version);
v1::Job to_wire(const registry::Job& job);
v1::JobEvent to_wire(const registry::JobEvent& event);
v1::Report to_wire(const registry::Report& report);
v1::GateReport to_wire(const registry::GateReport& gate);
// What answers now and what is to come, as one: the state is the target's; while an older version still
// answers, the endpoint is that one's.
v1::Deployment to_wire(const registry::Deployment& deployment);
v1::Node to_wire(const registry::Node& node);
v1::AuditRecord to_wire(const registry::AuditRecord& record);

registry::Node from_wire(const v1::Node& node);

// page_size and page_token of any list request.
template <typename Request>
registry::PageRequest page_of(const Request& request) {
  return {request.page_size(), request.page_token()};
}

// A page into a list response: `add` is the response's add_… for one item.
template <typename Item, typename Response, typename Add>
void fill_page(const registry::Page<Item>& page, Response* response, const Add& add) {
  for (const auto& item : page.items) *add(response) = to_wire(item);
  response->set_next_page_token(page.next);
}

}  // namespace masbak::services
