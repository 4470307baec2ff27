// The connections of an SFTP storage: made when needed, kept, lent to one call at a time.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "net/sftp_session.h"
#include "storage/sftp/sftp_settings.h"

namespace salvor {

// Thread-safe.
class SftpPool {
 public:
  // Gives the session back when it ends; a broken one is dropped. Must not outlive the pool.
  class Lease {
   public:
    Lease(SftpPool& pool, std::unique_ptr<SftpSession> session)
        : pool_(&pool), session_(std::move(session)) {}
    ~Lease() {
      if (session_) {
        pool_->give_back(std::move(session_));
      }
    }
    Lease(Lease&&) = default;
    Lease& operator=(Lease&&) = delete;
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    SftpSession& operator*() const { return *session_; }
    SftpSession* operator->() const { return session_.get(); }

   private:
    SftpPool* pool_;
    std::unique_ptr<SftpSession> session_;
  };

  explicit SftpPool(SftpSettings settings) : settings_(std::move(settings)) {}
  // Waits a second for log-ins under way: servers may count broken ones as attempts to break in.
  ~SftpPool();
  SftpPool(const SftpPool&) = delete;
  SftpPool& operator=(const SftpPool&) = delete;

  // Blocks until there is one: one that is given back, or another one, which is made beside the
  // caller (a log-in takes ten round trips, most calls take two). A caller must not hold two.
  // Throws as SftpSession's constructor, when no connection at all can be had: when only another
  // one is refused, fewer are used, and more are tried again after a minute.
  [[nodiscard]] Lease take(const Context& context);
  // Much is about to be moved: makes so many connections beside the callers, once there is one.
  void make_ready(unsigned connections);
  [[nodiscard]] const SftpSettings& settings() const { return settings_; }

 private:
  std::unique_ptr<SftpSession> take_idle();
  std::unique_ptr<SftpSession> connect(const Context& context, bool first) const;
  std::unique_ptr<SftpSession> connect_first(const Context& context,
                                             std::unique_lock<std::mutex>& lock);
  [[nodiscard]] bool may_connect_another() const;
  void connect_another();
  void connect_beside();
  void give_back(std::unique_ptr<SftpSession> session);

  const SftpSettings settings_;
  std::mutex mutex_;
  std::condition_variable returned_;
  std::deque<std::unique_ptr<SftpSession>> idle_;  // the last used at the end
  unsigned open_ = 0;                              // lent, idle or being made
  bool connecting_first_ = false;
  unsigned waiting_ = 0;     // callers
  unsigned connecting_ = 0;  // beside them
  std::chrono::steady_clock::time_point refused_until_{};
  // What is made beside the callers may outlive their contexts.
  NullEventSink nobody_;
  SystemClock clock_;
  SystemRandom random_;
  std::stop_source ending_;
  std::vector<std::jthread> connectors_;  // ended ones too, until the next is made
};

}  // namespace salvor
