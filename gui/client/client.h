// The console's side of the gRPC services. Every call runs on a thread of a pool and ends in a function
// that runs on the UI thread: the window never waits.
#pragma once

#include <grpcpp/channel.h>

#include <QObject>
#include <QPointer>
#include <QString>
#include <QThreadPool>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "gui/client/connection.h"
#include "masbak/v1/audit.grpc.pb.h"
#include "masbak/v1/dataset.grpc.pb.h"
#include "masbak/v1/deployment.grpc.pb.h"
#include "masbak/v1/evaluation.grpc.pb.h"
#include "masbak/v1/node.grpc.pb.h"
#include "masbak/v1/registry.grpc.pb.h"
#include "masbak/v1/training.grpc.pb.h"

namespace masbak::gui {

// Why a call failed, for a person: what happened, from the server's own words.
struct Fault {
  int code = 0;  // of gRPC
  QString message;
  bool unreachable() const;  // nobody answered: the banner says so, not the page
};

// The answer of a call, or its fault. Runs on the UI thread.
template <typename Response>
using Done = std::function<void(const Response&)>;
using Failed = std::function<void(const Fault&)>;

class Client : public QObject {
  Q_OBJECT

 public:
  using Resolve = std::function<ConnectionSettings()>;
  // `resolve` is asked again whenever the connection is lost: the installation may be up elsewhere by then.
  explicit Client(Resolve resolve, QObject* parent = nullptr);
  ~Client() override;  // cancels every call and waits for the threads

  // One unary call. `method` is a pointer to the stub's method:
  //   client.call(&RegistryService::Stub::ListVersions, request, this, done, failed);
  // Nothing is delivered once `receiver` is gone.
  template <typename Stub, typename Request, typename Response>
  void call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*), const Request& request,
            QObject* receiver, Done<Response> done, Failed failed);

  // Follows a job from the event after `after_seq`; reconnects by itself, without a gap or a repeat, until
  // the job has ended or the watch is dropped. The returned object is the watch.
  std::shared_ptr<void> watch_job(const QString& job, qint64 after_seq, QObject* receiver,
                                  std::function<void(const masbak::v1::JobEvent&)> event);

  // Asks a deployment; pieces of the answer as they come. Drop the returned object to stop.
  std::shared_ptr<void> ask(const masbak::v1::AskRequest& request, QObject* receiver,
                            std::function<void(const QString& piece)> piece,
                            std::function<void(const QString& finish_reason)> done, Failed failed);

  bool connected() const { return connected_; }
  QString endpoint() const;

 Q_SIGNALS:
  // Emitted on the UI thread when it changes; `detail` says what to do when not connected.
  void connection_changed(bool connected, const QString& detail);

 private:
  struct Call;
  struct Link {
    std::shared_ptr<grpc::Channel> channel;
    std::string token;
  };
  Link link();
  void reconnect();
  std::shared_ptr<Call> begin(int deadline_seconds);
  void end(const std::shared_ptr<Call>& call);
  // Notes whether the server answered at all.
  void note(const grpc::Status& status);
  static Fault fault_of(const grpc::Status& status);
  // Runs `work` on the UI thread, later.
  void post(std::function<void()> work);
  void run(std::function<void()> work) { pool_.start(std::move(work)); }

  Resolve resolve_;
  QThreadPool pool_;
  mutable std::mutex mutex_;
  Link link_;
  QString endpoint_;
  std::vector<std::weak_ptr<Call>> calls_;
  std::atomic<bool> closing_{false}, connected_{false};
};

struct Client::Call {
  grpc::ClientContext context;
};

template <typename Stub, typename Request, typename Response>
void Client::call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*), const Request& request,
                  QObject* receiver, Done<Response> done, Failed failed) {
  QPointer<QObject> guard(receiver);
  run([=, this] {
    const auto current = begin(15);
    const auto connection = link();
    Response response;
    Stub stub(connection.channel);
    const grpc::Status status = (stub.*method)(&current->context, request, &response);
    end(current);
    note(status);
    if (closing_) return;
    post([=] {
      if (!guard) return;
      if (status.ok()) {
        done(response);
      } else if (failed) {
        failed(fault_of(status));
      }
    });
  });
}

}  // namespace masbak::gui
