// A real S3 server on loopback for a test: versitygw or MinIO, from tests/servers/get.
#pragma once

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include <arpa/inet.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "net/http_client.h"
#include "net/subprocess.h"
#include "storage/storage_options.h"
#include "support/temp_directory.h"
#include "support/test_context.h"

namespace salvor::test {

inline constexpr const char* kS3Key = "salvortestkey";
inline constexpr const char* kS3Secret = "salvor+test/secret=1";

class S3Server {
 public:
  // `name`: "versitygw" or "minio"; `binary`: where it is.
  S3Server(const std::string& name, const std::string& binary) : port_(free_port()) {
    const std::string data = (directory_ / "data").string();
    std::filesystem::create_directory(data);
    const std::string address = "127.0.0.1:" + std::to_string(port_);
    SubprocessOptions options{.environment = {std::string("ROOT_ACCESS_KEY=") + kS3Key,
                                              std::string("ROOT_SECRET_KEY=") + kS3Secret,
                                              std::string("MINIO_ROOT_USER=") + kS3Key,
                                              std::string("MINIO_ROOT_PASSWORD=") + kS3Secret,
                                              "MINIO_BROWSER=off", "MINIO_UPDATE=off"}};
    if (name == "versitygw") {
      const std::string versions = (directory_ / "versions").string();
      std::filesystem::create_directory(versions);
      options.arguments = {binary,  "--port",           address,  "--quiet", "--keep-alive",
                           "posix", "--versioning-dir", versions, data};
    } else {
      options.arguments = {binary, "server", "--quiet", "--address", address, data};
    }
    process_.emplace(options);
    // Their chatter must not fill the pipe.
    drain_ = std::jthread([this] {
      std::array<std::byte, 4096> buffer;
      try {
        while (process_->read(buffer) > 0) {
        }
      } catch (const std::exception&) {
      }
    });
    wait_until_ready();
  }
  ~S3Server() {
    process_->terminate();
    drain_.join();
  }
  S3Server(const S3Server&) = delete;
  S3Server& operator=(const S3Server&) = delete;

  [[nodiscard]] uint16_t port() const { return port_; }
  // What follows "s3:".
  [[nodiscard]] std::string url(const std::string& path) const {
    return "http://127.0.0.1:" + std::to_string(port_) + "/" + path;
  }
  [[nodiscard]] static StorageOptions options() {
    StorageOptions options;
    options.environment = [](const std::string& name) -> std::optional<std::string> {
      if (name == "AWS_ACCESS_KEY_ID") {
        return kS3Key;
      }
      if (name == "AWS_SECRET_ACCESS_KEY") {
        return kS3Secret;
      }
      return std::nullopt;
    };
    options.http.proxy = "";
    return options;
  }

 private:
  static uint16_t free_port() {
    const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 ||
        ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
      throw std::runtime_error("no free port");
    }
    return ntohs(address.sin_port);
  }
  void wait_until_ready() {
    TestContext context;
    HttpClient client({.proxy = "", .connect_timeout = std::chrono::milliseconds(500)});
    for (int i = 0; i < 600; ++i) {
      try {
        if (client.request(*context, {.url = url("")}).status < 500) {
          return;
        }
      } catch (const Error&) {
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    throw std::runtime_error("the S3 server does not start");
  }

  TempDirectory directory_{TempPlace::kDisk};
  const uint16_t port_;
  std::optional<Subprocess> process_;
  std::jthread drain_;
};

}  // namespace salvor::test
