#include "gui/models/format.h"

#include <QCoreApplication>
#include <QDateTime>
#include <QLocale>

namespace masbak::gui {

using namespace masbak::v1;

namespace {

// One translation context for the words that several screens share.
struct Words {
  Q_DECLARE_TR_FUNCTIONS(Words)
};

}  // namespace

QString short_name(const std::string& resource) {
  const QStringList parts = QString::fromStdString(resource).split('/');
  if (parts.size() == 4 && parts[2] == "versions") return parts[1] + " · " + parts[3];
  return parts.isEmpty() ? QString() : parts.last();
}

QString short_digest(const std::string& digest) {
  const QString text = QString::fromStdString(digest);
  return text.mid(text.indexOf(':') + 1).left(8);
}

QString time_text(const google::protobuf::Timestamp& time) {
  if (time.seconds() == 0) return QStringLiteral("–");
  return isolate(QDateTime::fromSecsSinceEpoch(time.seconds()).toString("yyyy-MM-dd HH:mm:ss"));
}

QString duration_text(double seconds) {
  const auto whole = static_cast<qint64>(seconds + 0.5);
  if (whole < 60) return Words::tr("%1 s").arg(whole);
  if (whole < 3600) return Words::tr("%1 min %2 s").arg(whole / 60).arg(whole % 60, 2, 10, QLatin1Char('0'));
  return Words::tr("%1 h %2 min").arg(whole / 3600).arg(whole / 60 % 60, 2, 10, QLatin1Char('0'));
}

QString bytes_text(qint64 bytes) {
  return QLocale::c().formattedDataSize(bytes, 1, QLocale::DataSizeTraditionalFormat);
}

QString number_text(double value, int decimals) { return QString::number(value, 'f', decimals); }

QString state_text(JobState state) {
  switch (state) {
    case JOB_STATE_QUEUED: return Words::tr("Waiting");
    case JOB_STATE_RUNNING: return Words::tr("Running");
    case JOB_STATE_SUCCEEDED: return Words::tr("Done");
    case JOB_STATE_FAILED: return Words::tr("Failed");
    case JOB_STATE_CANCELLED: return Words::tr("Cancelled");
    default: return Words::tr("Unknown");
  }
}

Tone state_tone(JobState state) {
  switch (state) {
    case JOB_STATE_RUNNING: return Tone::kRunning;
    case JOB_STATE_SUCCEEDED: return Tone::kGood;
    case JOB_STATE_FAILED: return Tone::kBad;
    default: return Tone::kNeutral;
  }
}

bool job_ended(JobState state) {
  return state == JOB_STATE_SUCCEEDED || state == JOB_STATE_FAILED || state == JOB_STATE_CANCELLED;
}

QString kind_text(JobKind kind) {
  switch (kind) {
    case JOB_KIND_TRAIN: return Words::tr("Fine-tune");
    case JOB_KIND_EVALUATE: return Words::tr("Evaluation");
    default: return Words::tr("Unknown");
  }
}

QString state_text(DeploymentState state) {
  switch (state) {
    case DEPLOYMENT_STATE_PENDING: return Words::tr("Waiting");
    case DEPLOYMENT_STATE_STARTING: return Words::tr("Starting");
    case DEPLOYMENT_STATE_READY: return Words::tr("Ready");
    case DEPLOYMENT_STATE_FAILED: return Words::tr("Failed");
    case DEPLOYMENT_STATE_STOPPING: return Words::tr("Stopping");
    default: return Words::tr("Unknown");
  }
}

Tone state_tone(DeploymentState state) {
  switch (state) {
    case DEPLOYMENT_STATE_READY: return Tone::kGood;
    case DEPLOYMENT_STATE_FAILED: return Tone::kBad;
    case DEPLOYMENT_STATE_STARTING: return Tone::kRunning;
    default: return Tone::kNeutral;
  }
}

QString state_text(NodeState state) {
  switch (state) {
    case NODE_STATE_READY: return Words::tr("Ready");
    case NODE_STATE_DRAINING: return Words::tr("Draining");
    case NODE_STATE_LOST: return Words::tr("Not heard of");
    default: return Words::tr("Unknown");
  }
}

Tone state_tone(NodeState state) {
  switch (state) {
    case NODE_STATE_READY: return Tone::kGood;
    case NODE_STATE_DRAINING: return Tone::kWarning;
    case NODE_STATE_LOST: return Tone::kBad;
    default: return Tone::kNeutral;
  }
}

QString isolate(const QString& text) { return QChar(0x2068) + text + QChar(0x2069); }

}  // namespace masbak::gui
