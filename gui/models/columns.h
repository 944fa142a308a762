// What each table shows.
#pragma once

#include <vector>

#include "gui/models/resource_model.h"
#include "masbak/v1/dataset.pb.h"
#include "masbak/v1/deployment.pb.h"
#include "masbak/v1/node.pb.h"
#include "masbak/v1/registry.pb.h"
#include "masbak/v1/training.pb.h"

namespace masbak::gui {

std::vector<Column<v1::Job>> job_columns();
std::vector<Column<v1::Version>> version_columns();
std::vector<Column<v1::Deployment>> deployment_columns();
std::vector<Column<v1::Node>> node_columns();
std::vector<Column<v1::Dataset>> dataset_columns();
std::vector<Column<v1::BaseModel>> base_model_columns();

QString gate_text(const v1::Version& version);
Tone gate_tone(const v1::Version& version);

}  // namespace masbak::gui
