# shellcheck shell=bash
# A Go that can build the peers and servers of the tests. Sourced after common.sh, never run.
#
# Debian 12 packages Go 1.19, and the modules ask for a newer one. From 1.21 on, Go fetches the toolchain that a
# module asks for by itself; older ones are made to fetch it as the module golang.org/toolchain, which is
# the same archive from the same place, checked against Go's checksum database like any module.

SALVOR_GO_VERSION=1.26.0

# go_command: prints the path of a Go of at least 1.21, or of the one fetched; fails when there is none to be had.
go_command() {
  local own kept=$cache/go-$SALVOR_GO_VERSION
  own=$(command -v go || true)
  if [[ -n $own ]] && go_is_new_enough "$own"; then
    echo "$own"
  elif [[ -x $kept/bin/go ]]; then
    echo "$kept/bin/go"
  else
    [[ -n $own ]] || { install_packages golang-go >&2; own=$(command -v go); }
    fetch_go "$own" "$kept" >&2
    echo "$kept/bin/go"
  fi
}

go_is_new_enough() {
  local version
  version=$(cd / && GOTOOLCHAIN=local "$1" env GOVERSION)  # go1.19.8
  [[ $(printf '%s\n' go1.21 "$version" | sort -V | head -n 1) == go1.21 ]]
}

# fetch_go GO FOLDER: has GO download the toolchain and puts it into FOLDER.
fetch_go() {
  local go=$1 folder=$2 work machine
  machine=$("$go" env GOOS)-$("$go" env GOARCH)
  say "fetching Go $SALVOR_GO_VERSION (once; kept in $folder)"
  work=$(mktemp -d)
  printf 'module fetch\n' >"$work/go.mod"
  (cd "$work" && GOMODCACHE=$work/modules GOFLAGS=-modcacherw \
    "$go" mod download "golang.org/toolchain@v0.0.1-go$SALVOR_GO_VERSION.$machine") ||
    die "$("$go" version) could not fetch Go $SALVOR_GO_VERSION" "Install a newer Go by hand and put it into PATH."
  # A module's files are never executable; a toolchain's programs must be.
  chmod -R u+x "$work"/modules/golang.org/toolchain@*/bin "$work"/modules/golang.org/toolchain@*/pkg/tool
  mkdir -p "${folder%/*}"
  rm -rf "$folder"
  mv "$work"/modules/golang.org/toolchain@* "$folder"
  rm -rf "$work"
}
