#include <arpa/inet.h>
#include <httplib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "services/launcher/worker_tool.h"
#include "services/node/event_tail.h"
#include "services/node/task_runner.h"

namespace masbak::services {
namespace {

constexpr int kStartsWithoutReady = 3;
constexpr auto kStartLimit = std::chrono::minutes(15);

// A port that nobody listens on now.
int free_port() {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) base::fail_errno("looking for a free port", "127.0.0.1");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  bool found = bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
               getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  close(fd);
  if (!found) base::fail_errno("looking for a free port", "127.0.0.1");
  return ntohs(address.sin_port);
}

bool healthy(int port) {
  httplib::Client client("127.0.0.1", port);
  client.set_connection_timeout(1);
  client.set_read_timeout(2);
  auto answer = client.Get("/health");
  return answer && answer->status == 200;
}

// masbak-worker serve, started again with a growing pause whenever it crashes, until it is told to stop. It
// fails for good if it never becomes ready.
class ServeTask : public TaskRunner {
 public:
  using TaskRunner::TaskRunner;

 private:
  std::map<std::string, std::filesystem::path> work() override {
    prepare();
    std::chrono::milliseconds pause(500);
    int unready_starts = 0;
    while (true) {
      bool was_ready = false;
      WorkerEnd end = serve_once(was_ready);
      check();
      std::string reason = reason_of(end);
      unready_starts = was_ready ? 0 : unready_starts + 1;
      if (unready_starts >= kStartsWithoutReady) {
        throw base::Error(base::Code::kInternal, "the model server did not become ready: " + reason);
      }
      pause = was_ready ? std::chrono::milliseconds(500) : std::min(pause * 2, std::chrono::milliseconds(30000));
      base::log_warn(id() + ": " + reason + "; started again");
      set_state(v1::TaskStatus::STATE_PREPARING, "the model server ended (" + reason + ") and is started again");
      rest(pause);
    }
  }

  // Starts or finds the server and watches it to its end.
  WorkerEnd serve_once(bool& was_ready) {
    int attempt = std::max(1, remembered("serve"));
    std::string name = "serve-" + std::to_string(attempt);
    if (!LocalWorker::find(directory_, name)) remember("port", task_.port() != 0 ? task_.port() : free_port());
    int port = remembered("port");
    LocalWorker worker = start_worker(name, arguments(port));
    auto deadline = std::chrono::steady_clock::now() + kStartLimit;
    bool late = false;
    auto end = watch(worker, [&] {
      was_ready = healthy(port);
      late = std::chrono::steady_clock::now() > deadline;
      return was_ready || late;
    });
    if (!end && late && !was_ready) {
      worker.kill();
      throw base::Error(base::Code::kDeadlineExceeded, "the model server did not answer /health within 15 minutes");
    }
    if (!end) {
      set_state(v1::TaskStatus::STATE_RUNNING, "", "http://127.0.0.1:" + std::to_string(port) + "/v1");
      end = watch(worker, [] { return false; });
    }
    remember("serve", attempt + 1);
    return *end;
  }

  std::vector<std::string> arguments(int port) const {
    std::vector<std::string> list = {"serve", "base", "--listen", "127.0.0.1:" + std::to_string(port)};
    if (!task_.adapter_digest().empty()) {
      list.insert(list.end(), {"--adapter", task_.served_model_name() + "=adapter"});
    }
    list.insert(list.end(), {"--model-name", task_.base_model_name()});
    return list;
  }

  std::string reason_of(const WorkerEnd& end) const {
    if (end.traceless || !end.error.empty() || end.exit.signal != 0) return end.describe();
    int64_t offset = 0;
    return worker_error(file_tail(log_file(), 16 * 1024, &offset), end.describe()).what();
  }

  void rest(std::chrono::milliseconds time) const {
    auto until = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < until) {
      check();
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }
};

}  // namespace

std::unique_ptr<TaskRunner> make_serve_task(const v1::Task& task, const std::filesystem::path& directory,
                                            const TaskTools& tools) {
  return std::make_unique<ServeTask>(task, directory, tools);
}

}  // namespace masbak::services
