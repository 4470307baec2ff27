# shellcheck shell=bash
# The story of a directory tree: protected, broken, recovered in place, compared by a judge that shares
# no code with Salvor. Sourced by scripts/quickstart.

[[ -n $keep ]] || trap 'chmod -R u+rwX "$place" 2>/dev/null; rm -rf "$place"' EXIT
data=$place/data repository=$place/repository
export SALVOR_REPOSITORY=$repository SALVOR_PASSWORD XDG_CACHE_HOME=$place/cache
SALVOR_PASSWORD=$(head -c 18 /dev/urandom | base64)

say "1. Real data: this project's sources and /usr/share/doc"
mkdir -p "$data"
tar -C "$SALVOR_ROOT" --exclude=./build --exclude=./bench/data -cf - . | tar -C "$data" --one-top-level=source -xpf -
[[ ! -d /usr/share/doc ]] || cp -a /usr/share/doc "$data/doc"
# Things that careless tools lose, in case the above has none of them.
mkdir -p "$data/awkward"
printf 'shared by two names' >"$data/awkward/one name"
ln "$data/awkward/one name" "$data/awkward/another name"
ln -s nowhere/at/all "$data/awkward/dangling"
truncate -s 64M "$data/awkward/sparse"
printf 'not UTF-8' >"$data/awkward/"$'caf\xe9\nnewline'
mkfifo -m 640 "$data/awkward/fifo"
touch -d '1999-12-31 23:59:59.123456789' "$data/awkward/dangling" -h
cp -a "$data" "$place/truth"    # the judge's copy: never shown to salvor
note "$("${judge[@]}" --count "$data")"

say "2. A new repository, encrypted with a password nobody else knows"
run init init
note "$(size "$repository")"

say "3. The first backup"
run backup backup "$data"
note "$(size "$data") of data became $(size "$repository") of repository in $(took)"

say "4. The same again: nothing changed, nothing stored"
before=$(du -sb "$repository" | cut -f1)
run backup backup "$data"
note "$(($(du -sb "$repository" | cut -f1) - before)) bytes more, $(took)"

say "5. Disaster"
victims=$(find "$data/source/src" -name '*.cc' | wc -l)
find "$data/source/src" -name '*.cc' -delete
note "deleted $victims source files"
[[ ! -d $data/doc ]] || { rm -rf "$data/doc"; note "deleted the whole of doc/"; }
spoiled=0
while IFS= read -r -d '' file; do
  head -c 64 /dev/urandom | dd of="$file" conv=notrunc status=none
  touch -r "$place/truth/${file#"$data/"}" "$file"
  spoiled=$((spoiled + 1))
done < <(find "$data/source/src" -name '*.h' -print0)
note "overwrote the beginning of $spoiled headers, with their time stamps put back"
chmod -R 777 "$data/awkward"
rm "$data/awkward/another name" "$data/awkward/fifo"
note "opened every permission, broke a hard link, removed a fifo"
damage=$("${judge[@]}" "$place/truth" "$data" | tail -n 1) || true
note "the judge says: $damage"
[[ $damage != *" 0 differences"* ]] || die "the data was not damaged, so this proves nothing"

say "6. Recovery, in place"
run restore restore latest --target / --include "$data" --overwrite always --delete
note "$(took)"
printf '%s\n' "$output" | tail -n 1 | sed 's/^/    /'

say "7. Is it really the same? Contents, names, modes, owners, times, links, attributes"
verdict=$("${judge[@]}" "$place/truth" "$data") || { printf '%s\n' "$verdict"; die "the restored data is not the same"; }
good "${verdict##*$'\n'}"

say "8. Is the repository whole? Every byte of it is read"
run check check --read-data
note "$(took)"
if command -v restic >/dev/null; then
  RESTIC_PASSWORD=$SALVOR_PASSWORD restic -q -r "$repository" check --read-data >/dev/null &&
    good "restic ($(restic version | awk '{print $2}')) reads it too and finds nothing wrong: you are not locked in"
fi

printf '\n%sProtected, destroyed, recovered and proven in %s.%s\n' "$green$bold" "$(spoken $((SECONDS - begun)))" "$plain"
[[ -z $keep ]] || note "everything is in $place; the password is $SALVOR_PASSWORD"
cat <<EOF
Next:
    build/release/salvor --help
    build/release/salvor -r /srv/backup init
    build/release/salvor -r /srv/backup backup /etc /home
EOF
