// The control plane's gRPC services over FakeData, in this process, for tests of the console: it can be killed in the
// middle of a stream and started again on the same port.
#pragma once

#include <memory>
#include <string>

#include "tests/gui/fake_data.h"

namespace grpc {
class Server;
}

namespace masbak::gui {

class FakeServer {
 public:
  FakeServer();  // started, on a free port of the loopback
  ~FakeServer();
  void kill();  // no stream is let end
  void start();
  std::string endpoint() const;
  FakeData& data() { return data_; }

 private:
  struct Services;
  FakeData data_;
  std::unique_ptr<Services> services_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace masbak::gui
