# What the scripts of the real programs share. Work is done between the marks; preparing and checking is not measured.
set -e

mark() { echo "MARK $*"; }

# checksum NAME FILE...
checksum() {
  name=$1
  shift
  sum=$(cat "$@" | sha256sum)
  mark "$name" checksum "${sum%"${sum#????????????????}"}"
}

# repeat COUNT WORD: WORD, COUNT times
repeat() {
  for _ in $(seq "$1"); do echo "$2"; done
}
