// What is killed loses nothing: worker, agent, control plane; and what cannot start says why.
#include <gtest/gtest.h>
#include <signal.h>

#include "base/document.h"
#include "base/durable_file.h"
#include "tests/services/installation.h"

namespace masbak::services::testing {
namespace {

class FaultsTest : public ::testing::Test {
 public:
  static void SetUpTestSuite() {
    installation_ = new Installation;
    installation_->start_control();
    installation_->start_node({{"FAKE_STEP_MS", "100"}});
    installation_->upload("facts", "{\"messages\": []}\n");
    installation_->register_base("demo");
  }
  static void TearDownTestSuite() {
    delete installation_;
    installation_ = nullptr;
  }

 protected:
  Installation& here() { return *installation_; }
  v1::Job running_job(int steps) {
    v1::Job job = here().submit("models/faults", steps);
    eventually(job.name() + " makes steps", [&] { return here().job(job.name()).step() >= 3; });
    return job;
  }
  pid_t process_of(const v1::Job& job, const std::string& which) {
    return base::read_json(here().task_folder(job.name()) / "train-1.process.json").at(which).get<pid_t>();
  }
  // All events of a job that has ended, in one stream.
  std::vector<int64_t> sequence(const std::string& job, int64_t after, size_t at_most = SIZE_MAX) {
    grpc::ClientContext context;
    here().authorize(context);
    v1::WatchJobRequest request;
    request.set_name(job);
    request.set_after_seq(after);
    v1::TrainingService::Stub stub(here().channel());
    auto reader = stub.WatchJob(&context, request);
    std::vector<int64_t> found;
    v1::JobEvent event;
    while (found.size() < at_most && reader->Read(&event)) {
      if (!event.json().empty()) found.push_back(event.seq());
    }
    if (found.size() == at_most) context.TryCancel();
    reader->Finish();
    return found;
  }
  void expect_whole(const v1::Job& job, int steps) {
    v1::Job ended = here().wait_for_end(job.name());
    ASSERT_EQ(ended.state(), v1::JOB_STATE_SUCCEEDED) << ended.error();
    EXPECT_EQ(ended.last_seq(), steps + 4);  // started, eval, the steps, eval, finished: none twice, none missing
    EXPECT_FALSE(ended.version().empty());
  }

 private:
  static Installation* installation_;
};
Installation* FaultsTest::installation_ = nullptr;

TEST_F(FaultsTest, AKilledWorkerFailsItsJobWithTheReason) {
  v1::Job job = running_job(1000);
  kill(process_of(job, "worker"), SIGKILL);
  v1::Job ended = here().wait_for_end(job.name());
  EXPECT_EQ(ended.state(), v1::JOB_STATE_FAILED);
  EXPECT_NE(ended.error().find("killed by SIGKILL"), std::string::npos) << ended.error();
}

TEST_F(FaultsTest, AKilledAgentFindsItsWorkerAgain) {
  v1::Job job = running_job(40);
  pid_t worker = process_of(job, "worker");
  here().kill_node();
  EXPECT_EQ(kill(worker, 0), 0) << "the worker goes on alone";
  here().start_node({{"FAKE_STEP_MS", "100"}});
  expect_whole(job, 40);
}

TEST_F(FaultsTest, AWorkerThatEndsWhileTheAgentIsAwayIsNotLost) {
  v1::Job job = running_job(15);
  pid_t supervisor = process_of(job, "supervisor");
  here().kill_node();
  eventually("the worker ends", [&] { return kill(supervisor, 0) != 0; });
  here().start_node({{"FAKE_STEP_MS", "100"}});
  expect_whole(job, 15);
}

TEST_F(FaultsTest, AWorkerGoneWithItsSupervisorIsStartedAgainAndResumes) {
  v1::Job job = running_job(30);
  here().kill_node();
  kill(process_of(job, "supervisor"), SIGKILL);  // as when the machine loses its power
  here().start_node({{"FAKE_STEP_MS", "100"}});
  expect_whole(job, 30);
}

TEST_F(FaultsTest, AStoppedAgentLeavesItsJobToTheNextOne) {
  v1::Job job = running_job(30);
  pid_t worker = process_of(job, "worker");
  here().stop_node();
  EXPECT_NE(kill(worker, 0), 0) << "nothing is left running";
  here().start_node({{"FAKE_STEP_MS", "100"}});
  expect_whole(job, 30);
}

TEST_F(FaultsTest, AKilledControlPlaneLosesNothingAndWatchersGoOnWithoutAGap) {
  v1::Job job = running_job(40);
  std::vector<int64_t> seen = sequence(job.name(), 0, 5);
  ASSERT_EQ(seen.size(), 5u);
  here().kill_control();
  here().start_control();
  std::vector<int64_t> rest = sequence(job.name(), seen.back());
  seen.insert(seen.end(), rest.begin(), rest.end());
  ASSERT_EQ(seen.size(), 44u);
  for (size_t index = 0; index < seen.size(); ++index) EXPECT_EQ(seen[index], static_cast<int64_t>(index) + 1);
  expect_whole(job, 40);
}

TEST_F(FaultsTest, APortInUseIsOneClearLine) {
  base::ProcessOptions options;
  auto data = here().folder() / "second";
  options.argv = {program("masbak-controld"), "--data", data, "--listen", here().endpoint()};
  base::Output output = base::run_process(options);
  EXPECT_EQ(output.exit.status, 2);
  EXPECT_EQ(output.err.rfind("error: ALREADY_EXISTS: port in use", 0), 0u) << output.err;
  EXPECT_EQ(std::count(output.err.begin(), output.err.end(), '\n'), 1) << output.err;
  EXPECT_FALSE(std::filesystem::exists(data));
}

TEST_F(FaultsTest, ADeployedServerThatIsKilledIsStartedAgain) {
  v1::Job job = here().wait_for_end(here().submit("models/served", 1).name());
  here().wait_for_end(here().evaluate(job.version()).name());
  ASSERT_TRUE(here().run_gate(job.version(), 0.5).passed());
  v1::CreateDeploymentRequest request;
  request.set_deployment_id("served");
  request.set_version(job.version());
  here().call(&v1::DeploymentService::Stub::CreateDeployment, request);
  here().wait_for_deployment("deployments/served", v1::DEPLOYMENT_STATE_READY, job.version());
  pid_t worker = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(here().folder() / "node/tasks")) {
    if (entry.path().filename() == "serve-1.process.json") {
      worker = base::read_json(entry.path()).at("worker").get<pid_t>();
    }
  }
  ASSERT_GT(worker, 0);
  kill(worker, SIGKILL);
  auto answers = [&] {
    try {
      return here().ask("deployments/served", "x", false) == "[served] you asked: x";
    } catch (const base::Error&) {
      return false;  // not yet ready again
    }
  };
  eventually("the killed server no longer answers or is replaced", [&] { return kill(worker, 0) != 0; });
  eventually("it answers again", answers);
}

}  // namespace
}  // namespace masbak::services::testing
