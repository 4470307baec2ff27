# shellcheck shell=bash
# The one list of Debian 12 packages. Everything that installs (bootstrap, test, quickstart, bench)
# reads it, and cmake/SalvorDependencies.cmake finds what it names. Sourced, never run.

# To build the program.
SALVOR_PACKAGES_BUILD=(
  g++ cmake ninja-build pkg-config ccache mold git python3 ca-certificates
  libfmt-dev          # fmt::fmt
  libssl-dev          # OpenSSL::Crypto
  libsimdjson-dev     # simdjson::simdjson
  libzstd-dev         # libzstd
  libarchive-dev      # libarchive (dump --archive)
  libfuse3-dev        # libfuse3 (mount)
  libcurl4-openssl-dev  # libcurl (storages over HTTP)
  libpq-dev           # libpq (PostgreSQL)
  libhowardhinnant-date-dev  # date::date-tz (time zones)
  libyaml-cpp-dev     # yaml-cpp (salvor.yaml)
  libsqlite3-dev      # sqlite3 (catalog)
  libhpdf-dev         # libharu (evidence as PDF)
  nlohmann-json3-dev  # JSON where speed is not the point
)

# For the quickstart's story: a real server.
SALVOR_PACKAGES_QUICKSTART=(postgresql-15)

# To run the tests: unit tests, then the suites that drive real programs.
SALVOR_PACKAGES_TEST=(
  libgtest-dev libgmock-dev librapidcheck-dev
  restic              # the old peer, 0.14
  fuse3               # fusermount3, for mount
  python3-yaml python3-jsonschema  # judge what is generated, and salvor.yaml's schema
  tzdata              # trees carry local times: the suites run in Europe/Berlin
  faketime            # a clock set back
  util-linux          # setpriv, unshare, mount
  rclone              # its local remote
  openssh-client openssh-server  # SFTP, on a loopback port of its own
  poppler-utils       # pdftotext: what a report's PDF says
  openssl             # the program: signatures as others make and judge them
  systemd             # a service manager of the test's own
  busybox-static      # all that its containers need
  pgbouncer           # a pooler, which a logical backup must recognise
  postgresql-15       # a live server, and the judges: pg_verifybackup, pg_amcheck, pgbench
)

# For the sanitizer-free extras: fuzzing, coverage, formatting, static checks.
SALVOR_PACKAGES_FUZZ=(clang-19 libclang-rt-19-dev)
SALVOR_PACKAGES_COVERAGE=(gcovr)
SALVOR_PACKAGES_LINT=(clang-format-19 clang-tidy-19)

# To measure beside others. The newest restic, kopia and rustic are built by tests/peers/get.
SALVOR_PACKAGES_BENCH=(libbenchmark-dev restic borgbackup pgbackrest)
