// The one exception type. Its code decides the exit status and what a caller may do about it.
//
// Message style: lower case, no full stop, what failed and where ("cannot read /a/b: permission
// denied"). The hint is one or more sentences that name the likely cause and the next step.
#pragma once

#include <chrono>
#include <exception>
#include <string>
#include <string_view>

namespace salvor {

// Exit statuses 0-12 and 130 are restic's, so that scripts written for restic keep working; those
// from 20 on are ours. The table is printed by `salvor help exit-codes` and in docs/exit-codes.md.
enum class ErrorCode {
  kFailed,         // exit 1: anything without a more precise code
  kIncomplete,     // exit 3: the work was done but some source data could not be read
  kNoRepository,   // exit 10
  kLocked,         // exit 11
  kWrongPassword,  // exit 12
  kDamaged,        // exit 20: stored data does not verify
  kStorageFull,    // exit 21
  kPermission,     // exit 22
  kUnreachable,    // exit 23: storage or network failed, trying again may help
  kNotFound,       // exit 24: a named object (snapshot, file, key) does not exist
  kUsage,          // exit 64: the command line is wrong
  kCancelled,      // exit 130: interrupted
};

[[nodiscard]] int exit_status(ErrorCode code);
[[nodiscard]] std::string_view error_code_name(ErrorCode code);  // "wrong-password"

// What a server said about trying again; comes with kUnreachable.
struct RetryAdvice {
  std::chrono::milliseconds after{0};  // not before so long
  bool slow_down = false;              // it has too much to do: fewer requests at a time
};

class Error : public std::exception {
 public:
  Error(ErrorCode code, std::string message, std::string hint = {});

  // Where the failure has an errno: maps ENOSPC, EACCES, EROFS ... to codes and hints.
  // The message becomes "<what>: <strerror>".
  [[nodiscard]] static Error from_errno(int error_number, std::string_view what);

  [[nodiscard]] ErrorCode code() const { return code_; }
  [[nodiscard]] const std::string& message() const { return message_; }
  [[nodiscard]] const std::string& hint() const { return hint_; }
  [[nodiscard]] bool retryable() const { return code_ == ErrorCode::kUnreachable; }
  // 0 when there was none.
  [[nodiscard]] int error_number() const { return error_number_; }
  [[nodiscard]] const RetryAdvice& advice() const { return advice_; }
  Error& advise(const RetryAdvice& advice) {
    advice_ = advice;
    return *this;
  }

  // Puts "<outer>: " before the message; use while unwinding to say what was being done.
  Error& within(std::string_view outer);

  [[nodiscard]] const char* what() const noexcept override { return message_.c_str(); }

 private:
  ErrorCode code_;
  std::string message_;
  std::string hint_;
  int error_number_ = 0;
  RetryAdvice advice_;
};

// Thrown by TaskGroup::wait and by blocking calls once their stop token has fired.
[[nodiscard]] Error cancelled();

}  // namespace salvor
