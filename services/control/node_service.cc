#include "services/control/node_service.h"

#include "base/error.h"
#include "base/log.h"
#include "services/control/tasks.h"
#include "services/control/wire.h"

namespace masbak::services {
namespace {

// Takes the events of one job's report; returns the last one known.
int64_t take_events(registry::Writer& writer, const std::string& node, const v1::TaskStatus& status) {
  registry::Job job = writer.get_job(status.id());
  if (job.node != node || status.events().empty()) return job.last_seq;
  try {
    return writer.append_job_events(job.name, events_of(status));
  } catch (const base::Error& error) {
    // A worker's damaged events must not cost the node its heartbeat, nor other jobs their reports.
    bool damaged = error.code() == base::Code::kOutOfRange || error.code() == base::Code::kInvalidArgument;
    if (!damaged) throw;
    base::log_warn("events of " + job.name + " are not taken: " + error.describe());
    return job.last_seq;
  }
}

const v1::TaskStatus* find_status(const v1::SyncRequest& request, const std::string& id) {
  for (const auto& status : request.tasks()) {
    if (status.id() == id) return &status;
  }
  return nullptr;
}

v1::SyncResponse sync(ControlContext& context, const v1::SyncRequest& request) {
  const std::string& node = request.node().name();
  registry::id_of("nodes", node, "node.name");
  return context.store.write(registry::Actor{node}, [&](registry::Writer& writer) {
    writer.sync_node(from_wire(request.node()));
    v1::SyncResponse response;
    for (auto& task : tasks_of(writer, node)) {
      const v1::TaskStatus* status = find_status(request, task.id());
      bool job = task.kind() != v1::Task::KIND_SERVE;
      int64_t seq = 0;
      if (job) seq = status != nullptr ? take_events(writer, node, *status) : writer.get_job(task.id()).last_seq;
      (*response.mutable_acknowledged_seq())[task.id()] = seq;
      *response.add_tasks() = std::move(task);
    }
    return response;
  });
}

}  // namespace

grpc::Status NodeService::ListNodes(grpc::ServerContext* context, const v1::ListNodesRequest* request,
                                    v1::ListNodesResponse* response) {
  return context_.boundary.run(context, "NodeService.ListNodes", [&](const Call&) {
    auto page =
        context_.store.read([&](const registry::Reader& reader) { return reader.list_nodes(page_of(*request)); });
    fill_page(page, response, [](auto* list) { return list->add_nodes(); });
  });
}

void NodeService::set_draining(const Call& call, const std::string& name, bool draining, v1::Node* response) {
  *response = to_wire(context_.store.write(
      call.actor, [&](registry::Writer& writer) { return writer.set_node_draining(name, draining); }));
  context_.changes.announce();
}

grpc::Status NodeService::DrainNode(grpc::ServerContext* context, const v1::DrainNodeRequest* request,
                                    v1::Node* response) {
  return context_.boundary.run(context, "NodeService.DrainNode",
                               [&](const Call& call) { set_draining(call, request->name(), true, response); });
}

grpc::Status NodeService::ResumeNode(grpc::ServerContext* context, const v1::ResumeNodeRequest* request,
                                     v1::Node* response) {
  return context_.boundary.run(context, "NodeService.ResumeNode",
                               [&](const Call& call) { set_draining(call, request->name(), false, response); });
}

grpc::Status NodeService::Sync(grpc::ServerContext* context, const v1::SyncRequest* request,
                               v1::SyncResponse* response) {
  return context_.boundary.run(context, "NodeService.Sync", [&](const Call&) {
    // Stored before it is shown to the scheduler: a job does not end before its events are there.
    *response = sync(context_, *request);
    context_.live_tasks.set(request->node().name(), *request);
    context_.changes.announce();
  });
}

grpc::Status NodeService::DownloadArtifact(grpc::ServerContext* context, const v1::DownloadArtifactRequest* request,
                                           grpc::ServerWriter<v1::ArtifactChunk>* writer) {
  return context_.boundary.run(context, "NodeService.DownloadArtifact", [&](const Call&) {
    v1::ArtifactChunk chunk;
    chunk.set_digest(request->digest());
    bool open = true;
    context_.artifacts.stream(request->digest(), [&](std::string_view bytes) {
      if (!open) return;
      chunk.set_data(std::string(bytes));
      open = writer->Write(chunk);
      chunk.clear_digest();
    });
  });
}

grpc::Status NodeService::UploadArtifact(grpc::ServerContext* context, grpc::ServerReader<v1::ArtifactChunk>* reader,
                                         v1::UploadArtifactResponse* response) {
  return context_.boundary.run(context, "NodeService.UploadArtifact", [&](const Call&) {
    v1::ArtifactChunk chunk;
    if (!reader->Read(&chunk) || chunk.digest().empty()) {
      base::fail_input("expected the digest in the first chunk of an upload, found none", {.field = "digest"});
    }
    std::string digest = chunk.digest();
    response->set_digest(digest);
    if (context_.artifacts.has(digest)) {
      response->set_size_bytes(context_.artifacts.size_bytes(digest));
      return;
    }
    auto upload = context_.artifacts.upload();
    do {
      upload.write(chunk.data());
    } while (reader->Read(&chunk));
    response->set_size_bytes(upload.size_bytes());
    upload.commit(digest);
  });
}

}  // namespace masbak::services
