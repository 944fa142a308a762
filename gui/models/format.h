// Values as a person reads them, in the language of the window.
#pragma once

#include <QString>
#include <cstdint>

#include "gui/models/resource_model.h"
#include "masbak/v1/deployment.pb.h"
#include "masbak/v1/node.pb.h"
#include "masbak/v1/training.pb.h"

namespace masbak::gui {

// "models/pump/versions/3" → "pump · 3"; "jobs/7" → "7"; "baseModels/demo" → "demo".
QString short_name(const std::string& resource);
QString short_digest(const std::string& digest);             // "sha256:12ab34cd…" → "12ab34cd"
QString time_text(const google::protobuf::Timestamp& time);  // local time; "–" if unset
QString duration_text(double seconds);
QString bytes_text(qint64 bytes);
QString number_text(double value, int decimals);

QString state_text(v1::JobState state);
Tone state_tone(v1::JobState state);
bool job_ended(v1::JobState state);
QString kind_text(v1::JobKind kind);
QString state_text(v1::DeploymentState state);
Tone state_tone(v1::DeploymentState state);
QString state_text(v1::NodeState state);
Tone state_tone(v1::NodeState state);

// Technical text (names, paths, numbers with units) inside a right-to-left sentence keeps its own order.
QString isolate(const QString& text);

}  // namespace masbak::gui
