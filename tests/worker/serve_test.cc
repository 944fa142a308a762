// masbak-worker serve refuses what it cannot serve: one line, exit status 2.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/worker/run_worker.h"

namespace masbak::worker {
namespace {

// A socket that listens on a free port of the loopback interface while it lives.
class Listener {
 public:
  Listener() : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(socket_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(socket_, 1) != 0 ||
        ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      throw std::runtime_error("no port to listen on");
    }
    port_ = ntohs(address.sin_port);
  }
  ~Listener() { ::close(socket_); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  int port() const { return port_; }

 private:
  int socket_, port_;
};

class ServeTest : public testing::Test {
 protected:
  ServeTest() : folder_(std::filesystem::temp_directory_path() / ("masbak-serve-" + std::to_string(::getpid()))) {
    const auto adopted = run_worker({"adopt", tiny_gguf(), "--family", "llama", "--out", folder_.string()});
    EXPECT_TRUE(adopted.exit.ok()) << adopted.err;
  }
  ~ServeTest() override { std::filesystem::remove_all(folder_); }

  void expect_refused(const std::vector<std::string>& options, const std::string& code, const std::string& words) {
    std::vector<std::string> arguments{"serve", folder_.string()};
    arguments.insert(arguments.end(), options.begin(), options.end());
    const auto output = run_worker(arguments);
    EXPECT_EQ(output.exit.status, 2);
    EXPECT_EQ(output.err.rfind("error: " + code, 0), 0U) << output.err;
    EXPECT_NE(output.err.find(words), std::string::npos) << output.err;
    EXPECT_EQ(output.out, "");
  }

  std::filesystem::path folder_;
};

TEST_F(ServeTest, RefusesAPortInUse) {
  const Listener other;
  expect_refused({"--listen", "127.0.0.1:" + std::to_string(other.port())}, "FAILED_PRECONDITION",
                 "the port is in use");
}

TEST_F(ServeTest, RefusesAnAddressThatIsNone) {
  expect_refused({"--listen", "localhost"}, "INVALID_ARGUMENT", "HOST:PORT");
  expect_refused({"--listen", "127.0.0.1:99999"}, "INVALID_ARGUMENT", "HOST:PORT");
}

TEST_F(ServeTest, RefusesAdaptersThatAreNotThereOrHaveNoName) {
  expect_refused({"--listen", "127.0.0.1:0", "--adapter", "just-a-folder"}, "INVALID_ARGUMENT", "NAME=DIR");
  expect_refused({"--listen", "127.0.0.1:0", "--adapter", "a=/no/such/folder"}, "NOT_FOUND", "/no/such/folder");
}

}  // namespace
}  // namespace masbak::worker
