// OpenSSH's server on a loopback port of its own, with throw-away keys.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <pwd.h>
#include <unistd.h>

#include "net/subprocess.h"
#include "support/loopback.h"
#include "support/temp_directory.h"

namespace salvor::test {

class SshServer {
 public:
  SshServer() : port_(free_port()) {
    key("host");
    key("user");
    std::filesystem::copy_file(path("user.pub"), path("authorized_keys"));
    const std::string host_key = first_line(path("host.pub"));
    std::ofstream(path("known_hosts")) << "[127.0.0.1]:" << port_ << " " << host_key << "\n";
    std::ofstream(path("sshd_config"))
        << "ListenAddress 127.0.0.1\nPort " << port_ << "\nHostKey " << path("host")
        << "\nAuthorizedKeysFile " << path("authorized_keys")
        << "\nPidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\n"
           "KbdInteractiveAuthentication no\nSubsystem sftp internal-sftp\n"
           "MaxStartups 100\nPermitRootLogin prohibit-password\n";
    // What a user's ~/.ssh/config would hold.
    std::ofstream(path("ssh_config"))
        << "Host server\n  HostName 127.0.0.1\n  Port " << port_ << "\n  User " << user()
        << "\n  IdentityFile " << path("user") << "\n  IdentitiesOnly yes\n  UserKnownHostsFile "
        << path("known_hosts") << "\n  GlobalKnownHostsFile /dev/null\n"
        << "  StrictHostKeyChecking yes\n";
    if (::geteuid() == 0) {
      std::filesystem::create_directories("/run/sshd");  // sshd insists on it
    }
    start();
  }

  void start() {
    program_ = std::make_unique<Subprocess>(
        SubprocessOptions{.arguments = {"/usr/sbin/sshd", "-D", "-e", "-f", path("sshd_config")},
                          .pipe_stdout = false,
                          .pipe_stderr = true});
    if (!listens(port_)) {
      throw std::runtime_error("sshd does not start");
    }
  }
  // No new connections; those there are stay.
  void stop() { program_.reset(); }

  [[nodiscard]] std::string path(const std::string& name) const {
    return (directory_ / name).string();
  }
  // For `ssh ... server`.
  [[nodiscard]] std::string client_config() const { return path("ssh_config"); }
  [[nodiscard]] uint16_t port() const { return port_; }
  [[nodiscard]] static std::string user() {
    const passwd* const entry = ::getpwuid(::geteuid());
    return entry != nullptr ? entry->pw_name : "root";
  }

 private:
  void key(const std::string& name) const {
    Subprocess generator({.arguments = {"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test",
                                        "-f", path(name)},
                          .pipe_stdout = false});
    if (!generator.wait().success()) {
      throw std::runtime_error("ssh-keygen failed");
    }
  }
  static std::string first_line(const std::string& file) {
    std::ifstream in(file);
    std::string line;
    std::getline(in, line);
    return line;
  }

  TempDirectory directory_;
  uint16_t port_;
  std::unique_ptr<Subprocess> program_;
};

}  // namespace salvor::test
