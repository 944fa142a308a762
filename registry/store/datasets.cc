// Datasets and base models: immutable things with a name.
#include "registry/store/session.h"
#include "registry/store/writer.h"

namespace masbak::registry {
namespace {

constexpr char kSelectDataset[] = "SELECT *, micros(create_time) AS created FROM datasets WHERE ";
constexpr char kSelectBaseModel[] = "SELECT *, micros(create_time) AS created FROM base_models WHERE ";

Dataset parse_dataset(const pqxx::row& row) {
  Dataset dataset{.name = text(row, "name"),
                  .digest = text(row, "digest"),
                  .size_bytes = whole(row, "size_bytes"),
                  .rows = whole(row, "rows"),
                  .format = text(row, "format"),
                  .file_name = text(row, "file_name"),
                  .create_time = instant(row, "created"),
                  .creator = text(row, "creator")};
  dataset.etag = make_etag({dataset.name, dataset.digest, text(row, "number")});
  return dataset;
}

BaseModel parse_base_model(const pqxx::row& row) {
  BaseModel model{.name = text(row, "name"),
                  .path = text(row, "path"),
                  .digest = text(row, "digest"),
                  .family = text(row, "family"),
                  .parameters = whole(row, "parameters"),
                  .weights_bytes = whole(row, "weights_bytes"),
                  .create_time = instant(row, "created"),
                  .creator = text(row, "creator")};
  model.etag = make_etag({model.name, model.digest, text(row, "number")});
  return model;
}

[[noreturn]] void fail_taken(const std::string& name, const std::string& there, const std::string& given) {
  fail(base::Code::kAlreadyExists,
       name + " exists with other content (" + there + ", not " + given + "): choose another name");
}

}  // namespace

Dataset Reader::get_dataset(const std::string& name) const {
  id_of("datasets", name);
  const pqxx::result rows = session().exec(std::string(kSelectDataset) + "name = $1", name);
  if (rows.empty()) fail(base::Code::kNotFound, "there is no " + name + ": list the datasets to see which there are");
  return parse_dataset(rows[0]);
}

Page<Dataset> Reader::list_datasets(const PageRequest& page) const {
  return read_page<Dataset>(session(), "datasets", page, std::string(kSelectDataset) + "{page}", "number",
                            parse_dataset);
}

Dataset Writer::create_dataset(const Dataset& dataset) {
  id_of("datasets", dataset.name);
  require_digest(dataset.digest, "digest");
  const pqxx::result added = session().exec(
      "INSERT INTO datasets (name, digest, size_bytes, rows, format, file_name, creator) "
      "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (name) DO NOTHING RETURNING 1",
      dataset.name, dataset.digest, dataset.size_bytes, dataset.rows, dataset.format, dataset.file_name,
      session().actor());
  Dataset there = get_dataset(dataset.name);
  if (!added.empty()) {
    session().record("dataset.create", there.name, {{"digest", there.digest}, {"rows", there.rows}});
  } else if (there.digest != dataset.digest) {
    fail_taken(there.name, there.digest, dataset.digest);
  }
  return there;
}

void Writer::delete_dataset(const std::string& name, const std::string& etag) {
  const Dataset dataset = get_dataset(name);
  check_etag(etag, dataset.etag, name);
  const pqxx::result versions =
      session().exec("SELECT name FROM versions WHERE dataset_digest = $1 LIMIT 1", dataset.digest);
  if (!versions.empty()) {
    fail(base::Code::kFailedPrecondition,
         name + " cannot go: " + text(versions[0], "name") + " was trained on it, and a version keeps its data");
  }
  const pqxx::result jobs = session().exec(
      "SELECT name FROM jobs WHERE state IN ('QUEUED', 'RUNNING') AND (dataset = $1 OR eval_dataset = $1) LIMIT 1",
      name);
  if (!jobs.empty()) {
    fail(base::Code::kFailedPrecondition,
         name + " cannot go while " + text(jobs[0], "name") + " uses it: cancel the job or wait for its end");
  }
  session().exec("DELETE FROM datasets WHERE name = $1", name);
  session().record("dataset.delete", name, {{"digest", dataset.digest}});
}

BaseModel Reader::get_base_model(const std::string& name) const {
  id_of("baseModels", name);
  const pqxx::result rows = session().exec(std::string(kSelectBaseModel) + "name = $1", name);
  if (rows.empty())
    fail(base::Code::kNotFound, "there is no " + name + ": list the base models to see which there are");
  return parse_base_model(rows[0]);
}

Page<BaseModel> Reader::list_base_models(const PageRequest& page) const {
  return read_page<BaseModel>(session(), "base_models", page, std::string(kSelectBaseModel) + "{page}", "number",
                              parse_base_model);
}

BaseModel Writer::create_base_model(const BaseModel& model) {
  id_of("baseModels", model.name);
  require_digest(model.digest, "digest");
  const pqxx::result added = session().exec(
      "INSERT INTO base_models (name, path, digest, family, parameters, weights_bytes, creator) "
      "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (name) DO NOTHING RETURNING 1",
      model.name, model.path, model.digest, model.family, model.parameters, model.weights_bytes, session().actor());
  BaseModel there = get_base_model(model.name);
  if (!added.empty()) {
    session().record("base_model.create", there.name, {{"digest", there.digest}, {"path", there.path}});
  } else if (there.digest != model.digest || there.path != model.path) {
    fail_taken(there.name, there.digest + " in " + there.path, model.digest + " in " + model.path);
  }
  return there;
}

}  // namespace masbak::registry
