#include "base/error.h"

#include <cerrno>
#include <system_error>

namespace salvor {

int exit_status(ErrorCode code) {
  switch (code) {
    case ErrorCode::kFailed:
      return 1;
    case ErrorCode::kIncomplete:
      return 3;
    case ErrorCode::kNoRepository:
      return 10;
    case ErrorCode::kLocked:
      return 11;
    case ErrorCode::kWrongPassword:
      return 12;
    case ErrorCode::kDamaged:
      return 20;
    case ErrorCode::kStorageFull:
      return 21;
    case ErrorCode::kPermission:
      return 22;
    case ErrorCode::kUnreachable:
      return 23;
    case ErrorCode::kNotFound:
      return 24;
    case ErrorCode::kUsage:
      return 64;
    case ErrorCode::kCancelled:
      return 130;
  }
  return 1;
}

std::string_view error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kFailed:
      return "failed";
    case ErrorCode::kIncomplete:
      return "incomplete";
    case ErrorCode::kNoRepository:
      return "no-repository";
    case ErrorCode::kLocked:
      return "locked";
    case ErrorCode::kWrongPassword:
      return "wrong-password";
    case ErrorCode::kDamaged:
      return "damaged";
    case ErrorCode::kStorageFull:
      return "storage-full";
    case ErrorCode::kPermission:
      return "permission";
    case ErrorCode::kUnreachable:
      return "unreachable";
    case ErrorCode::kNotFound:
      return "not-found";
    case ErrorCode::kUsage:
      return "usage";
    case ErrorCode::kCancelled:
      return "cancelled";
  }
  return "failed";
}

Error::Error(ErrorCode code, std::string message, std::string hint)
    : code_(code), message_(std::move(message)), hint_(std::move(hint)) {}

Error Error::from_errno(int error_number, std::string_view what) {
  ErrorCode code = ErrorCode::kFailed;
  std::string hint;
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
      code = ErrorCode::kStorageFull;
      hint =
          "The file system or quota is full. Free some space (for a repository: forget and prune "
          "old snapshots) and run the command again; nothing already stored is lost.";
      break;
    case EACCES:
    case EPERM:
      code = ErrorCode::kPermission;
      hint = "Check the owner and permissions, or run as a user who may do this.";
      break;
    case EROFS:
      code = ErrorCode::kPermission;
      hint = "The file system is mounted read-only.";
      break;
    case ENOENT:
      code = ErrorCode::kNotFound;
      break;
    case EMFILE:
    case ENFILE:
      hint = "Too many files are open. Raise the limit (ulimit -n).";
      break;
    case ESTALE:
    case ETIMEDOUT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENOTCONN:
    case ECONNRESET:
      code = ErrorCode::kUnreachable;
      hint =
          "The network file system or server does not answer. Check the connection and try again.";
      break;
    case EIO:
      hint = "The disk reported a hardware error. Look at the kernel log (dmesg).";
      break;
    default:
      break;
  }
  Error error(code, std::string(what) + ": " + std::generic_category().message(error_number),
              std::move(hint));
  error.error_number_ = error_number;
  return error;
}

Error& Error::within(std::string_view outer) {
  message_ = std::string(outer) + ": " + message_;
  return *this;
}

Error cancelled() {
  return {ErrorCode::kCancelled, "interrupted"};
}

}  // namespace salvor
