# shellcheck shell=bash
# What the scripts share: where the tree is, how to speak, how to install. Sourced, never run.

SALVOR_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=scripts/lib/packages.sh
source "$SALVOR_ROOT/scripts/lib/packages.sh"

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
else
  bold='' dim='' red='' green='' plain=''
fi

say()  { printf '%s==>%s %s\n' "$bold" "$plain" "$*"; }
note() { printf '    %s%s%s\n' "$dim" "$*" "$plain"; }
good() { printf '    %s%s%s\n' "$green" "$*" "$plain"; }

# die MESSAGE [HINT]: one line that says what is wrong, one that says what to do.
die() {
  printf '%serror:%s %s\n' "$red" "$plain" "$1" >&2
  [[ -z ${2:-} ]] || printf 'HINT: %s\n' "$2" >&2
  exit 1
}

# missing_packages NAME...: those that dpkg does not know as installed, one a line.
missing_packages() {
  local name
  for name in "$@"; do
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null) == installed ]] || echo "$name"
  done
}

# install_packages NAME...: installs what is missing; silent and offline when nothing is.
install_packages() {
  local missing as_root=()
  command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
    die "this machine has no apt-get" \
        "Salvor is built on Debian 12. Elsewhere, install by hand what scripts/lib/packages.sh lists."
  mapfile -t missing < <(missing_packages "$@")
  [[ ${#missing[@]} -gt 0 ]] || return 0
  if [[ $EUID -ne 0 ]]; then
    command -v sudo >/dev/null ||
      die "these packages are missing and only root can install them: ${missing[*]}" \
          "Run as root: apt-get install --no-install-recommends ${missing[*]}"
    as_root=(sudo)
    note "sudo may ask for your password"
  fi
  say "installing ${#missing[@]} packages: ${missing[*]}"
  local log
  log=$(mktemp)
  if ! { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q \
           -o DPkg::Lock::Timeout=180 -o Acquire::Retries=3 update &&
         "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
           -o DPkg::Lock::Timeout=180 -o Acquire::Retries=3 \
           install --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
    tail -n 25 "$log" >&2
    die "apt-get could not install ${missing[*]}" "The whole of its output is in $log."
  fi
  rm -f "$log"
}

# seconds as a person says them: 75 -> 1 min 15 s
spoken() {
  local s=$1
  if ((s < 60)); then echo "$s s"; else echo "$((s / 60)) min $((s % 60)) s"; fi
}
