#include "services/control/dataset_service.h"

#include <tuple>
#include <utility>

#include "base/error.h"
#include "services/control/scan_dataset.h"
#include "services/control/wire.h"
#include "services/middleware/once.h"

namespace masbak::services {
namespace {

using Header = v1::CreateDatasetRequest::Header;

// The bytes after the header, stored whole. Bytes of a dataset that is refused then stay unnamed in the artifact
// store, where a corrected upload does not see them.
std::pair<std::string, int64_t> store_bytes(registry::ArtifactStore& artifacts, const grpc::ServerContext& context,
                                            grpc::ServerReader<v1::CreateDatasetRequest>& reader,
                                            const std::string& expected_digest) {
  auto upload = artifacts.upload();
  v1::CreateDatasetRequest part;
  while (reader.Read(&part)) {
    if (part.has_header()) base::fail_input("expected one header at the start of an upload, found another");
    upload.write(part.chunk());
  }
  if (context.IsCancelled()) throw base::Error(base::Code::kCancelled, "the upload was broken off");
  int64_t size_bytes = upload.size_bytes();
  return {upload.commit(expected_digest), size_bytes};
}

}  // namespace

grpc::Status DatasetService::CreateDataset(grpc::ServerContext* context,
                                           grpc::ServerReader<v1::CreateDatasetRequest>* reader,
                                           v1::Dataset* response) {
  return context_.boundary.run(context, "DatasetService.CreateDataset", [&](const Call& call) {
    v1::CreateDatasetRequest first;
    if (!reader->Read(&first) || !first.has_header()) {
      base::fail_input("expected a header as the first message of an upload, found none");
    }
    const Header& header = first.header();
    registry::Dataset dataset;
    dataset.name = registry::make_name("datasets", header.dataset_id());
    std::tie(dataset.digest, dataset.size_bytes) = store_bytes(context_.artifacts, *context, *reader, header.digest());
    dataset.file_name = header.file_name();
    v1::ScanDatasetResponse scan = scan_dataset(context_, dataset.digest);
    require_sound(scan, header.file_name().empty() ? header.dataset_id() : header.file_name());
    dataset.rows = scan.rows();
    dataset.format = scan.format();
    // The bytes are part of what a repeat must repeat.
    Header arguments = header;
    arguments.set_file_name(header.file_name() + "\n" + dataset.digest);
    *response = change_once<v1::Dataset>(context_.store, call, arguments, [&](registry::Writer& writer) {
      return to_wire(writer.create_dataset(dataset));
    });
  });
}

grpc::Status DatasetService::GetDataset(grpc::ServerContext* context, const v1::GetDatasetRequest* request,
                                        v1::Dataset* response) {
  return context_.boundary.run(context, "DatasetService.GetDataset", [&](const Call&) {
    *response = to_wire(
        context_.store.read([&](const registry::Reader& reader) { return reader.get_dataset(request->name()); }));
  });
}

grpc::Status DatasetService::ListDatasets(grpc::ServerContext* context, const v1::ListDatasetsRequest* request,
                                          v1::ListDatasetsResponse* response) {
  return context_.boundary.run(context, "DatasetService.ListDatasets", [&](const Call&) {
    auto page =
        context_.store.read([&](const registry::Reader& reader) { return reader.list_datasets(page_of(*request)); });
    fill_page(page, response, [](auto* list) { return list->add_datasets(); });
  });
}

grpc::Status DatasetService::ScanDataset(grpc::ServerContext* context, const v1::ScanDatasetRequest* request,
                                         v1::ScanDatasetResponse* response) {
  return context_.boundary.run(context, "DatasetService.ScanDataset", [&](const Call&) {
    auto dataset =
        context_.store.read([&](const registry::Reader& reader) { return reader.get_dataset(request->name()); });
    *response = scan_dataset(context_, dataset.digest);
  });
}

grpc::Status DatasetService::DeleteDataset(grpc::ServerContext* context, const v1::DeleteDatasetRequest* request,
                                           v1::DeleteDatasetResponse*) {
  return context_.boundary.run(context, "DatasetService.DeleteDataset", [&](const Call& call) {
    context_.store.write(call.actor,
                         [&](registry::Writer& writer) { writer.delete_dataset(request->name(), request->etag()); });
  });
}

}  // namespace masbak::services
