#include "gui/models/columns.h"

#include <QCoreApplication>
#include <QStringList>

#include "gui/models/format.h"

namespace masbak::gui {

using namespace masbak::v1;

namespace {

struct Columns {
  Q_DECLARE_TR_FUNCTIONS(Columns)
};

QString aliases_text(const Version& version) {
  QStringList names;
  for (const auto& alias : version.aliases()) names << QString::fromStdString(alias);
  return names.join(", ");
}

QVariant progress_of(const Job& job) {
  if (job.total_steps() <= 0) return {};
  return static_cast<double>(job.step()) / static_cast<double>(job.total_steps());
}

QString progress_text(const Job& job) {
  if (job.total_steps() <= 0) return {};
  return isolate(QStringLiteral("%1 / %2").arg(job.step()).arg(job.total_steps()));
}

QString loss_text(double loss) { return loss > 0 ? number_text(loss, 3) : QStringLiteral("–"); }

}  // namespace

QString gate_text(const Version& version) {
  if (version.gate_state() == "passed") return Columns::tr("Passed");
  if (version.gate_state() == "failed") return Columns::tr("Refused");
  return Columns::tr("Not checked");
}

Tone gate_tone(const Version& version) {
  if (version.gate_state() == "passed") return Tone::kGood;
  if (version.gate_state() == "failed") return Tone::kBad;
  return Tone::kNeutral;
}

std::vector<Column<Job>> job_columns() {
  return {
      {[] { return Columns::tr("Job"); }, [](const Job& j) { return short_name(j.name()); }},
      {[] { return Columns::tr("Kind"); }, [](const Job& j) { return kind_text(j.kind()); }},
      {[] { return Columns::tr("Model"); }, [](const Job& j) { return short_name(j.model()); }},
      {[] { return Columns::tr("State"); }, [](const Job& j) { return state_text(j.state()); },
       [](const Job& j) { return state_tone(j.state()); }},
      {[] { return Columns::tr("Progress"); }, progress_text, nullptr, progress_of},
      {[] { return Columns::tr("Loss"); }, [](const Job& j) { return loss_text(j.loss()); }, nullptr, nullptr, true},
      {[] { return Columns::tr("Started"); }, [](const Job& j) { return time_text(j.start_time()); }},
  };
}

std::vector<Column<Version>> version_columns() {
  return {
      {[] { return Columns::tr("Version"); }, [](const Version& v) { return short_name(v.name()); }},
      {[] { return Columns::tr("Gate"); }, gate_text, gate_tone},
      {[] { return Columns::tr("Alias"); }, aliases_text},
      {[] { return Columns::tr("Loss before"); }, [](const Version& v) { return loss_text(v.eval_loss_before()); },
       nullptr, nullptr, true},
      {[] { return Columns::tr("Loss after"); }, [](const Version& v) { return loss_text(v.eval_loss()); }, nullptr,
       nullptr, true},
      {[] { return Columns::tr("Base"); }, [](const Version& v) { return short_name(v.base_model()); }},
      {[] { return Columns::tr("Made"); }, [](const Version& v) { return time_text(v.create_time()); }},
  };
}

std::vector<Column<Deployment>> deployment_columns() {
  return {
      {[] { return Columns::tr("Deployment"); }, [](const Deployment& d) { return short_name(d.name()); }},
      {[] { return Columns::tr("State"); }, [](const Deployment& d) { return state_text(d.state()); },
       [](const Deployment& d) { return state_tone(d.state()); }},
      {[] { return Columns::tr("Version"); }, [](const Deployment& d) { return short_name(d.version()); }},
      {[] { return Columns::tr("Node"); }, [](const Deployment& d) { return short_name(d.node()); }},
      {[] { return Columns::tr("Endpoint"); },
       [](const Deployment& d) { return d.endpoint().empty() ? QString() : isolate(d.endpoint().c_str()); }},
  };
}

std::vector<Column<Node>> node_columns() {
  return {
      {[] { return Columns::tr("Node"); }, [](const Node& n) { return short_name(n.name()); }},
      {[] { return Columns::tr("State"); }, [](const Node& n) { return state_text(n.state()); },
       [](const Node& n) { return state_tone(n.state()); }},
      {[] { return Columns::tr("Tasks"); }, [](const Node& n) { return QString::number(n.running_tasks()); }, nullptr,
       nullptr, true},
      {[] { return Columns::tr("Cores"); }, [](const Node& n) { return QString::number(n.cpu_cores()); }, nullptr,
       nullptr, true},
      {[] { return Columns::tr("Memory"); }, [](const Node& n) { return isolate(bytes_text(n.memory_bytes())); },
       nullptr, nullptr, true},
      {[] { return Columns::tr("GPUs"); },
       [](const Node& n) { return n.gpus().empty() ? Columns::tr("none") : QString::number(n.gpus_size()); }},
  };
}

std::vector<Column<Dataset>> dataset_columns() {
  return {
      {[] { return Columns::tr("Dataset"); }, [](const Dataset& d) { return short_name(d.name()); }},
      {[] { return Columns::tr("Rows"); }, [](const Dataset& d) { return QString::number(d.rows()); }, nullptr, nullptr,
       true},
      {[] { return Columns::tr("Format"); }, [](const Dataset& d) { return QString::fromStdString(d.format()); }},
      {[] { return Columns::tr("Size"); }, [](const Dataset& d) { return isolate(bytes_text(d.size_bytes())); },
       nullptr, nullptr, true},
      {[] { return Columns::tr("Digest"); }, [](const Dataset& d) { return short_digest(d.digest()); }},
      {[] { return Columns::tr("Added"); }, [](const Dataset& d) { return time_text(d.create_time()); }},
  };
}

std::vector<Column<BaseModel>> base_model_columns() {
  return {
      {[] { return Columns::tr("Base model"); }, [](const BaseModel& b) { return short_name(b.name()); }},
      {[] { return Columns::tr("Family"); }, [](const BaseModel& b) { return QString::fromStdString(b.family()); }},
      {[] { return Columns::tr("Parameters"); },
       [](const BaseModel& b) {
         return Columns::tr("%1 million").arg(number_text(static_cast<double>(b.parameters()) / 1e6, 1));
       },
       nullptr, nullptr, true},
      {[] { return Columns::tr("Weights"); }, [](const BaseModel& b) { return isolate(bytes_text(b.weights_bytes())); },
       nullptr, nullptr, true},
      {[] { return Columns::tr("Digest"); }, [](const BaseModel& b) { return short_digest(b.digest()); }},
  };
}

}  // namespace masbak::gui
