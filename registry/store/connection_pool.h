// Connections that are lent to one thread at a time.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <pqxx/pqxx>
#include <string>
#include <vector>

namespace masbak::registry {

class ConnectionPool {
 public:
  ConnectionPool(std::string url, int most) : url_(std::move(url)), most_(most) {}

  // A connection on loan; it goes back by itself, and is dropped instead if it is broken.
  class Lease {
   public:
    Lease(ConnectionPool& pool, std::unique_ptr<pqxx::connection> connection)
        : pool_(&pool), connection_(std::move(connection)) {}
    ~Lease();
    Lease(Lease&& other) noexcept : pool_(other.pool_), connection_(std::move(other.connection_)) {}
    pqxx::connection& operator*() const { return *connection_; }
    pqxx::connection* operator->() const { return connection_.get(); }

   private:
    ConnectionPool* pool_;
    std::unique_ptr<pqxx::connection> connection_;
  };

  // Waits for a free one until `deadline` (then RESOURCE_EXHAUSTED); throws pqxx::broken_connection if a new one is
  // needed and the server does not answer.
  Lease take(std::chrono::steady_clock::time_point deadline);

 private:
  void give_back(std::unique_ptr<pqxx::connection> connection) noexcept;
  std::unique_ptr<pqxx::connection> connect() const;

  const std::string url_;
  const int most_;
  std::mutex mutex_;
  std::condition_variable freed_;
  std::vector<std::unique_ptr<pqxx::connection>> idle_;
  int lent_ = 0;
};

}  // namespace masbak::registry
