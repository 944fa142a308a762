// An installation as a console would find it: jobs in every state, versions that passed and failed their gate, a
// deployment, nodes. Believable, so that a picture of it shows what a picture of a real one would.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "masbak/v1/audit.pb.h"
#include "masbak/v1/dataset.pb.h"
#include "masbak/v1/deployment.pb.h"
#include "masbak/v1/evaluation.pb.h"
#include "masbak/v1/node.pb.h"
#include "masbak/v1/registry.pb.h"
#include "masbak/v1/training.pb.h"

namespace masbak::gui {

struct FakeData {
  FakeData();  // full; take `clear()` for a new installation

  std::mutex mutex;  // of all that follows
  std::condition_variable changed;
  std::vector<v1::Job> jobs;  // newest first
  std::map<std::string, std::vector<v1::JobEvent>> events;
  std::vector<v1::Version> versions;
  std::vector<v1::Deployment> deployments;
  std::vector<v1::Node> nodes;
  std::vector<v1::Dataset> datasets;
  std::vector<v1::BaseModel> base_models;
  std::map<std::string, v1::GateReport> gates;
  std::string refusal;               // if set, every change is refused with it
  std::map<std::string, int> calls;  // how often each method was called

  void clear();
  // One more training step of "jobs/7", with an evaluation now and then; the last one ends the job.
  void advance();
  // The job of this name, or null. The mutex must be held.
  v1::Job* job(const std::string& name);

 private:
  void add_jobs();
  void add_versions();
  void add_machines();
  void add_event(v1::Job& job, const std::string& type, const std::string& fields);
  void step(v1::Job& job);
};

// The steps of each training job here.
inline constexpr int kFakeSteps = 240;

}  // namespace masbak::gui
