#include "net/subprocess.h"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <sstream>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"

namespace salvor {
namespace {

std::string read_all(Subprocess& program) {
  std::string text;
  std::array<std::byte, 512> buffer;
  while (const size_t got = program.read(buffer)) {
    text += as_text(ByteView(buffer).first(got));
  }
  return text;
}

TEST(Subprocess, OutputAndStatusArrive) {
  Subprocess program({.arguments = {"sh", "-c", "printf 'a b'; exit 3"}});
  EXPECT_EQ(read_all(program), "a b");
  const ExitState state = program.wait();
  EXPECT_EQ(state.status, 3);
  EXPECT_FALSE(state.success());
  EXPECT_EQ(state.text(), "exit status 3");
}

TEST(Subprocess, ArgumentsReachTheProgramWithoutAShell) {
  Subprocess program({.arguments = {"printf", "%s|", "$HOME", "a b", "*"}});
  EXPECT_EQ(read_all(program), "$HOME|a b|*|");
  EXPECT_TRUE(program.wait().success());
}

TEST(Subprocess, ASignalIsAFailure) {
  Subprocess program({.arguments = {"sh", "-c", "kill -9 $$"}});
  EXPECT_EQ(read_all(program), "");
  EXPECT_EQ(program.wait().signal, SIGKILL);
  EXPECT_FALSE(program.wait().success());
}

TEST(Subprocess, MissingProgramIsAnError) {
  EXPECT_THROW(Subprocess({.arguments = {"/nonexistent/program"}}), Error);
  EXPECT_THROW(Subprocess({.arguments = {}}), Error);
}

TEST(Subprocess, InputIsPassedOn) {
  Subprocess program({.arguments = {"cat"}, .pipe_stdin = true});
  program.write(as_bytes("through"));
  program.close_stdin();
  EXPECT_EQ(read_all(program), "through");
  EXPECT_TRUE(program.wait().success());
}

TEST(Subprocess, WhatItInheritsItCanOpenAndNothingElse) {
  const UniqueFd given(::memfd_create("given", MFD_CLOEXEC));
  const UniqueFd kept(::memfd_create("kept", MFD_CLOEXEC));
  ASSERT_EQ(::write(given.get(), "text", 4), 4);
  Subprocess program({.arguments = {"sh", "-c",
                                    "cat /dev/fd/" + std::to_string(given.get()) + "; ls /dev/fd/" +
                                        std::to_string(kept.get()) + " 2>/dev/null || echo none"},
                      .inherited = {given.get()}});
  EXPECT_EQ(read_all(program), "textnone\n");
  EXPECT_TRUE(program.wait().success());
}

TEST(Subprocess, ErrorsCanBeRead) {
  Subprocess program({.arguments = {"sh", "-c", "echo trouble >&2"}, .pipe_stderr = true});
  EXPECT_EQ(read_all(program), "");
  std::array<std::byte, 64> buffer;
  const ssize_t got = ::read(program.stderr_fd(), buffer.data(), buffer.size());
  EXPECT_EQ(as_text(ByteView(buffer).first(static_cast<size_t>(got))), "trouble\n");
}

TEST(Subprocess, AnIgnoredInterruptDoesNotEndIt) {
  Subprocess program(
      {.arguments = {"sh", "-c", "kill -INT $$; echo alive"}, .ignore_interrupt = true});
  EXPECT_EQ(read_all(program), "alive\n");
  EXPECT_TRUE(program.wait().success());
  Subprocess missing(
      {.arguments = {"/nonexistent/program"}, .pipe_stderr = true, .ignore_interrupt = true});
  EXPECT_EQ(missing.wait().status, 127);
}

TEST(Subprocess, AGroupOfItsOwnIsNotInterrupted) {
  Subprocess program(
      {.arguments = {"sh", "-c", "cut -d' ' -f5 /proc/$$/stat; echo $$"}, .own_group = true});
  std::istringstream said(read_all(program));
  int group = 0;
  int own = -1;
  said >> group >> own;
  EXPECT_EQ(group, own);
}

TEST(Subprocess, PasswordsStayHere) {
  ASSERT_EQ(setenv("SALVOR_PASSWORD", "secret", 1), 0);
  ASSERT_EQ(setenv("RESTIC_PASSWORD", "secret", 1), 0);
  ASSERT_EQ(setenv("SALVOR_TEST_PLAIN", "plain", 1), 0);
  Subprocess program({.arguments = {"env"}, .environment = {"ADDED=yes", "SALVOR_TEST_PLAIN=new"}});
  const std::string environment = read_all(program);
  EXPECT_EQ(environment.find("secret"), std::string::npos);
  EXPECT_NE(environment.find("SALVOR_TEST_PLAIN=new\n"), std::string::npos);
  EXPECT_EQ(environment.find("=plain"), std::string::npos);
  EXPECT_NE(environment.find("ADDED=yes\n"), std::string::npos);
  unsetenv("SALVOR_PASSWORD");
  unsetenv("RESTIC_PASSWORD");
  unsetenv("SALVOR_TEST_PLAIN");
}

TEST(Subprocess, LeavingEndsTheProgram) {
  const auto start = std::chrono::steady_clock::now();
  {
    Subprocess program({.arguments = {"sleep", "60"}});
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

}  // namespace
}  // namespace salvor
