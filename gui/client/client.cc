#include "gui/client/client.h"

#include <grpcpp/grpcpp.h>

#include <QMetaObject>
#include <chrono>
#include <thread>

namespace masbak::gui {

using namespace masbak::v1;

namespace {

constexpr int kThreads = 8;
constexpr int kWatchDeadlineSeconds = 0;  // a stream has none
constexpr std::chrono::milliseconds kRetryPause{1000};

}  // namespace

bool Fault::unreachable() const { return code == grpc::StatusCode::UNAVAILABLE; }

Client::Client(Resolve resolve, QObject* parent) : QObject(parent), resolve_(std::move(resolve)) {
  pool_.setMaxThreadCount(kThreads);
  reconnect();
}

Client::~Client() {
  closing_ = true;
  {
    std::lock_guard lock(mutex_);
    for (const auto& weak : calls_) {
      if (auto call = weak.lock()) call->context.TryCancel();
    }
  }
  pool_.waitForDone();
}

QString Client::endpoint() const {
  std::lock_guard lock(mutex_);
  return endpoint_;
}

void Client::reconnect() {
  const ConnectionSettings settings = resolve_();
  std::lock_guard lock(mutex_);
  if (link_.channel && settings.endpoint == endpoint_ && settings.token.toStdString() == link_.token) return;
  endpoint_ = settings.endpoint;
  grpc::ChannelArguments arguments;
  // The default back-off grows to two minutes, too long for a person who waits.
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  arguments.SetMaxReceiveMessageSize(64 << 20);
  const std::string target = endpoint_.isEmpty() ? "127.0.0.1:7443" : endpoint_.toStdString();
  link_ = {grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments),
           settings.token.toStdString()};
}

Client::Link Client::link() {
  std::lock_guard lock(mutex_);
  return link_;
}

std::shared_ptr<Client::Call> Client::begin(int deadline_seconds) {
  auto call = std::make_shared<Call>();
  const Link connection = link();
  if (!connection.token.empty()) call->context.AddMetadata("authorization", "Bearer " + connection.token);
  if (deadline_seconds > 0) {
    call->context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(deadline_seconds));
  }
  std::lock_guard lock(mutex_);
  std::erase_if(calls_, [](const auto& weak) { return weak.expired(); });
  calls_.push_back(call);
  // The destructor may have cancelled the others a moment ago.
  if (closing_) call->context.TryCancel();
  return call;
}

void Client::end(const std::shared_ptr<Call>& call) {
  std::lock_guard lock(mutex_);
  std::erase_if(calls_, [&](const auto& weak) { return weak.expired() || weak.lock() == call; });
}

void Client::note(const grpc::Status& status) {
  if (closing_ || status.error_code() == grpc::StatusCode::CANCELLED) return;
  const bool answered = status.error_code() != grpc::StatusCode::UNAVAILABLE &&
                        status.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED;
  const QString message = answered ? QString() : QString::fromStdString(status.error_message());
  // A new installation at the same address has a new token.
  const bool resolve_again = !answered || status.error_code() == grpc::StatusCode::UNAUTHENTICATED;
  post([this, answered, resolve_again, message] {
    if (resolve_again) reconnect();
    if (connected_.exchange(answered) != answered || !answered) Q_EMIT connection_changed(answered, message);
  });
}

Fault Client::fault_of(const grpc::Status& status) {
  return {static_cast<int>(status.error_code()), QString::fromStdString(status.error_message())};
}

void Client::post(std::function<void()> work) {
  QMetaObject::invokeMethod(this, std::move(work), Qt::QueuedConnection);
}

namespace {

// Dropping it ends a stream: the flag stops its loop and the context the call that waits.
struct StreamHandle {
  std::mutex mutex;
  grpc::ClientContext* context = nullptr;
  bool dropped = false;

  void drop() {
    std::lock_guard lock(mutex);
    dropped = true;
    if (context) context->TryCancel();
  }
  bool enter(grpc::ClientContext* current) {
    std::lock_guard lock(mutex);
    context = current;
    return !dropped;
  }
  void leave() {
    std::lock_guard lock(mutex);
    context = nullptr;
  }
  bool gone() {
    std::lock_guard lock(mutex);
    return dropped;
  }
};

// What the caller holds: the stream ends when it lets go.
std::shared_ptr<void> owner_of(const std::shared_ptr<StreamHandle>& handle) {
  return {handle.get(), [handle](void*) { handle->drop(); }};
}

bool ended(JobState state) {
  return state == JOB_STATE_SUCCEEDED || state == JOB_STATE_FAILED || state == JOB_STATE_CANCELLED;
}

}  // namespace

std::shared_ptr<void> Client::watch_job(const QString& job, qint64 after_seq, QObject* receiver,
                                        std::function<void(const JobEvent&)> event) {
  auto handle = std::make_shared<StreamHandle>();
  QPointer<QObject> guard(receiver);
  run([=, this, name = job.toStdString()] {
    qint64 seen = after_seq;
    bool over = false;
    while (!over && !closing_ && !handle->gone()) {
      const auto current = begin(kWatchDeadlineSeconds);
      if (!handle->enter(&current->context)) break;
      TrainingService::Stub stub(link().channel);
      WatchJobRequest request;
      request.set_name(name);
      request.set_after_seq(seen);
      const auto reader = stub.WatchJob(&current->context, request);
      JobEvent received;
      while (reader->Read(&received)) {
        if (received.seq() > seen) seen = received.seq();
        if (received.has_job() && ended(received.job().state())) over = true;
        post([guard, handle, event, received] {
          if (guard && !handle->gone()) event(received);
        });
      }
      const grpc::Status status = reader->Finish();
      handle->leave();
      end(current);
      note(status);
      // A stream that ends well before the job has ended was cut by a server that stops.
      if (over || status.error_code() == grpc::StatusCode::NOT_FOUND) break;
      for (int i = 0; i < 10 && !closing_ && !handle->gone(); ++i) std::this_thread::sleep_for(kRetryPause / 10);
    }
  });
  return owner_of(handle);
}

std::shared_ptr<void> Client::ask(const AskRequest& request, QObject* receiver,
                                  std::function<void(const QString&)> piece, std::function<void(const QString&)> done,
                                  Failed failed) {
  auto handle = std::make_shared<StreamHandle>();
  QPointer<QObject> guard(receiver);
  run([=, this] {
    const auto current = begin(600);
    if (!handle->enter(&current->context)) return;
    DeploymentService::Stub stub(link().channel);
    const auto reader = stub.Ask(&current->context, request);
    AskResponse response;
    QString reason;
    while (reader->Read(&response)) {
      const QString text = QString::fromStdString(response.text());
      if (!response.finish_reason().empty()) reason = QString::fromStdString(response.finish_reason());
      post([=] {
        if (guard && !handle->gone() && !text.isEmpty()) piece(text);
      });
    }
    const grpc::Status status = reader->Finish();
    handle->leave();
    end(current);
    note(status);
    post([=] {
      if (!guard || handle->gone()) return;
      if (status.ok()) {
        done(reason);
      } else {
        failed(fault_of(status));
      }
    });
  });
  return owner_of(handle);
}

}  // namespace masbak::gui
