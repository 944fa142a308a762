// Base models, fine-tuned models, their immutable versions, aliases and approvals.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "registry/types/time.h"

namespace masbak::registry {

// A Hugging Face folder that lies on the nodes. Immutable.
struct BaseModel {
  std::string name;  // "baseModels/demo"
  std::string path;
  std::string digest;  // base::digest_folder
  std::string family;
  int64_t parameters = 0;
  int64_t weights_bytes = 0;
  // Set by the store:
  Time create_time{};
  std::string creator;
  std::string etag;
};

// Comes into being with its first version.
struct Model {
  std::string name;  // "models/pump-assistant"
  int version_count = 0;
  std::map<std::string, std::string> aliases;  // "production" -> "models/pump-assistant/versions/3"
  Time create_time{};
};

// Immutable, but for what is said about it: aliases, gate, approvals.
struct Version {
  std::string name;  // "models/pump-assistant/versions/3"; set by the store
  std::string model;
  int number = 0;  // from 1, without gaps; set by the store
  std::string base_model;
  std::string dataset;
  std::string job;
  std::string base_digest;
  std::string dataset_digest;
  std::string adapter_digest;
  std::string run_digest;
  std::string plan_digest;
  double eval_loss = 0;
  double eval_loss_before = 0;
  // Set by the store:
  std::vector<std::string> aliases;
  std::string gate_state;  // "none", "passed", "failed": of the latest gate
  std::string gate_summary;
  std::vector<std::string> approvals;  // who approved
  Time create_time{};
  std::string creator;
  std::string etag;
};

struct AliasChange {
  std::string model;
  std::string alias;
  std::string version;           // empty: the alias was removed
  std::string previous_version;  // empty: the alias was new
  std::string actor;
  Time time{};
};

struct Approval {
  std::string version;
  std::string actor;
  std::string comment;
  Time time{};
};

}  // namespace masbak::registry
