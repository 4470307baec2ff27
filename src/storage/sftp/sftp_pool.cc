#include "storage/sftp/sftp_pool.h"

#include <algorithm>

namespace salvor {
namespace {

constexpr std::chrono::milliseconds kPoll{100};
constexpr std::chrono::minutes kPauseAfterRefusal{1};
// A person may have to find a token or a passphrase.
constexpr std::chrono::minutes kPatienceWithPeople{10};
constexpr std::chrono::seconds kPatience{60};
constexpr std::chrono::seconds kPatienceAtTheEnd{1};

}  // namespace

std::unique_ptr<SftpSession> SftpPool::take_idle() {
  while (!idle_.empty()) {
    std::unique_ptr<SftpSession> session = std::move(idle_.back());
    idle_.pop_back();
    if (session->alive()) {
      return session;
    }
    --open_;  // the server has hung up meanwhile
  }
  return nullptr;
}

SftpPool::~SftpPool() {
  {
    std::unique_lock lock(mutex_);
    returned_.wait_for(lock, kPatienceAtTheEnd, [this] { return connecting_ == 0; });
  }
  ending_.request_stop();
  connectors_.clear();  // joins, before anything that they use goes
}

bool SftpPool::may_connect_another() const {
  return open_ < settings_.connections && std::chrono::steady_clock::now() >= refused_until_;
}

void SftpPool::make_ready(unsigned connections) {
  const std::scoped_lock lock(mutex_);
  while (open_ > 0 && open_ < connections && !connecting_first_ && may_connect_another()) {
    connect_another();
  }
}

std::unique_ptr<SftpSession> SftpPool::connect(const Context& context, bool first) const {
  const bool may_ask = first && settings_.arguments != settings_.more_arguments;
  // Who wants stalls to be noticed soon wants it of a handshake, too; but that takes round trips
  // and, on some servers, name lookups.
  constexpr std::chrono::milliseconds kShortestPatience{10'000};
  const std::chrono::milliseconds patience =
      std::clamp(settings_.stall_timeout, kShortestPatience, std::chrono::milliseconds(kPatience));
  return std::make_unique<SftpSession>(
      context,
      SftpSessionOptions{
          .arguments = first ? settings_.arguments : settings_.more_arguments,
          .place = settings_.place,
          .connect_timeout = may_ask ? std::chrono::milliseconds(kPatienceWithPeople) : patience,
          .stall_timeout = settings_.stall_timeout});
}

// Alone: it may ask a person something, and if it fails the others need not try.
std::unique_ptr<SftpSession> SftpPool::connect_first(const Context& context,
                                                     std::unique_lock<std::mutex>& lock) {
  ++open_;
  connecting_first_ = true;
  lock.unlock();
  std::unique_ptr<SftpSession> session;
  std::exception_ptr refusal;
  try {
    session = connect(context, true);
  } catch (...) {
    refusal = std::current_exception();
  }
  lock.lock();
  connecting_first_ = false;
  returned_.notify_all();
  if (refusal) {
    --open_;
    std::rethrow_exception(refusal);
  }
  return session;
}

void SftpPool::connect_another() {
  if (connecting_ == 0) {
    connectors_.clear();  // they have ended, or are about to
  }
  connectors_.emplace_back([this] { connect_beside(); });
  ++open_;
  ++connecting_;
}

void SftpPool::connect_beside() {
  std::unique_ptr<SftpSession> session;
  try {
    session = connect({ending_.get_token(), nobody_, clock_, random_}, false);
  } catch (const std::exception&) {
    // Fewer will do. Should there be none left, the next caller's first one tells why.
  }
  const std::scoped_lock lock(mutex_);
  --connecting_;
  if (session) {
    idle_.push_front(std::move(session));
  } else {
    --open_;
    refused_until_ = std::chrono::steady_clock::now() + kPauseAfterRefusal;
  }
  returned_.notify_all();
}

SftpPool::Lease SftpPool::take(const Context& context) {
  std::unique_lock lock(mutex_);
  for (;;) {
    context.check_stopped();
    if (auto session = take_idle()) {
      return {*this, std::move(session)};
    }
    if (open_ == 0) {
      return {*this, connect_first(context, lock)};
    }
    ++waiting_;
    if (!connecting_first_ && connecting_ < waiting_ && may_connect_another()) {
      connect_another();
    }
    returned_.wait_for(lock, kPoll);
    --waiting_;
  }
}

void SftpPool::give_back(std::unique_ptr<SftpSession> session) {
  const std::scoped_lock lock(mutex_);
  if (session->broken()) {
    --open_;
    session.reset();
  } else {
    idle_.push_back(std::move(session));
  }
  returned_.notify_one();
}

}  // namespace salvor
