#include "registry/store/connection_pool.h"

#include "base/error.h"

namespace masbak::registry {

ConnectionPool::Lease::~Lease() {
  if (connection_) pool_->give_back(std::move(connection_));
}

ConnectionPool::Lease ConnectionPool::take(std::chrono::steady_clock::time_point deadline) {
  {
    std::unique_lock lock(mutex_);
    if (!freed_.wait_until(lock, deadline, [&] { return lent_ < most_; })) {
      throw base::Error(base::Code::kResourceExhausted, "all " + std::to_string(most_) +
                                                            " connections to the database are in use: repeat later, or "
                                                            "allow more connections");
    }
    ++lent_;
    if (!idle_.empty()) {
      std::unique_ptr<pqxx::connection> connection = std::move(idle_.back());
      idle_.pop_back();
      return Lease(*this, std::move(connection));
    }
  }
  try {
    return Lease(*this, connect());
  } catch (...) {
    give_back(nullptr);
    throw;
  }
}

void ConnectionPool::give_back(std::unique_ptr<pqxx::connection> connection) noexcept {
  {
    std::lock_guard lock(mutex_);
    --lent_;
    if (connection && connection->is_open()) idle_.push_back(std::move(connection));
  }
  freed_.notify_one();
}

std::unique_ptr<pqxx::connection> ConnectionPool::connect() const {
  auto connection = std::make_unique<pqxx::connection>(url_);
  // A transaction must not go on, unnoticed, on another connection than it began on. (Deprecated because libpqxx 7
  // never reconnects by itself.)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  connection->inhibit_reactivation(true);
#pragma GCC diagnostic pop
  try {
    connection->set_client_encoding("UTF8");
  } catch (const pqxx::failure& fault) {
    // libpqxx does not say here that the connection was lost meanwhile.
    if (!connection->is_open()) throw pqxx::broken_connection(fault.what());
    throw;
  }
  return connection;
}

}  // namespace masbak::registry
