// A network of its own for the commands of a drill: a loopback interface that they share, and no
// way out. Linux only; as root, or where users may make namespaces.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace salvor {
class Subprocess;
}

namespace salvor::plan {

class NetworkCage {
 public:
  // Tries it out.
  NetworkCage();
  // What still runs in it stays there, without a network.
  ~NetworkCage();
  NetworkCage(const NetworkCage&) = delete;
  NetworkCage& operator=(const NetworkCage&) = delete;

  // The words before a command that runs in it; empty: there is none here.
  [[nodiscard]] const std::vector<std::string>& prefix() const { return prefix_; }

 private:
  std::unique_ptr<Subprocess> holder_;  // ends when its standard input does: with us
  std::vector<std::string> prefix_;
};

}  // namespace salvor::plan
