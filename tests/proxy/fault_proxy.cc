// Stands between a client and a server, slows the way and breaks it.
//
//   fault_proxy --server PORT [--tcp] [--rtt MS] [--up BYTES/S] [--down BYTES/S]
//               [--rate P | --mean-bytes N] [--seed N] [--most N] [--fault NAME=WEIGHT]... [--log
//               FILE]
//
// Prints the port it listens on (127.0.0.1). Then one command a line on standard input, one line of
// JSON as the answer: stats, calm (no more faults), storm (again), reset (counters), quit. Ends
// with its standard input. --tcp: any protocol; there the kinds cut-request, cut-reply, lost-reply
// and stall-reply mean the connection.
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <thread>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/connection.h"

namespace salvor::proxy {
namespace {

struct Options {
  uint16_t server = 0;
  bool tcp = false;
  double rtt_ms = 0;
  uint64_t up = 0;
  uint64_t down = 0;
  std::string log;
  PlanOptions plan;
};

void set_option(Options& options, const std::string& name, const std::string& value) {
  if (name == "--server") {
    options.server = static_cast<uint16_t>(std::stoul(value));
  } else if (name == "--rtt") {
    options.rtt_ms = std::stod(value);
  } else if (name == "--up") {
    options.up = std::stoull(value);
  } else if (name == "--down") {
    options.down = std::stoull(value);
  } else if (name == "--rate") {
    options.plan.rate = std::stod(value);
  } else if (name == "--mean-bytes") {
    options.plan.mean_bytes = std::stoull(value);
  } else if (name == "--seed") {
    options.plan.seed = std::stoull(value);
  } else if (name == "--most") {
    options.plan.most = std::stoull(value);
  } else if (name == "--log") {
    options.log = value;
  } else if (name == "--fault") {
    const size_t equals = value.find('=');
    options.plan.weights[value.substr(0, equals)] =
        equals == std::string::npos ? 1 : std::stod(value.substr(equals + 1));
  } else {
    throw std::invalid_argument("unknown option " + name);
  }
}

Options parse(int count, char** arguments) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string name = arguments[i];
    if (name == "--tcp") {
      options.tcp = true;
      continue;
    }
    if (i + 1 == count) {
      throw std::invalid_argument(name + " needs a value");
    }
    set_option(options, name, arguments[++i]);
  }
  if (options.tcp && options.plan.weights.empty()) {
    for (const char* kind : {"cut-request", "cut-reply", "lost-reply"}) {
      options.plan.weights[kind] = 1;
    }
  }
  FaultPlan::check(options.plan);
  return options;
}

int listen_anywhere(uint16_t& port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(fd, 256) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("cannot listen");
  }
  port = ntohs(address.sin_port);
  return fd;
}

void accept_all(Network& network, int listener, bool tcp) {
  for (;;) {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) {
      continue;
    }
    const int yes = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    std::thread([&network, fd, tcp] {
      if (tcp) {
        serve_bytes(network, fd);
      } else {
        HttpConnection(network, fd).serve();
      }
    }).detach();
  }
}

int run(const Options& options) {
  const auto round_trip = std::chrono::duration_cast<Clock::duration>(
      std::chrono::duration<double, std::milli>(options.rtt_ms));
  // Detached threads use it to the very end of the process.
  auto* network =
      new Network{.host = "127.0.0.1",
                  .port = options.server,
                  .round_trip = round_trip,
                  .up = Bandwidth(options.up),
                  .down = Bandwidth(options.down),
                  .plan = FaultPlan(options.plan),
                  .log_mutex = {},
                  .log = options.log.empty() ? nullptr : std::fopen(options.log.c_str(), "a")};
  uint16_t port = 0;
  const int listener = listen_anywhere(port);
  std::thread(accept_all, std::ref(*network), listener, options.tcp).detach();
  std::cout << port << std::endl;
  std::string command;
  while (std::getline(std::cin, command) && command != "quit") {
    if (command == "calm" || command == "storm") {
      network->plan.set_active(command == "storm");
    } else if (command == "reset") {
      network->plan.reset();
    }
    std::cout << network->plan.report() << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace salvor::proxy

int main(int count, char** arguments) {
  std::signal(SIGPIPE, SIG_IGN);
  try {
    const int code = salvor::proxy::run(salvor::proxy::parse(count, arguments));
    std::cout.flush();
    ::_exit(code);  // its threads are not waited for
  } catch (const std::exception& error) {
    std::cerr << "fault_proxy: " << error.what() << "\n";
    return 2;
  }
}
