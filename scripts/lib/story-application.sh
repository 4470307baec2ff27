# shellcheck shell=bash
# The story of an application: a shop with a PostgreSQL under load and a folder of uploads. It is
# protected by one salvor.yaml, somebody drops a table, a plan brings the second before back, the shop's
# own check judges, a drill proves that it was no luck, and the evidence is a page. Sourced by
# scripts/quickstart.

bin=/usr/lib/postgresql/15/bin
data=$place/shop/pgdata uploads=$place/shop/uploads
mkdir -p "$place/shop" "$uploads"
chmod 755 "$place"
# PostgreSQL refuses to be root.
as_server=()
if [[ $EUID -eq 0 ]]; then
  as_server=(setpriv --reuid=postgres --regid=postgres --clear-groups --)
  chown postgres: "$place/shop"
fi
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export SHOP_DATABASE_URL="postgresql://postgres@127.0.0.1:$port/shop"
export SALVOR_PASSWORD XDG_CACHE_HOME=$place/cache SALVOR_CONFIG=$place/salvor.yaml
SALVOR_PASSWORD=$(head -c 18 /dev/urandom | base64)
unset SALVOR_REPOSITORY PGHOST PGPORT PGUSER PGDATABASE PGSERVICE

server() { (cd / && "${as_server[@]}" "$bin/pg_ctl" -D "$data" -l "$place/shop/server.log" -s -w "$@"); }
sql() { "$bin/psql" -XAtq -v ON_ERROR_STOP=1 -d "$SHOP_DATABASE_URL" -c "$1"; }
# The shop's own books: every sum must be the same, at any moment, or money was lost.
books='SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history)'
books+=' AND (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(bbalance) FROM pgbench_branches)'
stream='' load=''
end_all() {
  [[ -z $load ]] || kill "$load" 2>/dev/null || true
  [[ -z $stream ]] || kill "$stream" 2>/dev/null || true
  server stop -m immediate 2>/dev/null || true
  wait 2>/dev/null || true
  [[ -n $keep ]] || { chmod -R u+rwX "$place" 2>/dev/null; rm -rf "$place"; }
}
trap end_all EXIT
start_load() {
  "$bin/pgbench" -n -c 2 -T 600 -R 150 "$SHOP_DATABASE_URL" >"$place/load.log" 2>&1 &
  load=$!
}

say "1. A shop: a PostgreSQL that takes 150 orders a second, and a folder of uploads"
(cd / && "${as_server[@]}" "$bin/initdb" -D "$data" -A trust -U postgres -k --no-sync --locale=C -E UTF8 >/dev/null)
cat >>"$data/postgresql.conf" <<END
port = $port
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
END
server start
"$bin/createdb" -h 127.0.0.1 -p "$port" -U postgres shop
"$bin/pgbench" -iq -s 5 "$SHOP_DATABASE_URL" 2>/dev/null
for number in $(seq 200); do head -c 20000 /dev/urandom >"$uploads/picture-$number.jpg"; done
start_load
note "$(size "$data") of database, $(size "$uploads") of uploads"

say "2. One file says what is protected, what is promised, and how it comes back"
cat >"$SALVOR_CONFIG" <<END
application: shop
repository: $place/repository
state-directory: $place/state
sources:
  db:
    postgres: {url: env:SHOP_DATABASE_URL, data-directory: $data}
    assertions: "$books"
  uploads:
    files: $uploads
objectives: {rto: 15m, rpo: 5m}
plans:
  recover:
    parameters: {point: latest}
    steps:
      - command: ${as_server[*]:+${as_server[*]} }$bin/pg_ctl -D $data -w -m fast stop
        name: stop the server
        only: production
      - together:
          - restore: {source: db, to: "\${point}"}
          - restore: {source: uploads, to: "\${point}"}
      - command: ${as_server[*]:+${as_server[*]} }$bin/pg_ctl -D $data -l $place/shop/server.log -w start
        name: start the server
        only: production
      - sql: {query: select count(*) from pgbench_history, expect: "> 0"}
        name: orders are there
END
sed 's/^/    /' "$SALVOR_CONFIG" | sed "s|$place|…|g"
run check config check
run init init

say "3. The log is followed from now on, and everything is backed up once"
"$salvor" wal stream db >"$place/stream.log" 2>&1 &
stream=$!
for _ in $(seq 100); do
  [[ $(sql "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == 0 ]] || break
  kill -0 "$stream" 2>/dev/null || { cat "$place/stream.log" >&2; die "the log is not followed"; }
  sleep 0.1
done
run backup backup --all
note "$(size "$place/repository") of repository in $(took)"

say "4. The shop goes on taking orders"
sleep 5
note "$(sql 'SELECT count(*) FROM pgbench_history') orders"

say "5. The accident: somebody drops the table of orders, and deletes the uploads"
# Under a lock, so that the number of orders at that very moment is known for certain.
accident=$(sql "BEGIN; LOCK TABLE pgbench_history IN ACCESS EXCLUSIVE MODE;
  SELECT count(*) || ' ' || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM pgbench_history;
  DROP TABLE pgbench_history; COMMIT;")
declared=$(date +%s%3N)
orders=${accident% *} moment=${accident#* }
cp -a "$uploads" "$place/truth"
rm -rf "${uploads:?}"/*
kill "$load" 2>/dev/null || true
wait "$load" 2>/dev/null || true
load=''
note "at $moment, with $orders orders committed; the shop is down"

say "6. Could we recover?"
printf '    %s$ salvor status%s\n' "$bold" "$plain"
"$salvor" status 2>&1 | sed 's/^/    /' || true

say "7. The plan, to the moment before"
run recovery plan run recover --to "$moment" --yes
recovered_ms=$(($(date +%s%3N) - declared))
sed 's/^/    /' <<<"$output"

say "8. What does the shop itself say?"
found=$(sql 'SELECT count(*) FROM pgbench_history')
lost=$((orders - found))
[[ $lost -eq 0 ]] || die "$lost committed orders are missing" "This is a bug of ours."
good "$found orders of $orders: 0 committed transactions lost"
[[ $(sql "$books") == t ]] || die "the books do not balance" "This is a bug of ours."
good "the books balance: accounts, tellers, branches and history agree"
"${judge[@]}" "$place/truth" "$uploads" >"$place/judge.txt" || { cat "$place/judge.txt" >&2; die "the uploads are not the same"; }
good "the uploads are back: $(tail -n 1 "$place/judge.txt")"

say "9. Was it luck? The same in a sandbox, with a disaster made real, measured and signed"
run drill drill run recover --scenario deletion
sed 's/^/    /' <<<"$output"
run report -r "$place/repository" evidence report --html "$place/evidence.html"

printf '\n%sData lost: 0 committed transactions. Recovered in %s.%s The whole story took %s.\n' "$green$bold" \
  "$(awk -v ms="$recovered_ms" 'BEGIN {printf "%.1f s", ms / 1000}')" "$plain" "$(spoken $((SECONDS - begun)))"
if [[ -n $keep ]]; then
  note "everything is in $place; the evidence is $place/evidence.html"
fi
cat <<END
Next:
    scripts/quickstart --keep     leaves the configuration, the repository and the evidence page to look at
    build/release/salvor init     writes a salvor.yaml for what runs on your machine
    docs/configuration.md, docs/plans.md, docs/drills.md
END
