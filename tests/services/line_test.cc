// The whole line through the services, with a fake worker: dataset → job → version → reports → gate → alias →
// deployment → answer.
#include <gtest/gtest.h>

#include "masbak/v1/audit.grpc.pb.h"
#include "tests/services/installation.h"

namespace masbak::services::testing {
namespace {

constexpr const char* kRows = "{\"messages\": []}\n{\"messages\": []}\n";

// One installation for the file: making a database takes seconds.
class LineTest : public ::testing::Test {
 public:
  static void SetUpTestSuite() {
    installation_ = new Installation;
    installation_->start_control();
    installation_->start_node();
    installation_->upload("facts", kRows);
    installation_->register_base("demo");
  }
  static void TearDownTestSuite() {
    delete installation_;
    installation_ = nullptr;
  }

 protected:
  Installation& here() { return *installation_; }
  std::string trained_version(const std::string& model) {
    v1::Job job = here().wait_for_end(here().submit(model, 3).name());
    EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.error();
    return job.version();
  }
  v1::Version version(const std::string& name) {
    v1::GetVersionRequest request;
    request.set_name(name);
    return here().call(&v1::RegistryService::Stub::GetVersion, request);
  }
  v1::PromoteVersionRequest to_production(const std::string& version) {
    v1::PromoteVersionRequest request;
    request.set_name(version);
    request.set_alias("production");
    return request;
  }
  v1::CreateDeploymentRequest deployment_of(const std::string& version, const std::string& id) {
    v1::CreateDeploymentRequest request;
    request.set_deployment_id(id);
    request.set_version(version);
    return request;
  }
  void pass_gate(const std::string& version) {
    v1::Job job = here().wait_for_end(here().evaluate(version).name());
    EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.error();
    EXPECT_TRUE(here().run_gate(version, 0.9).passed());
  }

 private:
  static Installation* installation_;
};
Installation* LineTest::installation_ = nullptr;

TEST_F(LineTest, GoesFromDatasetToAnswer) {
  std::string name = trained_version("models/line");
  v1::Version made = version(name);
  EXPECT_EQ(name, "models/line/versions/1");
  EXPECT_EQ(made.dataset(), "datasets/facts");
  EXPECT_DOUBLE_EQ(made.eval_loss(), 0.25);
  EXPECT_DOUBLE_EQ(made.eval_loss_before(), 2.5);
  EXPECT_EQ(made.gate_state(), "none");

  EXPECT_EQ(here().failure(&v1::RegistryService::Stub::PromoteVersion, to_production(name)).code(),
            base::Code::kFailedPrecondition);
  pass_gate(name);
  v1::ListReportsRequest reports;
  reports.set_version(name);
  EXPECT_EQ(here().call(&v1::EvaluationService::Stub::ListReports, reports).reports_size(), 2);  // and its base's
  v1::Version promoted = here().call(&v1::RegistryService::Stub::PromoteVersion, to_production(name));
  ASSERT_EQ(promoted.aliases_size(), 1);
  EXPECT_EQ(promoted.aliases(0), "production");

  here().call(&v1::DeploymentService::Stub::CreateDeployment, deployment_of("models/line@production", "line"));
  auto ready = here().wait_for_deployment("deployments/line", v1::DEPLOYMENT_STATE_READY, name);
  EXPECT_EQ(ready.served_model_name(), "line");
  EXPECT_EQ(ready.base_model_name(), "demo");
  EXPECT_EQ(here().ask("deployments/line", "How hot?", false), "[line] you asked: How hot?");
  EXPECT_EQ(here().ask("deployments/line", "How hot?", true), "[demo] you asked: How hot?");

  v1::DeleteDeploymentRequest remove;
  remove.set_name("deployments/line");
  here().call(&v1::DeploymentService::Stub::DeleteDeployment, remove);
  eventually("the deployment is gone", [&] {
    v1::ListDeploymentsRequest all;
    return here().call(&v1::DeploymentService::Stub::ListDeployments, all).deployments_size() == 0;
  });

  v1::VerifyVersionRequest verify;
  verify.set_name(name);
  auto verified = here().call(&v1::RegistryService::Stub::VerifyVersion, verify);
  EXPECT_EQ(verified.artifacts_size(), 4);
  for (const auto& artifact : verified.artifacts()) EXPECT_TRUE(artifact.intact()) << artifact.problem();
  auto audit = here().call(&v1::AuditService::Stub::VerifyAudit, v1::VerifyAuditRequest());
  EXPECT_TRUE(audit.intact()) << audit.problem();
  EXPECT_GT(audit.records(), 8);
}

TEST_F(LineTest, AFailedGateForbidsPromotionAndDeploymentAndSaysByHowMuch) {
  std::string name = trained_version("models/refused");
  here().wait_for_end(here().evaluate(name).name());
  auto gate = here().run_gate(name, 1.5);
  EXPECT_FALSE(gate.passed());
  ASSERT_EQ(gate.results_size(), 1);
  EXPECT_DOUBLE_EQ(gate.results(0).observed(), 1.0);
  EXPECT_DOUBLE_EQ(gate.results(0).required(), 1.5);
  for (const auto& error :
       {here().failure(&v1::RegistryService::Stub::PromoteVersion, to_production(name)),
        here().failure(&v1::DeploymentService::Stub::CreateDeployment, deployment_of(name, "refused"))}) {
    EXPECT_EQ(error.code(), base::Code::kFailedPrecondition);
    EXPECT_NE(std::string(error.what()).find("held-out"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("0.5"), std::string::npos) << error.what();
  }
}

TEST_F(LineTest, ARepeatedRequestHasOneEffect) {
  v1::CreateTrainingJobRequest request;
  request.set_model("models/repeated");
  request.set_base_model("baseModels/demo");
  request.set_dataset("datasets/facts");
  request.set_run_yaml("training: {max_steps: 2}\n");
  request.set_request_id("the-same");
  std::string first = here().call(&v1::TrainingService::Stub::CreateTrainingJob, request).name();
  EXPECT_EQ(here().call(&v1::TrainingService::Stub::CreateTrainingJob, request).name(), first);
  here().wait_for_end(first);
  EXPECT_EQ(here().call(&v1::TrainingService::Stub::CreateTrainingJob, request).name(), first);
  request.set_model("models/another");
  EXPECT_EQ(here().failure(&v1::TrainingService::Stub::CreateTrainingJob, request).code(),
            base::Code::kInvalidArgument);
  EXPECT_EQ(here().upload("twice", kRows, "upload-1").etag(), here().upload("twice", kRows, "upload-1").etag());
}

TEST_F(LineTest, ValidateOnlyLeavesNothing) {
  v1::CreateTrainingJobRequest request;
  request.set_model("models/checked");
  request.set_base_model("baseModels/demo");
  request.set_dataset("datasets/facts");
  request.set_run_yaml("training: {max_steps: 2}\n");
  request.set_validate_only(true);
  auto before = here().call(&v1::TrainingService::Stub::ListJobs, v1::ListJobsRequest()).jobs_size();
  here().call(&v1::TrainingService::Stub::CreateTrainingJob, request);
  EXPECT_EQ(here().call(&v1::TrainingService::Stub::ListJobs, v1::ListJobsRequest()).jobs_size(), before);
}

TEST_F(LineTest, ABadRunFileIsRefusedBeforeItIsQueued) {
  v1::CreateTrainingJobRequest request;
  request.set_model("models/misspelt");
  request.set_base_model("baseModels/demo");
  request.set_dataset("datasets/facts");
  request.set_run_yaml("training: {misspelt: 2}\n");
  auto error = here().failure(&v1::TrainingService::Stub::CreateTrainingJob, request);
  EXPECT_EQ(error.code(), base::Code::kInvalidArgument);
  EXPECT_EQ(error.describe(), "INVALID_ARGUMENT: unknown key (run.yaml:3, misspelt)");
  request.set_run_yaml("training: [");
  EXPECT_EQ(here().failure(&v1::TrainingService::Stub::CreateTrainingJob, request).where().file, "run.yaml");
  request.set_dataset("datasets/none");
  EXPECT_EQ(here().failure(&v1::TrainingService::Stub::CreateTrainingJob, request).code(), base::Code::kNotFound);
}

TEST_F(LineTest, ABadRowIsRefusedWithLineAndField) {
  try {
    here().upload("broken", "{\"messages\": []}\n{\"bad\": 1}\n");
    FAIL() << "expected a failure";
  } catch (const base::Error& error) {
    EXPECT_EQ(error.code(), base::Code::kInvalidArgument);
    EXPECT_EQ(error.where().file, "broken.jsonl");
    EXPECT_EQ(error.where().line, 2);
    EXPECT_EQ(error.where().field, "messages");
  }
  v1::GetDatasetRequest request;
  request.set_name("datasets/broken");
  EXPECT_EQ(here().failure(&v1::DatasetService::Stub::GetDataset, request).code(), base::Code::kNotFound);
}

TEST_F(LineTest, ANewVersionTakesOverAndTheOldOneComesBack) {
  std::string first = trained_version("models/switch");
  std::string second = trained_version("models/switch");
  for (const auto& name : {first, second}) pass_gate(name);
  here().call(&v1::DeploymentService::Stub::CreateDeployment, deployment_of(first, "switch"));
  here().wait_for_deployment("deployments/switch", v1::DEPLOYMENT_STATE_READY, first);
  here().call(&v1::DeploymentService::Stub::CreateDeployment, deployment_of(second, "switch"));
  auto ready = here().wait_for_deployment("deployments/switch", v1::DEPLOYMENT_STATE_READY, second);
  EXPECT_EQ(ready.previous_version(), first);
  EXPECT_EQ(here().ask("deployments/switch", "x", false), "[switch] you asked: x");
  v1::RollbackDeploymentRequest rollback;
  rollback.set_name("deployments/switch");
  here().call(&v1::DeploymentService::Stub::RollbackDeployment, rollback);
  here().wait_for_deployment("deployments/switch", v1::DEPLOYMENT_STATE_READY, first);
  EXPECT_EQ(here().ask("deployments/switch", "x", false), "[switch] you asked: x");
}

TEST_F(LineTest, ACancelledJobEndsAndAnEndedOneCannotBeCancelled) {
  v1::Job job = here().submit("models/cancelled", 100000);
  eventually("it runs", [&] { return here().job(job.name()).step() > 0; });
  v1::CancelJobRequest request;
  request.set_name(job.name());
  here().call(&v1::TrainingService::Stub::CancelJob, request);
  EXPECT_EQ(here().wait_for_end(job.name()).state(), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(here().failure(&v1::TrainingService::Stub::CancelJob, request).code(), base::Code::kFailedPrecondition);
  v1::GetJobLogRequest log;
  log.set_name(job.name());
  EXPECT_NE(here().call(&v1::TrainingService::Stub::GetJobLog, log).text().find("fake training"), std::string::npos);
}

TEST_F(LineTest, ACallWithoutAValidTokenIsRefused) {
  v1::TrainingService::Stub stub(here().channel());
  for (const char* token : {"", "Bearer wrong", "Basic x"}) {
    grpc::ClientContext context;
    if (*token != 0) context.AddMetadata("authorization", token);
    v1::ListJobsResponse response;
    EXPECT_EQ(stub.ListJobs(&context, v1::ListJobsRequest(), &response).error_code(),
              grpc::StatusCode::UNAUTHENTICATED);
  }
}

}  // namespace
}  // namespace masbak::services::testing
