#include "storage/sftp/sftp_pool.h"

#include <algorithm>

namespace salvor {
namespace {

constexpr std::chrono::milliseconds kPoll{100};
constexpr std::chrono::minutes kPauseAfterRefusal{1};
// A person may have to find a token or a passphrase.
constexpr std::chrono::minutes kPatienceWithPeople{10};
constexpr std::chrono::seconds kPatience{60};

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

// The first one alone: it may ask a person something, and if it fails the others need not try.
bool SftpPool::may_connect() const {
  return !connecting_first_ && open_ < settings_.connections &&
         (open_ == 0 || std::chrono::steady_clock::now() >= refused_until_);
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

SftpPool::Lease SftpPool::take(const Context& context) {
  std::unique_lock lock(mutex_);
  for (;;) {
    context.check_stopped();
    if (auto session = take_idle()) {
      return {*this, std::move(session)};
    }
    if (!may_connect()) {
      returned_.wait_for(lock, kPoll);
      continue;
    }
    const bool first = open_ == 0;
    ++open_;
    connecting_first_ = first;
    lock.unlock();
    std::unique_ptr<SftpSession> session;
    std::exception_ptr refusal;
    try {
      session = connect(context, first);
    } catch (const Error&) {
      refusal = std::current_exception();
    }
    lock.lock();
    if (first) {
      connecting_first_ = false;
      returned_.notify_all();
    }
    if (session) {
      return {*this, std::move(session)};
    }
    --open_;
    context.check_stopped();
    if (open_ == 0) {
      std::rethrow_exception(refusal);
    }
    refused_until_ = std::chrono::steady_clock::now() + kPauseAfterRefusal;
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
