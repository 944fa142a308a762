// dataset add|list|show|scan|remove
#include <algorithm>
#include <fstream>
#include <iostream>

#include "base/digest.h"
#include "base/durable_file.h"
#include "masbak/v1/dataset.grpc.pb.h"
#include "programs/cli/cli.h"
#include "programs/cli/names.h"
#include "programs/cli/output.h"

namespace masbak::cli {
namespace {

using Service = v1::DatasetService;

struct Options {
  std::string file, name;
  bool validate_only = false;
};

v1::Dataset upload(const Client& client, const Options& options) {
  const base::MappedFile file(options.file);
  v1::CreateDatasetRequest part;
  auto* header = part.mutable_header();
  header->set_dataset_id(options.name.empty() ? id_from_file(options.file)
                                              : short_name(full_name("datasets", options.name)));
  header->set_request_id(new_request_id());
  header->set_validate_only(options.validate_only);
  header->set_file_name(std::filesystem::path(options.file).filename().string());
  header->set_digest(base::digest_bytes(file.bytes()));

  Service::Stub stub(client.channel());
  grpc::ClientContext context;
  client.prepare(context);
  v1::Dataset dataset;
  const auto writer = stub.CreateDataset(&context, &dataset);
  bool open = writer->Write(part);
  constexpr size_t kPiece = 256 << 10;
  for (size_t at = 0; open && at < file.bytes().size(); at += kPiece) {
    part.set_chunk(std::string(file.bytes().substr(at, kPiece)));
    open = writer->Write(part);
  }
  writer->WritesDone();
  if (const grpc::Status status = writer->Finish(); !status.ok()) client.fail(status);
  return dataset;
}

void print(const v1::Dataset& dataset) {
  print_fields({{"name", dataset.name()},
                {"rows", std::to_string(dataset.rows())},
                {"format", dataset.format()},
                {"size", bytes(dataset.size_bytes())},
                {"digest", dataset.digest()},
                {"created", local_time(dataset.create_time())},
                {"by", dataset.creator()}});
}

int add(const Common& common, const Options& options) {
  const v1::Dataset dataset = upload(common.connect(), options);
  common.json ? print_json(dataset) : print(dataset);
  return 0;
}

int list(const Common& common) {
  const auto response = common.connect().call_all(&Service::Stub::ListDatasets, v1::ListDatasetsRequest());
  if (common.json) {
    print_json(response);
    return 0;
  }
  Table table({"NAME", "ROWS", "FORMAT", "SIZE", "DIGEST", "CREATED"});
  for (const v1::Dataset& dataset : response.datasets()) {
    table.add({short_name(dataset.name()), std::to_string(dataset.rows()), dataset.format(),
               bytes(dataset.size_bytes()), short_digest(dataset.digest()), local_time(dataset.create_time())});
  }
  table.print("No dataset yet. Add one: masbak dataset add FILE.jsonl");
  return 0;
}

int show(const Common& common, const Options& options) {
  v1::GetDatasetRequest request;
  request.set_name(full_name("datasets", options.name));
  const v1::Dataset dataset = common.connect().call(&Service::Stub::GetDataset, request);
  common.json ? print_json(dataset) : print(dataset);
  return 0;
}

int scan(const Common& common, const Options& options) {
  v1::ScanDatasetRequest request;
  request.set_name(full_name("datasets", options.name));
  const v1::ScanDatasetResponse found = common.connect().call(&Service::Stub::ScanDataset, request, kLong);
  if (common.json) {
    print_json(found);
  } else {
    for (const v1::RowProblem& problem : found.problems()) {
      std::cout << "line " << problem.line() << (problem.field().empty() ? "" : ", " + problem.field()) << ": "
                << problem.message() << "\n";
    }
    std::cout << found.rows() << " rows, format " << found.format() << ", " << found.problems_size() << " problems\n";
  }
  return found.problems_size() == 0 ? 0 : 1;
}

int remove(const Common& common, const Options& options) {
  v1::DeleteDatasetRequest request;
  request.set_name(full_name("datasets", options.name));
  const auto response = common.connect().call(&Service::Stub::DeleteDataset, request);
  if (common.json) {
    print_json(response);
  } else {
    std::cout << "removed " << request.name() << "\n";
  }
  return 0;
}

}  // namespace

void add_dataset_commands(Commands& commands) {
  CLI::App* group = commands.group("dataset", "In-house data: add, look at, check, remove");
  const auto options = std::make_shared<Options>();
  CLI::App* app = commands.add(group, "add", "Upload a file; every row is checked",
                               "masbak dataset add pumps.jsonl --name refinery",
                               [options](const Common& common) { return add(common, *options); });
  app->add_option("FILE", options->file, "JSON Lines, in a format that training reads")->required();
  app->add_option("--name", options->name, "name of the dataset; else made of the file's");
  app->add_flag("--validate-only", options->validate_only, "check everything, keep nothing");
  commands.add(group, "list", "List the datasets, newest first", "masbak dataset list", list);
  app = commands.add(group, "show", "Show one dataset", "masbak dataset show refinery",
                     [options](const Common& common) { return show(common, *options); });
  app->add_option("NAME", options->name)->required();
  app =
      commands.add(group, "scan", "Read every row as training would; exit status 1 if one is bad",
                   "masbak dataset scan refinery", [options](const Common& common) { return scan(common, *options); });
  app->add_option("NAME", options->name)->required();
  app =
      commands.add(group, "remove", "Remove a dataset that no version was trained on", "masbak dataset remove refinery",
                   [options](const Common& common) { return remove(common, *options); });
  app->add_option("NAME", options->name)->required();
}

}  // namespace masbak::cli
