// The contract of the store: what store.h, reader.h and writer.h promise, one test a promise.
#include "registry/store/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "tests/registry/private_postgres.h"

namespace masbak::registry {
namespace {

using base::Code;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Actor kSalma{"users/salma"};
const Actor kOmar{"users/omar"};

// The code and message of what `work` throws.
template <typename Work>
std::pair<int, std::string> error_of(const Work& work) {
  try {
    work();
  } catch (const base::Error& error) {
    return {static_cast<int>(error.code()), error.describe()};
  }
  return {0, "nothing was thrown"};
}

#define EXPECT_ERROR(code, text, work)                                \
  do {                                                                \
    const auto thrown = error_of([&] { work; });                      \
    EXPECT_EQ(thrown.first, static_cast<int>(code)) << thrown.second; \
    EXPECT_THAT(thrown.second, HasSubstr(text));                      \
  } while (false)

class StoreTest : public ::testing::Test {
 protected:
  std::string url = new_database();
  Store store{{.url = url}};

  template <typename Work>
  auto write(const Work& work) {
    return store.write(kSalma, work);
  }
  template <typename Work>
  auto read(const Work& work) {
    return store.read(work);
  }

  Dataset add_dataset(const std::string& id, const std::string& content = "rows") {
    return write([&](Writer& w) {
      return w.create_dataset({.name = "datasets/" + id,
                               .digest = digest(content),
                               .size_bytes = 12,
                               .rows = 3,
                               .format = "messages",
                               .file_name = id + ".jsonl"});
    });
  }

  Version add_version(const std::string& model, const std::string& adapter, const std::string& job = "") {
    return write([&](Writer& w) {
      return w.create_version({.model = model,
                               .base_model = "baseModels/demo",
                               .dataset = "datasets/refinery",
                               .job = job,
                               .base_digest = digest("base"),
                               .dataset_digest = digest("rows"),
                               .adapter_digest = digest(adapter),
                               .run_digest = digest("run"),
                               .eval_loss = 0.5,
                               .eval_loss_before = 2.25});
    });
  }

  std::vector<std::string> actions() {
    std::vector<std::string> found;
    for (const AuditRecord& record : read([](const Reader& r) { return r.list_audit("", {.size = 1000}); }).items) {
      found.insert(found.begin(), record.action);
    }
    return found;
  }
};

TEST_F(StoreTest, DatasetIsReadBackAsItWasWritten) {
  const Dataset made = add_dataset("refinery");
  const Dataset found = read([](const Reader& r) { return r.get_dataset("datasets/refinery"); });
  EXPECT_EQ(found.name, "datasets/refinery");
  EXPECT_EQ(found.digest, digest("rows"));
  EXPECT_EQ(found.size_bytes, 12);
  EXPECT_EQ(found.rows, 3);
  EXPECT_EQ(found.format, "messages");
  EXPECT_EQ(found.file_name, "refinery.jsonl");
  EXPECT_EQ(found.creator, "users/salma");
  EXPECT_EQ(found.etag, made.etag);
  const auto age = std::chrono::system_clock::now() - found.create_time;
  EXPECT_LT(age, std::chrono::minutes(1));
  EXPECT_GE(age, -std::chrono::seconds(1));
}

TEST_F(StoreTest, SameNameTakesSameBytesOnly) {
  add_dataset("refinery");
  EXPECT_NO_THROW(add_dataset("refinery"));
  EXPECT_ERROR(Code::kAlreadyExists, digest("other"), add_dataset("refinery", "other"));
  EXPECT_THAT(actions(), ElementsAre("dataset.create"));
}

TEST_F(StoreTest, BadNamesAndDigestsAreRefused) {
  EXPECT_ERROR(Code::kInvalidArgument, "datasets/ID", add_dataset("Upper"));
  EXPECT_ERROR(Code::kInvalidArgument, "datasets/ID", add_dataset("../etc"));
  EXPECT_ERROR(Code::kInvalidArgument, "sha256",
               write([](Writer& w) { w.create_dataset({.name = "datasets/a", .digest = "md5:1"}); }));
  EXPECT_ERROR(Code::kInvalidArgument, "NUL", write([](Writer& w) {
                 w.create_dataset({.name = "datasets/a", .digest = digest("x"), .file_name = std::string("a\0b", 3)});
               }));
  EXPECT_ERROR(Code::kInvalidArgument, "UTF-8", write([](Writer& w) {
                 w.create_dataset({.name = "datasets/a", .digest = digest("x"), .file_name = "\xff\xfe"});
               }));
  EXPECT_THAT(actions(), IsEmpty());
}

TEST_F(StoreTest, DatasetInUseCannotGo) {
  const Dataset dataset = add_dataset("refinery");
  EXPECT_ERROR(Code::kAborted, dataset.etag,
               write([](Writer& w) { w.delete_dataset("datasets/refinery", "0123456789abcdef"); }));
  const Job job = write([](Writer& w) { return w.create_job({.dataset = "datasets/refinery"}); });
  EXPECT_ERROR(Code::kFailedPrecondition, job.name, write([](Writer& w) { w.delete_dataset("datasets/refinery"); }));
  write([&](Writer& w) { w.update_job(job.name, {.state = JobState::kCancelled}); });
  const Version version = add_version("models/m", "a");
  EXPECT_ERROR(Code::kFailedPrecondition, version.name,
               write([](Writer& w) { w.delete_dataset("datasets/refinery"); }));
  const Dataset free = add_dataset("spare", "unused");
  write([&](Writer& w) { w.delete_dataset(free.name, free.etag); });
  EXPECT_ERROR(Code::kNotFound, "datasets/spare", read([](const Reader& r) { r.get_dataset("datasets/spare"); }));
}

TEST_F(StoreTest, PagesCoverEveryItemOnceNewestFirst) {
  for (int i = 0; i < 7; ++i) add_dataset("d" + std::to_string(i));
  std::vector<std::string> names;
  PageRequest request{.size = 3};
  int pages = 0;
  do {
    const Page<Dataset> page = read([&](const Reader& r) { return r.list_datasets(request); });
    for (const Dataset& dataset : page.items) names.push_back(dataset.name);
    request.token = page.next;
    if (++pages == 1) add_dataset("late");  // does not move what is still to come
  } while (!request.token.empty());
  EXPECT_EQ(pages, 3);
  EXPECT_THAT(names, ElementsAre("datasets/d6", "datasets/d5", "datasets/d4", "datasets/d3", "datasets/d2",
                                 "datasets/d1", "datasets/d0"));
}

TEST_F(StoreTest, PageTokensAreSealed) {
  for (int i = 0; i < 3; ++i) add_dataset("d" + std::to_string(i));
  std::string token = read([](const Reader& r) { return r.list_datasets({.size = 1}); }).next;
  ASSERT_FALSE(token.empty());
  EXPECT_ERROR(Code::kInvalidArgument, "page_token",
               read([&](const Reader& r) { r.list_models({.size = 1, .token = token}); }));
  EXPECT_ERROR(Code::kInvalidArgument, "page_token", read([&](const Reader& r) { r.list_datasets({.token = "3"}); }));
  token.back() = token.back() == '9' ? '8' : '9';
  EXPECT_ERROR(Code::kInvalidArgument, "page_token", read([&](const Reader& r) { r.list_datasets({.token = token}); }));
  EXPECT_ERROR(Code::kInvalidArgument, "page_size", read([](const Reader& r) { r.list_datasets({.size = -1}); }));
}

TEST_F(StoreTest, VersionsAreNumberedWithoutGaps) {
  EXPECT_EQ(add_version("models/pump", "a").name, "models/pump/versions/1");
  EXPECT_ERROR(Code::kInternal, "stop", write([&](Writer& w) {
                 w.create_version({.model = "models/pump",
                                   .base_model = "baseModels/demo",
                                   .base_digest = digest("b"),
                                   .adapter_digest = digest("lost")});
                 throw base::Error(Code::kInternal, "stop");
               }));
  const Version second = add_version("models/pump", "b");
  EXPECT_EQ(second.name, "models/pump/versions/2");
  EXPECT_EQ(second.number, 2);
  EXPECT_EQ(second.eval_loss, 0.5);
  EXPECT_EQ(second.eval_loss_before, 2.25);
  EXPECT_EQ(second.gate_state, "none");
  EXPECT_EQ(read([](const Reader& r) { return r.get_model("models/pump"); }).version_count, 2);
  EXPECT_THAT(actions(), ElementsAre("version.create", "version.create"));
}

TEST_F(StoreTest, JobMakesOneVersion) {
  const Version first = add_version("models/pump", "a", "jobs/1");
  EXPECT_EQ(add_version("models/pump", "a", "jobs/1").name, first.name);
  EXPECT_ERROR(Code::kAlreadyExists, first.name, add_version("models/pump", "b", "jobs/1"));
}

TEST_F(StoreTest, VersionRowsAreImmutableInTheDatabase) {
  add_version("models/pump", "a");
  EXPECT_ANY_THROW(run_sql(url, "UPDATE versions SET eval_loss = 0"));
  EXPECT_ANY_THROW(run_sql(url, "DELETE FROM versions"));
}

TEST_F(StoreTest, NotANumberSurvives) {
  const Version made = write([](Writer& w) {
    return w.create_version({.model = "models/m",
                             .base_model = "baseModels/b",
                             .base_digest = digest("b"),
                             .adapter_digest = digest("a"),
                             .eval_loss = std::nan(""),
                             .eval_loss_before = std::numeric_limits<double>::infinity()});
  });
  EXPECT_TRUE(std::isnan(made.eval_loss));
  EXPECT_TRUE(std::isinf(made.eval_loss_before));
}

TEST_F(StoreTest, AliasIsComparedAndSet) {
  const Version one = add_version("models/pump", "a"), two = add_version("models/pump", "b");
  write([&](Writer& w) { w.set_alias("production", one.name, ""); });
  EXPECT_ERROR(Code::kAborted, one.name, write([&](Writer& w) { w.set_alias("production", two.name, ""); }));
  EXPECT_ERROR(Code::kAborted, one.name, write([&](Writer& w) { w.set_alias("production", two.name, two.name); }));
  write([&](Writer& w) { w.set_alias("production", two.name, one.name); });
  write([&](Writer& w) { w.set_alias("production", two.name); });  // nothing to do
  EXPECT_EQ(read([](const Reader& r) { return r.get_version("models/pump@production"); }).name, two.name);
  EXPECT_THAT(read([&](const Reader& r) { return r.get_version(two.name); }).aliases, ElementsAre("production"));
  const auto history = read([](const Reader& r) { return r.alias_history("models/pump", "production"); });
  ASSERT_EQ(history.size(), 2u);
  EXPECT_EQ(history[1].version, two.name);
  EXPECT_EQ(history[1].previous_version, one.name);
  EXPECT_EQ(history[1].actor, "users/salma");
  EXPECT_THAT(actions(), ElementsAre("version.create", "version.create", "version.promote", "version.promote"));
  write([](Writer& w) { w.remove_alias("models/pump", "production"); });
  EXPECT_ERROR(Code::kNotFound, "no alias", read([](const Reader& r) { r.get_version("models/pump@production"); }));
}

TEST_F(StoreTest, AliasThatLooksLikeANumberIsRefused) {
  const Version one = add_version("models/pump", "a");
  EXPECT_ERROR(Code::kInvalidArgument, "alias", write([&](Writer& w) { w.set_alias("7", one.name); }));
  EXPECT_ERROR(Code::kInvalidArgument, "alias", write([&](Writer& w) { w.set_alias("Prod!", one.name); }));
}

TEST_F(StoreTest, ApprovalsAreByPerson) {
  const Version one = add_version("models/pump", "a");
  write([&](Writer& w) { w.approve_version(one.name, "looks right"); });
  store.write(kOmar, [&](Writer& w) { w.approve_version(one.name, ""); });
  const Version found = read([&](const Reader& r) { return r.get_version(one.name); });
  EXPECT_THAT(found.approvals, ElementsAre("users/salma", "users/omar"));
  EXPECT_NE(found.etag, one.etag);
}

TEST_F(StoreTest, JobGoesThroughItsStates) {
  const Job job = write([](Writer& w) {
    return w.create_job({.kind = JobKind::kEvaluate,
                         .model = "models/m",
                         .version = "models/m/versions/1",
                         .files = {{"suite.yaml", digest("s")}},
                         .adapter_digest = digest("a"),
                         .suite_file = "suite.yaml",
                         .suite_digest = digest("s"),
                         .evaluate_base = true});
  });
  EXPECT_EQ(job.name, "jobs/1");
  EXPECT_EQ(job.state, JobState::kQueued);
  EXPECT_EQ(job.kind, JobKind::kEvaluate);
  EXPECT_EQ(job.files.at("suite.yaml"), digest("s"));
  EXPECT_TRUE(job.evaluate_base);
  EXPECT_FALSE(is_set(job.start_time));
  EXPECT_ERROR(Code::kFailedPrecondition, "QUEUED",
               write([&](Writer& w) { w.update_job(job.name, {.state = JobState::kSucceeded}); }));
  const Job running =
      write([&](Writer& w) { return w.update_job(job.name, {.state = JobState::kRunning, .node = "nodes/local"}); });
  EXPECT_TRUE(is_set(running.start_time));
  EXPECT_FALSE(is_set(running.end_time));
  write([&](Writer& w) { w.update_job(job.name, {.log_tail = std::string("broken \xff text\0!", 15)}); });
  const Job ended = write([&](Writer& w) {
    return w.update_job(job.name,
                        {.state = JobState::kFailed, .error = "killed by SIGKILL", .outputs = {{"log", digest("l")}}});
  });
  EXPECT_EQ(ended.log_tail, "broken \xef\xbf\xbd text !");
  EXPECT_EQ(ended.outputs.at("log"), digest("l"));
  EXPECT_EQ(ended.error, "killed by SIGKILL");
  EXPECT_TRUE(is_set(ended.end_time));
  for (const JobState state : {JobState::kQueued, JobState::kRunning, JobState::kSucceeded, JobState::kCancelled}) {
    EXPECT_ERROR(Code::kFailedPrecondition, "FAILED",
                 write([&](Writer& w) { w.update_job(job.name, {.state = state}); }));
  }
  EXPECT_THAT(actions(), ElementsAre("job.create", "job.run", "job.fail"));
}

TEST_F(StoreTest, EventsAreAppendedOnceAndWithoutGap) {
  const std::string job = write([](Writer& w) { return w.create_job({}); }).name;
  const auto append = [&](const std::vector<JobEvent>& events) {
    return write([&](Writer& w) { return w.append_job_events(job, events); });
  };
  EXPECT_EQ(append({{1, "started", R"({"seq":1,"total_steps":40})"}, {2, "step", R"({"step":1,"loss":3.5})"}}), 2);
  EXPECT_EQ(append({{2, "step", R"({"step":9,"loss":9})"}, {3, "eval", R"({"step":1,"eval_loss":2.5})"}}), 3);
  EXPECT_ERROR(Code::kOutOfRange, "expected event 4, found 5", append({{5, "step", "{}"}}));
  EXPECT_ERROR(Code::kInvalidArgument, "events.jsonl", append({{4, "step", "{broken"}}));
  const Job found = read([&](const Reader& r) { return r.get_job(job); });
  EXPECT_EQ(found.last_seq, 3);
  EXPECT_EQ(found.step, 1);
  EXPECT_EQ(found.total_steps, 40);
  EXPECT_EQ(found.loss, 3.5);
  EXPECT_EQ(found.eval_loss, 2.5);
  const auto events = read([&](const Reader& r) { return r.job_events(job, 1); });
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].json, R"({"step":1,"loss":3.5})");
  EXPECT_EQ(events[1].seq, 3);
  EXPECT_THAT(read([&](const Reader& r) { return r.job_events(job, 3); }), IsEmpty());
  EXPECT_ERROR(Code::kNotFound, "jobs/99", read([](const Reader& r) { r.job_events("jobs/99", 0); }));
}

TEST_F(StoreTest, JobsInStatesAreOldestFirst) {
  for (int i = 0; i < 3; ++i) write([](Writer& w) { w.create_job({}); });
  write([](Writer& w) { w.update_job("jobs/2", {.state = JobState::kFailed}); });
  const auto open = read([](const Reader& r) { return r.jobs_in({JobState::kQueued, JobState::kRunning}); });
  ASSERT_EQ(open.size(), 2u);
  EXPECT_EQ(open[0].name, "jobs/1");
  EXPECT_EQ(open[1].name, "jobs/3");
  EXPECT_THAT(read([](const Reader& r) { return r.jobs_in({}); }), IsEmpty());
}

TEST_F(StoreTest, GateFollowsTheLatestReport) {
  const Version version = add_version("models/pump", "a");
  EXPECT_ERROR(Code::kNotFound, "no gate", read([&](const Reader& r) { r.get_gate_report(version.name); }));
  GateReport gate{.version = "models/pump@1",
                  .passed = false,
                  .summary = "answers: 0.4 of 0.9",
                  .results = {{"answers", false, "accuracy", 0.4, 0.9, std::nan(""), "too few"}},
                  .rules_digest = digest("rules"),
                  .rules_yaml = "rules: []"};
  EXPECT_EQ(write([&](Writer& w) { return w.create_gate_report(gate); }).name, "gateReports/1");
  EXPECT_EQ(read([&](const Reader& r) { return r.get_version(version.name); }).gate_state, "failed");
  gate.passed = true;
  write([&](Writer& w) { w.create_gate_report(gate); });
  const Version judged = read([&](const Reader& r) { return r.get_version(version.name); });
  EXPECT_EQ(judged.gate_state, "passed");
  EXPECT_EQ(judged.gate_summary, "answers: 0.4 of 0.9");
  const GateReport found = read([&](const Reader& r) { return r.get_gate_report(version.name); });
  ASSERT_EQ(found.results.size(), 1u);
  EXPECT_EQ(found.results[0].observed, 0.4);
  EXPECT_TRUE(std::isnan(found.results[0].base));
  EXPECT_EQ(found.creator, "users/salma");
}

TEST_F(StoreTest, ReportsAreFoundByDigests) {
  const Version version = add_version("models/pump", "a");
  const Report own{.version = version.name,
                   .base_model = "baseModels/demo",
                   .base_digest = digest("base"),
                   .adapter_digest = digest("a"),
                   .suite = "held-out",
                   .suite_digest = digest("suite"),
                   .digest = digest("own"),
                   .metrics = {{"accuracy", 0.95}, {"odd", std::nan("")}},
                   .json = "{}"};
  Report base = own;
  base.version = base.adapter_digest = "";
  base.digest = digest("base report");
  const Report made = write([&](Writer& w) {
    w.create_report(base);
    return w.create_report(own);
  });
  EXPECT_EQ(made.metrics.at("accuracy"), 0.95);
  EXPECT_TRUE(std::isnan(made.metrics.at("odd")));
  EXPECT_EQ(write([&](Writer& w) { return w.create_report(own); }).name, made.name);
  EXPECT_EQ(read([&](const Reader& r) { return r.list_reports(version.name, {}); }).items.size(), 2u);
  const auto found = read([&](const Reader& r) { return r.find_report(digest("base"), "", digest("suite")); });
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->digest, base.digest);
  EXPECT_FALSE(read([&](const Reader& r) { return r.find_report(digest("base"), "", digest("x")); }).has_value());
  const auto of_base = read([&](const Reader& r) { return r.latest_reports(version.name, true); });
  ASSERT_EQ(of_base.size(), 1u);
  EXPECT_EQ(of_base[0].digest, base.digest);
}

TEST_F(StoreTest, NodesComeAndGo) {
  const Node local{.name = "nodes/local",
                   .address = "127.0.0.1",
                   .cpu_cores = 2,
                   .memory_bytes = 1 << 30,
                   .gpus = {"NVIDIA \"H200\""},
                   .running_tasks = 1,
                   .agent_version = "0.1.0"};
  const Actor agent{"nodes/local"};
  const Node first = store.write(agent, [&](Writer& w) { return w.sync_node(local); });
  EXPECT_EQ(first.state, NodeState::kReady);
  EXPECT_THAT(first.gpus, ElementsAre("NVIDIA \"H200\""));
  store.write(agent, [&](Writer& w) { w.sync_node(local); });
  EXPECT_THAT(write([](Writer& w) { return w.mark_lost_nodes(std::chrono::seconds(10)); }), IsEmpty());
  write([](Writer& w) { w.set_node_draining("nodes/local", true); });
  EXPECT_EQ(store.write(agent, [&](Writer& w) { return w.sync_node(local); }).state, NodeState::kDraining);
  EXPECT_EQ(write([](Writer& w) { return w.mark_lost_nodes(std::chrono::milliseconds(-100)); }).size(), 1u);
  EXPECT_EQ(store.write(agent, [&](Writer& w) { return w.sync_node(local); }).state, NodeState::kDraining);
  EXPECT_EQ(write([](Writer& w) { return w.set_node_draining("nodes/local", false); }).state, NodeState::kReady);
  EXPECT_THAT(actions(), ElementsAre("node.join", "node.drain", "node.lost", "node.join", "node.resume"));
}

TEST_F(StoreTest, TokensAuthenticate) {
  write([](Writer& w) {
    w.put_user("users/salma", "admin");
    w.create_token({.digest = digest("secret"), .user = "users/salma", .label = "laptop"});
    w.create_token({.digest = digest("old"),
                    .user = "users/salma",
                    .expire_time = std::chrono::time_point_cast<std::chrono::microseconds>(
                        std::chrono::system_clock::now() - std::chrono::hours(1))});
  });
  const auto found = read([](const Reader& r) { return r.find_user_of_token(digest("secret")); });
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->name, "users/salma");
  EXPECT_EQ(found->role, "admin");
  EXPECT_FALSE(read([](const Reader& r) { return r.find_user_of_token(digest("old")); }).has_value());
  EXPECT_FALSE(read([](const Reader& r) { return r.find_user_of_token(digest("guess")); }).has_value());
  EXPECT_EQ(read([](const Reader& r) { return r.tokens_of("users/salma"); }).size(), 1u);
  write([](Writer& w) { w.revoke_token(digest("secret")); });
  EXPECT_FALSE(read([](const Reader& r) { return r.find_user_of_token(digest("secret")); }).has_value());
  EXPECT_ERROR(Code::kNotFound, "token", write([](Writer& w) { w.revoke_token(digest("secret")); }));
}

TEST_F(StoreTest, ErrorsInWorkRollEverythingBack) {
  EXPECT_ERROR(Code::kPermissionDenied, "no", write([](Writer& w) {
                 w.create_dataset({.name = "datasets/a", .digest = digest("x")});
                 throw base::Error(Code::kPermissionDenied, "no");
               }));
  EXPECT_ERROR(Code::kNotFound, "datasets/a", read([](const Reader& r) { r.get_dataset("datasets/a"); }));
  EXPECT_THAT(actions(), IsEmpty());
  // A NOT_FOUND that is caught inside the work does not spoil the transaction.
  write([](Writer& w) {
    EXPECT_THROW(w.get_dataset("datasets/a"), base::Error);
    w.create_dataset({.name = "datasets/a", .digest = digest("x")});
  });
  EXPECT_THAT(actions(), ElementsAre("dataset.create"));
}

}  // namespace
}  // namespace masbak::registry
