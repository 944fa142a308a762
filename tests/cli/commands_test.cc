// The commands without an installation: help, usage, completion, and what is said when nothing runs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/cli/run_masbak.h"

namespace masbak::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::filesystem::path kNowhere = "/tmp/masbak-no-such-folder";

TEST(CommandsTest, EveryCommandHasHelpWithAnExampleOfItself) {
  const std::vector<std::string> commands = {"up",
                                             "down",
                                             "status",
                                             "doctor",
                                             "dataset add",
                                             "dataset list",
                                             "dataset show",
                                             "dataset scan",
                                             "dataset remove",
                                             "model add",
                                             "model list",
                                             "model show",
                                             "job submit",
                                             "job list",
                                             "job show",
                                             "job watch",
                                             "job logs",
                                             "job cancel",
                                             "version list",
                                             "version show",
                                             "version verify",
                                             "approve",
                                             "promote",
                                             "gate run",
                                             "gate show",
                                             "deploy",
                                             "deployment list",
                                             "deployment show",
                                             "deployment rollback",
                                             "deployment remove",
                                             "node list",
                                             "node drain",
                                             "node resume",
                                             "ask",
                                             "audit list",
                                             "audit verify",
                                             "completion"};
  for (const std::string& command : commands) {
    std::vector<std::string> arguments;
    for (size_t at = 0; at < command.size();) {
      const size_t end = std::min(command.find(' ', at), command.size());
      arguments.push_back(command.substr(at, end - at));
      at = end + 1;
    }
    arguments.push_back("--help");
    const base::Output output = run_masbak(kNowhere, arguments);
    EXPECT_EQ(output.exit.status, 0) << command << output.err;
    EXPECT_THAT(output.out, HasSubstr("masbak " + command)) << command;
    EXPECT_THAT(output.out, HasSubstr("Example:")) << command;
    EXPECT_THAT(output.out, HasSubstr("--json")) << command;
  }
}

TEST(CommandsTest, BadUsageIsOneLineAndStatusTwo) {
  const std::vector<std::vector<std::string>> wrong = {{},
                                                       {"fly"},
                                                       {"job"},
                                                       {"job", "show"},
                                                       {"job", "show", "7", "--nonsense"},
                                                       {"ask", "d", "q", "--max-tokens", "x"},
                                                       {"promote", "pump@3"},
                                                       {"completion", "fish"}};
  for (const auto& arguments : wrong) {
    const base::Output output = run_masbak(kNowhere, arguments);
    EXPECT_EQ(output.exit.status, 2);
    EXPECT_THAT(output.err, StartsWith("error: INVALID_ARGUMENT: "));
    EXPECT_EQ(std::count(output.err.begin(), output.err.end(), '\n'), 1) << output.err;
    EXPECT_EQ(output.out, "");
  }
}

TEST(CommandsTest, WithoutAnInstallationItIsSaidHowToStartOne) {
  const base::Output output = run_masbak(kNowhere, {"job", "list"});
  EXPECT_EQ(output.exit.status, 1);
  EXPECT_THAT(output.err, StartsWith("error: UNAVAILABLE: "));
  EXPECT_THAT(output.err, HasSubstr("masbak up"));
  EXPECT_EQ(run_masbak(kNowhere, {"down"}).exit.status, 0);
}

TEST(CommandsTest, AnAddressWhereNobodyAnswersIsNamed) {
  const base::Output output =
      base::run_process({.argv = {(test_environment("MASBAK_BIN") / "masbak").string(), "job", "list"},
                         .env = {{"MASBAK_ENDPOINT", "127.0.0.1:1"}, {"MASBAK_DATA", kNowhere.string()}}});
  EXPECT_EQ(output.exit.status, 1);
  EXPECT_THAT(output.err, StartsWith("error: UNAVAILABLE: no Masbak answers at 127.0.0.1:1"));
}

TEST(CommandsTest, BashCompletesCommandsAndOptions) {
  const std::string masbak = (test_environment("MASBAK_BIN") / "masbak").string();
  const auto complete = [&](const std::string& words) {
    const std::string script = "source <('" + masbak + "' completion bash); COMP_WORDS=(" + words +
                               "); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _masbak; echo \"${COMPREPLY[*]}\"";
    return base::run_process({.argv = {"bash", "-c", script}, .working_directory = "/proc/self/fdinfo"}).out;
  };
  EXPECT_EQ(complete("masbak dep"), "deploy deployment\n");
  EXPECT_EQ(complete("masbak job wat"), "watch\n");
  EXPECT_EQ(complete("masbak job watch 7 --a"), "--after\n");
  EXPECT_EQ(complete("masbak deploy pump@3 --no"), "--node --no-wait\n");
}

TEST(CommandsTest, DoctorNamesWhatIsMissing) {
  const base::Output output = run_masbak(kNowhere, {"doctor", "--json"});
  EXPECT_THAT(output.out, HasSubstr("\"PostgreSQL\""));
  EXPECT_THAT(output.out, HasSubstr("\"control plane\""));
  EXPECT_THAT(output.out, HasSubstr("masbak up"));
}

}  // namespace
}  // namespace masbak::cli
