// masbak up and down with the real programs, a private PostgreSQL and a worker that only pretends.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "base/document.h"
#include "base/durable_file.h"
#include "tests/cli/run_masbak.h"

namespace masbak::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class InstallationTest : public ::testing::Test {
 protected:
  InstallationTest() {
    std::string pattern = "/tmp/masbak-test-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
    folder = pattern;
    fs::permissions(folder, fs::perms(0755));
    fs::create_directories(folder / "base");
    std::ofstream(folder / "base/config.json") << "{}";
    std::ofstream(folder / "rows.jsonl") << "{\"messages\":[]}\n";
    std::ofstream(folder / "run.yaml") << "model: demo\ndataset: {train: x}\ntraining:\n  max_steps: 300\n";
    std::ofstream(folder / "suite.yaml") << "name: questions\nkind: contains\nquestions: questions.jsonl\n";
    std::ofstream(folder / "questions.jsonl") << "{\"question\":\"q\",\"key\":[\"a\"]}\n";
  }
  ~InstallationTest() override {
    masbak({"down"});
    if (HasFailure() && fs::exists(data() / "log")) {
      for (const auto& log : fs::directory_iterator(data() / "log")) {
        std::cerr << "---- " << log.path() << "\n" << base::read_file(log.path()) << "\n";
      }
    }
    std::error_code ignored;
    fs::remove_all(folder, ignored);
  }

  fs::path data() const { return folder / "data"; }
  base::Output masbak(std::vector<std::string> arguments) { return run_masbak(data(), std::move(arguments)); }
  // Must succeed; what it printed.
  std::string run(std::vector<std::string> arguments) {
    const base::Output output = masbak(std::move(arguments));
    EXPECT_EQ(output.exit.status, 0) << output.err << output.out;
    return output.out;
  }
  base::Output up(const std::string& listen = "127.0.0.1:0") {
    return masbak({"up", "--detach", "--listen", listen, "--worker",
                   (test_environment("MASBAK_SOURCE") / "tests/services/fake_worker.py").string()});
  }
  pid_t pid_of(const std::string& program) {
    return base::read_json(data() / "run" / (program + ".json")).at("pid").get<pid_t>();
  }

  fs::path folder;
};

TEST_F(InstallationTest, FromNothingToAnAnswer) {
  const base::Output started = up();
  ASSERT_EQ(started.exit.status, 0) << started.err;
  EXPECT_THAT(started.out, HasSubstr("Masbak runs at 127.0.0.1:"));
  EXPECT_EQ(up().exit.status, 0) << "a second up finds it running";
  EXPECT_EQ(base::parse_json(run({"status", "--json"}))["nodes"]["local"], "READY");

  run({"model", "add", (folder / "base").string(), "--name", "demo"});
  run({"dataset", "add", (folder / "rows.jsonl").string()});
  EXPECT_THAT(run({"dataset", "list"}), HasSubstr("rows"));
  const std::string watched =
      run({"job", "submit", (folder / "run.yaml").string(), "--model", "pump", "--dataset", "rows", "--watch"});
  EXPECT_THAT(watched, HasSubstr("step 300/300"));
  EXPECT_THAT(watched, HasSubstr("pump@1"));
  EXPECT_EQ(base::parse_json(run({"version", "show", "pump@1", "--json"}))["gate_state"], "none");

  std::ofstream(folder / "strict.yaml")
      << "rules:\n- {name: q, suite: questions, metric: accuracy, direction: higher, minimum: 1.1}\n";
  std::ofstream(folder / "gates.yaml")
      << "rules:\n- {name: q, suite: questions, metric: accuracy, direction: higher, minimum: 0.5}\n";
  const base::Output failed = masbak({"gate", "run", "pump@1", "--rules", (folder / "strict.yaml").string(), "--suite",
                                      (folder / "suite.yaml").string()});
  EXPECT_EQ(failed.exit.status, 1) << failed.err << failed.out;
  const base::Output refused = masbak({"promote", "pump@1", "--to", "production"});
  EXPECT_EQ(refused.exit.status, 2);
  EXPECT_THAT(refused.err, StartsWith("error: FAILED_PRECONDITION: "));
  run({"gate", "run", "pump@1", "--rules", (folder / "gates.yaml").string()});
  run({"approve", "pump@1"});
  run({"promote", "pump@1", "--to", "production"});
  run({"deploy", "pump@production"});
  EXPECT_THAT(run({"ask", "pump", "where?"}), HasSubstr("where?"));
  const std::string both = run({"ask", "pump", "where?", "--compare"});
  EXPECT_THAT(both, HasSubstr("base:"));
  EXPECT_THAT(both, HasSubstr("fine-tuned:"));
  EXPECT_THAT(run({"audit", "verify"}), HasSubstr("intact"));
  run({"down"});
  EXPECT_EQ(masbak({"status"}).exit.status, 1);
  EXPECT_TRUE(fs::is_empty(data() / "run") || !fs::exists(data() / "run/masbak.json"));
}

TEST_F(InstallationTest, WatchGoesOnWhenControlPlaneAndAgentAreKilled) {
  ASSERT_EQ(up().exit.status, 0);
  run({"model", "add", (folder / "base").string(), "--name", "demo"});
  run({"dataset", "add", (folder / "rows.jsonl").string()});
  run({"job", "submit", (folder / "run.yaml").string(), "--model", "pump", "--dataset", "rows"});
  std::string events;
  std::thread watcher([&] { events = run({"job", "watch", "1", "--json"}); });
  std::this_thread::sleep_for(std::chrono::seconds(1));
  ::kill(pid_of("masbak-controld"), SIGKILL);
  ::kill(pid_of("masbak-noded"), SIGKILL);
  watcher.join();
  int expected = 0;
  std::istringstream lines(events);
  for (std::string line; std::getline(lines, line);) EXPECT_EQ(base::parse_json(line).at("seq"), ++expected);
  EXPECT_GE(expected, 300);
  EXPECT_THAT(run({"version", "list"}), HasSubstr("pump@1"));
}

TEST_F(InstallationTest, PortInUseIsNamedAndNothingIsLeft) {
  const int taken = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(taken, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(taken, 1), 0);
  ASSERT_EQ(::getsockname(taken, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const std::string port = std::to_string(ntohs(address.sin_port));
  const base::Output output = up("127.0.0.1:" + port);
  ::close(taken);
  EXPECT_EQ(output.exit.status, 2);
  EXPECT_THAT(output.err, HasSubstr("error: ALREADY_EXISTS: "));
  EXPECT_THAT(output.err, HasSubstr(port));
  EXPECT_FALSE(fs::exists(data() / "run/masbak.json"));
  EXPECT_FALSE(fs::exists(data() / "run/masbak-controld.json"));
  EXPECT_FALSE(fs::exists(data() / "endpoint"));
}

TEST_F(InstallationTest, ForegroundEndsWithCtrlC) {
  base::Process process =
      base::Process::start({.argv = {(test_environment("MASBAK_BIN") / "masbak").string(), "up", "--data",
                                     data().string(), "--listen", "127.0.0.1:0", "--worker", "/bin/true"},
                            .stdout_file = folder / "out",
                            .stderr_file = folder / "err"});
  const auto said = [&](const std::string& text) {
    return fs::exists(folder / "out") && base::read_file(folder / "out").find(text) != std::string::npos;
  };
  for (int i = 0; i < 1200 && !said("Ctrl-C"); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  ASSERT_TRUE(said("Ctrl-C")) << base::read_file(folder / "err");
  const pid_t control = pid_of("masbak-controld");
  process.signal(SIGINT);
  const base::ExitStatus ended = process.wait();
  EXPECT_TRUE(ended.ok()) << ended.describe();
  EXPECT_NE(::kill(control, 0), 0);
  EXPECT_FALSE(fs::exists(data() / "run/masbak.json"));
}

TEST_F(InstallationTest, StartsAgainAfterEverythingWasKilled) {
  ASSERT_EQ(up().exit.status, 0);
  run({"dataset", "add", (folder / "rows.jsonl").string()});
  for (const char* program : {"masbak", "masbak-controld", "masbak-noded"}) ::kill(pid_of(program), SIGKILL);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(masbak({"status"}).exit.status, 1);
  const base::Output again = up();
  EXPECT_EQ(again.exit.status, 0) << again.err;
  EXPECT_THAT(run({"dataset", "list"}), HasSubstr("rows"));
}

}  // namespace
}  // namespace masbak::cli
