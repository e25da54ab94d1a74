# $1: how often the text is summed.
. /bench/programs/lib.sh
set -- $(repeat "$1" /bench/inputs/text)
cat /bench/inputs/text >/dev/null
mark sha256sum start
sha256sum "$@" >sums
mark sha256sum end
checksum sha256sum sums
rm sums
